//! Whole networks on virtual time: hosts that run the session engine, as the shell around it does,
//! over paths that delay, lose, reorder and double packets, and that fail and come back.
//!
//! A [`World`] is made of a seed and runs in one thread without clock or I/O, so the same seed
//! gives the same [`Trace`], and a day of a network takes minutes. [`Scenario`]s make worlds and
//! what happens in them from a seed, too: one number is enough to see a failure again.
//!
//! From below: [`Network`] decides which packets arrive when; `transport` is what TCP and QUIC make
//! of them; `node` is a process with its sessions, links and applications; [`Ledger`] knows what
//! every application must see, and notes the first thing that does not hold.
//!
//! What is asked of the engine and of what drives it:
//! - the bytes of a stream arrive once, in order and unchanged, and a stream that cannot bring them
//!   all ends by an error, never by a clean end;
//! - an error comes only where something that happened to network or hosts explains it, and the one
//!   that says "not processed" tells the truth;
//! - a stream is accepted at most once, by one process;
//! - correct peers never call each other wrong;
//! - budgets hold;
//! - no event causes events for ever at one moment;
//! - when everything works again, every exchange comes to its end in bounded time, and nothing is
//!   left of it.
//!
//! ```
//! use std::time::Duration;
//! use netcom_lab::simulation::Scenario;
//!
//! let report = Scenario::random(7).run(false)?;
//! assert_eq!(report.trace, Scenario::random(7).run(false)?.trace);
//! # Ok::<(), netcom_lab::simulation::Broken>(())
//! ```

mod check;
mod draft;
mod exchange;
mod host;
mod network;
mod node;
mod queue;
mod report;
mod scenario;
mod step;
mod task;
mod trace;
mod transport;
mod troubles;
mod world;

pub use self::{
    check::{Counts, Ledger},
    exchange::{Appetite, Exchange, GiveUp, How},
    network::{Address, Fault, HostId, Lost, Network},
    node::HostSpec,
    report::{Broken, Report},
    scenario::Scenario,
    step::{End, Step},
    trace::Trace,
    world::World,
};
