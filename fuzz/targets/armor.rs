//! A text that people carry from one machine to another.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom::fuzzing::armor(input);
});
