#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| nvmeof::fuzz::two_way(input));
