//! The engine with both of its ends, on virtual time.

mod exchange;
mod failover;
mod harness;
mod identity;
mod limits;
mod pacing;
mod random;
mod regressions;
