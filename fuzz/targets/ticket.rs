//! The text of a ticket.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = netcom_identity::fuzzing::ticket(input);
});
