//! The receiver of files, over what senders may say.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_cli::fuzzing::receive(input);
});
