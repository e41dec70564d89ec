//! The code of an invitation.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom::fuzzing::invitation(input);
});
