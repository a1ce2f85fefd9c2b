//! See `mailmove_fuzz::repair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::repair::check(data));
