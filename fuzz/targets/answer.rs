//! What is said of a name with dots: by web servers, the DNS, directories.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_discovery::fuzzing::answer(input);
});
