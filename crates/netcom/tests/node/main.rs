//! Nodes through the public API, on loopback alone: each test has a registry of its own, and
//! multicast DNS at a port of its own.

#![expect(clippy::unwrap_used, reason = "tests")]

mod directories;
#[expect(dead_code, reason = "the command's tests use more of it")]
mod directory_server;
mod entity;
mod find;
mod life;
mod literals;
mod processes;
mod refusals;
mod roles;
mod secrets;
mod support;
mod watch;
