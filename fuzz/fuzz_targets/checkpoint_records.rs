//! See `mailmove_fuzz::checkpoint_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::checkpoint_records::check(data));
