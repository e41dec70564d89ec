//! A test for each threat that NetCom must withstand, named after it: `t_06_…` is threat T-6.
//! `docs/security.md` maps threats to rules and to these tests.
//!
//! The hostile side is made of TLS, QUIC and frames without our engine, so that it can say what a
//! correct peer never says. The other side is a node at its default limits, in a process of its own
//! where memory or processor time is measured. What is measured is printed behind `MEASURED`.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod clients;
mod identity;
mod logs_and_panics;
mod parsers;
mod queues;
mod quic;
mod support;
mod transport;
mod work;
