//! Links: authenticated associations with peers, over TCP and TLS 1.3, over QUIC, and inside one
//! process, and the one task per link that moves frames between it and a session.
//!
//! A [`Transport`] listens and dials. Both ways end in a [`Link`]: the peer has proven its PeerId
//! and shown its representations, and both know a secret that names this link. The caller decides
//! which session it belongs to and hands it over with [`Link::start`]; from then on the link's
//! driver calls the session through [`LinkClient`], and the session reaches the driver through
//! [`LinkDriver`].
//!
//! Strangers cost little: handshakes have deadlines and are bounded in number, nothing of a
//! session exists before a HELLO, and what does not speak TLS is closed by its first byte.

mod address;
mod admission;
mod certificate;
mod counters;
mod dial;
mod driver;
mod exporter;
#[doc(hidden)]
pub mod fuzzing;
mod half_open;
mod handshake;
mod interfaces;
mod link;
mod memory;
mod quic;
mod record;
mod tcp;
mod tls;
mod transport;

pub use crate::{
    address::{AddressError, expand, ip_of, leads_alike, with_peer, without_peer},
    certificate::{CertificateError, IssueError},
    counters::TransportStats,
    dial::{Attempt, AttemptError, DialError, DialOptions},
    driver::{LinkClient, LinkDriver, PacketStats},
    handshake::HandshakeError,
    interfaces::{AddressWatch, SystemAddresses},
    link::{HelloError, Link},
    transport::{HandshakeLimits, ListenError, Transport, TransportConfig, TransportError},
};
