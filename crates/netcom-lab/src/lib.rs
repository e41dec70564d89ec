//! The laboratory: network namespaces that a test makes for itself, joined by a link in user space
//! whose delay and faults are what the test asks for.
//!
//! A [`Pair`] is two namespaces and the [`Link`] between them. Code runs inside one end, on a
//! thread of its own, with [`Namespace::run`] or [`Namespace::start`]; the link is cut, mended and
//! counted from outside while it runs. Nothing that is sent leaves the two namespaces, and both
//! are gone when the pair is dropped, or with the process.
//!
//! It needs Linux, root, `/dev/net/tun` and iproute2; [`with_pair`] says loudly that a test was
//! skipped where one of them is missing.
//!
//! What a direction of a link does to packets is a [`Path`], a machine without clock or I/O that
//! draws its numbers from a [`Random`] with a seed: these two are there on every system.
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod forwarder;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod packet;
#[cfg(target_os = "linux")]
mod pair;
mod path;
mod random;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod skip;

#[cfg(target_os = "linux")]
pub use crate::{
    error::LabError,
    link::{Condition, Counters, Link, LinkSpec, Side},
    namespace::Namespace,
    pair::{End, Pair},
    running::Running,
    skip::{skip, with_pair},
};
pub use crate::{
    path::{Cause, Fate, Loss, Path, PathSpec},
    random::Random,
};
