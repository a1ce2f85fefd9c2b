//! See `mailmove_fuzz::imap_compressed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::imap_compressed::check(data));
