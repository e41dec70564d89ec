//! The register of the machines that were let in.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom::fuzzing::devices(input);
});
