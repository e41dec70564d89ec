//! Floods against a node in a process of its own, while honest peers go on using it.
//!
//! A run of the tests sends little for a few seconds and asserts what does not depend on time. The
//! long forms take their numbers from the environment, and assert times too; `cargo xtask rel R-8`,
//! `rel R-15` and `rel R-17` set them. Nothing that is sent leaves the two namespaces.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::print_stdout, reason = "processes talk by it, and the figures are of interest")]

mod defaults;
mod forge;
mod garbage;
mod group;
mod handshakes;
mod honest;
mod memory;
mod pace;
mod process;
mod strangers;
mod tap;
mod victim;

use peak_alloc::PeakAlloc;

/// Tells what the program uses, apart from what the allocator keeps for itself.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
