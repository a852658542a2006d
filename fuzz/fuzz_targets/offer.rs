#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| campanile_fuzz::media::offer::run(data));
