//! Real runs of the command, on loopback alone.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod control;
mod demo;
mod nodes;
mod offline;
mod support;
mod transfers;
mod watch;
