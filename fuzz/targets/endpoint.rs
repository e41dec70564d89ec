//! An address to dial or to listen at.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_transport::fuzzing::endpoint(input);
});
