//! A packet of multicast DNS.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_discovery::fuzzing::mdns_packet(input);
});
