//! What a place to find nodes has to do, and what it gives.

use std::{
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use netcom_identity::{Multiaddr, NetId, NodeRecord, NodeRecordError, PeerId, UnixTime};
use tokio::sync::mpsc;

/// A place where nodes make themselves known and are looked for.
///
/// A source may lie or be wrong about everything: it can only hand out [`VerifiedRecord`]s, which
/// prove themselves, and hints, which the handshake with the peer proves or not.
pub trait Source: Send + Sync + 'static {
    /// A short stable name for logs and for telling where something was found.
    fn name(&self) -> &'static str;

    /// Makes the node known until [`Source::withdraw`] or the drop of the source. A later record
    /// replaces an earlier one.
    fn publish(&self, record: VerifiedRecord) -> Task<'_, Result<(), PublishError>>;

    /// Takes back what was published; does nothing where nothing was.
    fn withdraw(&self) -> Task<'_, ()>;

    /// Sends what answers the query, now and as it turns up. Ends where nothing can come any
    /// more, and at the latest when nobody listens to `findings`; it may be dropped at any time.
    fn lookup(&self, query: Query, findings: Findings) -> Task<'_, ()>;

    /// The records this source received and refused because they were forged, expired or foreign.
    fn rejected(&self) -> u64 {
        0
    }
}

/// A future in a box, so that [`Source`] can be a trait object.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whom a lookup is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Query {
    /// One node.
    Peer(PeerId),
    /// All nodes that speak for an entity.
    NetId(NetId),
}

/// A piece of news about a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Found {
    /// A record the node signed.
    Record(VerifiedRecord),
    /// Somebody says the node is there. Good enough to try, because the node proves its PeerId
    /// in the handshake; it never answers a query for a NetId.
    Hint {
        /// The node.
        peer: PeerId,
        /// Where it is said to be; each address ends in the node's `/p2p`.
        addresses: Vec<Multiaddr>,
    },
}

/// A [`Found`] and the name of the source it comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// [`Source::name`].
    pub source: &'static str,
    /// The news.
    pub found: Found,
}

/// A [`NodeRecord`] that was valid when it was found; the signature is proven with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedRecord(Arc<NodeRecord>);

/// Where a [`Source`] puts what it finds. It holds a few findings and then makes the source wait.
#[derive(Clone, Debug)]
pub struct Findings {
    source: &'static str,
    sender: mpsc::Sender<Finding>,
}

/// Nobody waits for findings any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the lookup is over")]
pub struct LookupOver;

/// Why a record could not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The record is not valid now; sign a new one.
    #[error("the record to publish is not valid")]
    Invalid {
        /// What is wrong with it.
        source: NodeRecordError,
    },
    /// The record has to shrink: fewer addresses, representations or metadata.
    #[error("the record has {size} bytes, at most {max} can be published")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The source holds as much as it may.
    #[error("{place} is full")]
    Full {
        /// What is full.
        place: String,
    },
    /// The source was closed before.
    #[error("the source is closed")]
    Closed,
    /// The source could not do it; the cause tells.
    #[error("the record could not be stored")]
    Failed {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Findings {
    /// Makes a bounded pair: what is sent under `source`'s name, and the other end.
    #[must_use]
    pub fn channel(source: &'static str) -> (Self, mpsc::Receiver<Finding>) {
        let (sender, receiver) = mpsc::channel(FINDINGS);
        (Self { source, sender }, receiver)
    }

    /// Hands over what was found, waiting while the receiver is busy.
    ///
    /// # Errors
    /// Nobody listens any more; the lookup should end.
    pub async fn send(&self, found: Found) -> Result<(), LookupOver> {
        let finding = Finding { source: self.source, found };
        self.sender.send(finding).await.map_err(|_| LookupOver)
    }

    /// Hands over what was found unless the receiver is busy; tells whether it was taken.
    #[must_use]
    pub fn offer(&self, found: Found) -> bool {
        self.sender.try_send(Finding { source: self.source, found }).is_ok()
    }

    /// Waits until nobody listens any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Whether nobody listens any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// The same receiver under another source's name.
    pub(crate) fn named(&self, source: &'static str) -> Self {
        Self { source, sender: self.sender.clone() }
    }
}

const FINDINGS: usize = 64;

impl Found {
    /// The node this is about.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        match self {
            Self::Record(record) => *record.peer_id(),
            Self::Hint { peer, .. } => *peer,
        }
    }

    /// Where the node is said to be.
    #[must_use]
    pub fn addresses(&self) -> &[Multiaddr] {
        match self {
            Self::Record(record) => record.addresses(),
            Self::Hint { addresses, .. } => addresses,
        }
    }

    /// Whether this answers the query at that time. A hint never answers for a NetId.
    #[must_use]
    pub fn answers(&self, query: &Query, now: UnixTime) -> bool {
        match (self, query) {
            (Self::Record(record), Query::NetId(netid)) => {
                record.is_valid(now) && record.represents(netid, now, None).is_ok()
            }
            (Self::Record(record), Query::Peer(peer)) => {
                record.is_valid(now) && record.peer_id() == peer
            }
            (Self::Hint { peer, addresses }, Query::Peer(wanted)) => {
                peer == wanted && !addresses.is_empty()
            }
            (Self::Hint { .. }, Query::NetId(_)) => false,
        }
    }
}

impl VerifiedRecord {
    /// Checks that a record is valid at `now`.
    ///
    /// # Errors
    /// It has expired, or claims to last longer than any record may.
    pub fn check(record: NodeRecord, now: UnixTime) -> Result<Self, NodeRecordError> {
        record.verify(now)?;
        Ok(Self(Arc::new(record)))
    }

    /// Whether it is still valid at `now`.
    #[must_use]
    pub fn is_valid(&self, now: UnixTime) -> bool {
        self.verify(now).is_ok()
    }
}

impl Deref for VerifiedRecord {
    type Target = NodeRecord;

    fn deref(&self) -> &NodeRecord {
        &self.0
    }
}

/// The calendar time for checking records.
pub(crate) fn unix_now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
