//! See `mailmove_fuzz::imap_command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::imap_command::check(data));
