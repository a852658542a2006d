#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| campanile_fuzz::aws::sigv4::run(data));
