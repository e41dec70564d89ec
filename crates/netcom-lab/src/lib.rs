//! The laboratory: network namespaces that a test makes for itself, joined by a link in user space
//! whose delay and faults are what the test asks for.
//!
//! A [`Pair`] is two namespaces and the [`Link`] between them. Code runs inside one end, on a
//! thread of its own, with [`Namespace::run`] or [`Namespace::start`]; the link is cut, mended and
//! counted from outside while it runs. Nothing that is sent leaves the two namespaces, and both
//! are gone when the pair is dropped, or with the process.
//!
//! ```no_run
//! use std::time::Duration;
//! use netcom_lab::{LinkSpec, with_pair};
//!
//! with_pair(LinkSpec::new(Duration::from_millis(25)), |pair| {
//!     let server = pair.right().ipv4();
//!     pair.left().run(async || tokio::net::TcpStream::connect((server, 80)).await.map(drop))
//!         .expect_err("nobody listens there");
//! });
//! ```
//!
//! It needs Linux, root, `/dev/net/tun` and iproute2; [`with_pair`] says loudly that a test was
//! skipped where one of them is missing.
#![cfg(target_os = "linux")]

mod error;
mod forwarder;
mod link;
mod namespace;
mod packet;
mod pair;
mod running;
mod skip;

pub use crate::{
    error::LabError,
    link::{Condition, Counters, Link, LinkSpec, Side},
    namespace::Namespace,
    pair::{End, Pair},
    running::Running,
    skip::{skip, with_pair},
};
