//! A peer's certificate.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_transport::fuzzing::certificate(input);
});
