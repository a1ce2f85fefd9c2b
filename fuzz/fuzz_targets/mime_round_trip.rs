//! See `mailmove_fuzz::mime_round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::mime_round_trip::check(data));
