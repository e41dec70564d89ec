//! The first bytes of a stranger.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_transport::fuzzing::first_bytes(input);
});
