//! See `mailmove_fuzz::meaning`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::meaning::check(data));
