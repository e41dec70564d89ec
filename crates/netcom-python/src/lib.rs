//! The native half of the Python package `netcom`; its public face is the typed layer in
//! `python/netcom`.
//!
//! # How it runs
//! The core runs on threads of its own, which never take Python's lock. A call from Python makes a
//! Rust future, wrapped as an `Operation` that asyncio awaits like a
//! coroutine: its first step polls the future at once, on the loop's own thread and without
//! Python's lock, and most steps that find data or room end there. What has to wait is woken by
//! the core through a queue and one byte in a pipe the loop watches (`bridge.rs`); one callback
//! then lets all go on that were woken meanwhile. Dropping an operation, as cancellation does,
//! drops the future.
//!
//! # Panics
//! A panic of the core ends the one operation and reaches Python as `PanicException`; none crosses
//! as an abort.

mod bridge;
mod buffer;
mod commander;
mod connection;
mod directory;
mod error;
mod events;
mod identity;
mod keys;
mod node;
mod number;
mod operation;
mod runtime;
mod serve;
mod stream;

use pyo3::prelude::*;

/// The native half of netcom. Import `netcom` instead.
// A fork must not find a lock of the runtime taken, and it is Python's lock that sees to that.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::{
        buffer::Payload,
        commander::{Commander, Counters, Limits, LinkInfo, PeerInfo, SessionInfo, StreamInfo},
        connection::{Connection, Path, Stats},
        directory::{Document, read_document, read_entry, sign_document, sign_entry},
        events::Events,
        identity::{Multiaddr, NetId, PeerId},
        keys::Identity,
        node::{Incoming, Node},
        operation::Operation,
        runtime::after_fork,
        serve::{Reply, Request, ServiceHandle, XAuth},
        stream::{ByteStream, IncomingStreams, MessageStream, XStream},
    };
}
