//! See `mailmove_fuzz::modified_utf7`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::modified_utf7::check(data));
