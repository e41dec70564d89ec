//! The sender of files, over what receivers may say.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_cli::fuzzing::send(input);
});
