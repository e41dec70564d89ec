//! The table of handshakes under way.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_transport::fuzzing::half_open(input);
});
