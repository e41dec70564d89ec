//! A request to speak for an entity.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_identity::fuzzing::enrollment(input);
});
