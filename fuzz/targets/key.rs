//! Keys, NetIds and PeerIds in binary.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_identity::fuzzing::key(input);
});
