//! The session engine: streams between two peers over links that come and go.
//!
//! [`Session`] is a pure state machine in the manner of quinn-proto and str0m: no clock, socket,
//! task, lock or randomness. The shell around it
//!
//! 1. authenticates a link and gives it to [`Session::dial_link`] or, routed by an [`Endpoint`],
//!    to [`Session::accept_link`];
//! 2. decodes what a link received with [`wire::decode`] and passes it in batches to
//!    [`Session::handle_batch`];
//! 3. asks [`Session::poll_batch`] what a link should send whenever [`Session::poll_wakeup`] names
//!    it, and tells of its end with [`Session::link_lost`];
//! 4. calls [`Session::handle_timeout`] at [`Session::poll_timeout`], and drains
//!    [`Session::poll_event`] after every call.
//!
//! Stream bytes carry offsets and every frame is idempotent, so any frame may travel on any link,
//! at any time and more than once: failover and resumption are the same mechanism, sending again
//! what a dead link did not acknowledge. The wire is specified in `docs/protocol/session.md`.
//!
//! # Panics
//! Nothing a peer sends makes the engine panic: what breaks a rule ends the session with a
//! [`Code`] that says who is at fault. A panic is a bug of ours.

mod code;
mod endpoint;
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod rate;
mod session;
mod time;
pub mod wire;

pub use crate::{
    code::{Code, Fault},
    endpoint::{Accept, Endpoint, EndpointLimits},
    ids::{Class, Flow, InstanceId, LaneId, LinkId, SessionId, StreamId},
    rate::{Pace, ParseRateError, Rate},
    session::{
        AttachError, Batch, Closed, Config, DatagramError, Event, IncomingStream, LinkKind,
        LinkLoss, LinkSpec, LinkStats, OpenError, OutFrame, Poll, Progress, ReadError, ReadState,
        Redundancy, Session, SessionSpec, State, Stats, WriteError,
    },
    time::Time,
};
