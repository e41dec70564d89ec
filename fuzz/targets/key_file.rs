//! A key file.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom::fuzzing::key_file(input);
});
