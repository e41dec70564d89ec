//! The petname book.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_discovery::fuzzing::book(input);
});
