#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| campanile_fuzz::aws::events::run(data));
