//! See `mailmove_fuzz::imap_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::imap_session::check(data));
