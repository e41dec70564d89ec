//! The bytes of a lane.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    netcom_session::fuzzing::frames(input);
});
