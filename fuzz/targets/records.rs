//! TLS records after the handshake: sealed, forged, damaged.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_transport::fuzzing::records(input);
});
