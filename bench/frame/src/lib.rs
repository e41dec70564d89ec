//! What the programs of the benchmark share: cases, how they are measured, both ends of a round.

pub mod case;
pub mod client;
pub mod cpu;
pub mod ends;
pub mod measure;
pub mod memory;
pub mod streams;
pub mod tasks;

pub use self::{
    case::{Case, Event, Findings, Measurement, Plan},
    client::{Client, Echo, Message, NoStream, Sent},
};

/// What a bulk writer hands in at once, and what a reader asks for.
pub const CHUNK: usize = 256 << 10;
/// What each of many streams hands in at once.
pub const SMALL_CHUNK: usize = 16 << 10;
/// The length of a message there and back.
pub const MESSAGE: usize = 64;
/// The length of a message one way.
pub const LETTER: usize = 1 << 10;
/// Requests on their way at once.
pub const IN_FLIGHT: usize = 64;
/// The same where the client's processor time is told, as with clients in Python.
pub const MORE_IN_FLIGHT: usize = 100;
/// Handshakes on their way at once.
pub const HANDSHAKES: usize = 8;

/// The version of a crate, as a lock file has it.
pub fn version(lock: &'static str, name: &str) -> &'static str {
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?")
}
