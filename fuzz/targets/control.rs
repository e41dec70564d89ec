//! What comes through the control socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_cli::fuzzing::control(input);
});
