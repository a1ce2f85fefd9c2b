//! See `mailmove_fuzz::header_digest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::header_digest::check(data));
