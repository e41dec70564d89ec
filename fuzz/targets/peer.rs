//! A session under the frames of an authenticated peer that keeps to no rule.

#![no_main]

#[allow(dead_code, reason = "the engine's tests use more of it")]
#[path = "../../crates/netcom-session/tests/engine/harness.rs"]
mod harness;
#[path = "../../crates/netcom-session/tests/engine/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    hostile::run_input(input);
});
