//! See `mailmove_fuzz::ews_login`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::ews_login::check(data));
