//! The errors and lengths of a stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom::fuzzing::stream(input);
});
