//! Two session engines under the operations that an input spells: streams, links, cuts, waits.

#![no_main]

#[allow(dead_code, reason = "the engine's tests use more of it")]
#[path = "../../crates/netcom-session/tests/engine/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the seeded runs are tests of the crate")]
#[path = "../../crates/netcom-session/tests/engine/random.rs"]
mod random;

libfuzzer_sys::fuzz_target!(|input: &[u8]| random::run_input(&input[..input.len().min(2048)]));
