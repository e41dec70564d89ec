//! What the laboratory promises about its links, namespaces and routers.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cards;
mod changes;
mod impaired;
mod plain;
mod routers;
mod support;
