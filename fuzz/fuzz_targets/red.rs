#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| campanile_fuzz::mixer::red::run(data));
