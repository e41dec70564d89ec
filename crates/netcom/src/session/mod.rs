//! The shell around the session engine: one lock per session, wakers beside the engine, links'
//! drivers, the node's table of sessions and its one timer.
//!
//! Nothing here waits for the network and no stream has a task: applications and drivers call in,
//! the engine changes under its lock, and what follows from that (wakers, drivers, hooks) is done
//! after the lock is gone.

mod budget;
mod clock;
mod detached;
mod effects;
mod hold;
mod links;
mod port;
mod shared;
mod slot;
mod spare_memory;
mod streams;
mod table;
#[cfg(test)]
mod tests;
mod timer;
mod unattached;
mod view;
mod waiters;

pub(crate) use self::{
    budget::{Budget, Kept},
    hold::Hold,
    shared::SharedSession,
    spare_memory::watch as watch_spare_memory,
    streams::{Opened, StreamHandle},
    table::{AttachFailure, SessionHooks, Sessions, SessionsSpec},
    view::{LinkInfo, LinkView, StreamView},
};
