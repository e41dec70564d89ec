//! The laboratory: network namespaces that a test makes for itself, joined by links in user space
//! whose delays and faults are what the test asks for.
//!
//! A [`Pair`] is two namespaces and the [`Link`]s between them, each with a network card of its
//! own at either end. Code runs inside one end, on a thread of its own, with [`Namespace::run`] or
//! [`Namespace::start`]; links are cut, mended, changed and counted from outside while it runs, and
//! cards go down and change their addresses. Nothing that is sent leaves the namespaces, and all
//! are gone when the pair is dropped, or with the process.
//!
//! A [`LinkSpec`] says what a link is like at first, with a [`PathSpec`] for each direction: delay,
//! jitter, loss, reordering, duplication, rate, queue and MTU. A [`Change`] is made at once or by a
//! script. [`Counters`] tell what became of each packet, [`Link::record`] writes them to a file,
//! and [`Lateness`] says how exact all that was.
//!
//! A [`Topology`] is a host behind a [`Router`] or several in a row, which translate addresses
//! ([`Nat`]) and stop packets ([`Firewall`]); the way from the last of them to the public network
//! is such a link. Routers forget their mappings and get other addresses when a test says so.
//!
//! It needs Linux, root, `/dev/net/tun` and iproute2, and nftables for routers; [`with_pair`] and
//! [`with_topology`] say loudly that a test was skipped where one of them is missing. With `chrt`
//! of util-linux links are exact also where the machine is busy.
//!
//! What a direction of a link does to packets is a [`Path`], a machine without clock or I/O that
//! draws its numbers from a [`Random`] with a seed: these two are there on every system, and so is
//! the [`simulation`] of whole networks that is built on them.

#[cfg(target_os = "linux")]
mod card;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod counters;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod forwarder;
#[cfg(target_os = "linux")]
mod held;
#[cfg(target_os = "linux")]
mod lateness;
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
mod recording;
#[cfg(target_os = "linux")]
mod running;
pub mod simulation;
#[cfg(target_os = "linux")]
mod skip;
#[cfg(target_os = "linux")]
mod spec;
#[cfg(target_os = "linux")]
mod topology;

#[cfg(target_os = "linux")]
pub use crate::{
    control::{Change, Condition},
    counters::Counters,
    error::LabError,
    lateness::Lateness,
    link::Link,
    namespace::Namespace,
    pair::{End, Pair},
    running::Running,
    skip::{skip, with_links, with_pair, with_topology},
    spec::{LinkSpec, Side},
    topology::{Firewall, Nat, Router, RouterSpec, Topology},
};
pub use crate::{
    path::{Cause, Fate, Loss, Path, PathSpec},
    random::Random,
};
