//! See `mailmove_fuzz::core_texts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::core_texts::check(data));
