//! The value of a certificate's extension.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_identity::fuzzing::claims(input);
});
