//! The machine of multicast DNS, over packets and time.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_discovery::fuzzing::mdns(input);
});
