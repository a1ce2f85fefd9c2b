//! See `mailmove_fuzz::imap_fetch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::imap_fetch::check(data));
