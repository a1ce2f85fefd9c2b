//! See `mailmove_fuzz::imap_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::imap_response::check(data));
