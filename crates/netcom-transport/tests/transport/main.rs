//! The transport from outside: real sockets on loopback, real sessions.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

mod endings;
mod handshake;
mod quiet;
mod sessions;
mod strangers;
