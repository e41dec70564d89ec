//! What a sender of files says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_cli::fuzzing::transfer(input);
});
