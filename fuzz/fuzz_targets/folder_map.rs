//! See `mailmove_fuzz::folder_map`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::folder_map::check(data));
