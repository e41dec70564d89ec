//! The engine with both of its ends, on virtual time.

mod bond;
mod exchange;
mod failover;
mod harness;
mod health;
mod hostile;
mod identity;
mod limits;
mod memory;
mod pacing;
mod random;
mod regressions;
mod replay;
mod successors;
