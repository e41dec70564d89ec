//! What can be seen of a session from outside.

use std::sync::Arc;

use bytes::Bytes;
use netcom_identity::{Multiaddr, Representation};
use netcom_session::{LinkStats, StreamId};
use netcom_transport::LinkDriver;
use tokio::time::Instant;

/// What stays the same about a link.
#[derive(Debug)]
pub(crate) struct LinkInfo {
    /// This side's address.
    pub(crate) local: Option<Multiaddr>,
    /// The peer's address.
    pub(crate) remote: Option<Multiaddr>,
    /// What the peer's certificate claims; not verified.
    pub(crate) representations: Vec<Representation>,
    /// When the link was given to the session.
    pub(crate) since: Instant,
}

/// A link as it is now.
#[derive(Clone, Debug)]
pub(crate) struct LinkView {
    /// Its figures.
    pub(crate) stats: LinkStats,
    /// What stays the same.
    pub(crate) info: Arc<LinkInfo>,
    /// Asked for what the transport counts, without the session's lock.
    pub(crate) driver: Option<LinkDriver>,
}

/// A stream the application holds.
#[derive(Clone, Debug)]
pub(crate) struct StreamView {
    /// Its name.
    pub(crate) id: StreamId,
    /// Its protocol's name.
    pub(crate) protocol: Bytes,
    /// Whether this side opened it.
    pub(crate) is_local: bool,
    /// Bytes written to its data flow.
    pub(crate) written: u64,
    /// Bytes of those that arrived.
    pub(crate) acked: u64,
}
