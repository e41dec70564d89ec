//! Sessions of two nodes over real links: in memory, TCP and QUIC on loopback.

mod dialling;
mod harness;
mod life;
mod links;
mod many;
mod memory;
mod requests;
mod streams;
