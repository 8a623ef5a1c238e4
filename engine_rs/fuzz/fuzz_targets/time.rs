#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| _engine::wire::oracle::check_time(bytes));
