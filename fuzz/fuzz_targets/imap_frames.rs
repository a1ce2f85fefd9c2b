//! See `mailmove_fuzz::imap_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::imap_frames::check(data));
