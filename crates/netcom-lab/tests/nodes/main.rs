//! Nodes in namespaces of their own, over links with a delay and with faults.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

mod blocked;
mod bonds;
mod cuts;
mod fairness;
mod far;
mod faults;
mod ladder;
mod nat;
mod proofs;
mod roam;
mod round_trips;
