//! Real runs of the command, on loopback alone.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod control;
mod demo;
mod directories;
#[path = "../../../netcom/tests/node/directory_server.rs"]
mod directory_server;
mod nodes;
mod offline;
mod seeing;
mod support;
mod transfers;
mod watch;
