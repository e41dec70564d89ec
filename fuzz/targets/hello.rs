//! The body of a HELLO.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    netcom_session::fuzzing::hello(input);
});
