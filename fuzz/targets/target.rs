//! Whatever somebody types to say whom they mean.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_identity::fuzzing::target(input);
});
