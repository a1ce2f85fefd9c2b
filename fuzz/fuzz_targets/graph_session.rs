//! See `mailmove_fuzz::graph_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mailmove_fuzz::graph_session::check(data));
