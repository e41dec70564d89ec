//! A link before it has a session.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use netcom_identity::{Multiaddr, PeerId, Representation};
use netcom_session::{
    LinkKind, LinkLoss, LinkSpec,
    wire::{self, Frame, Hello, MAX_DATA_BODY, MAX_DATA_BODY_QUIC},
};
use tokio::time;

use crate::{
    address,
    admission::Slot,
    certificate::Proven,
    counters::Counters,
    driver::{LinkClient, LinkDriver, memory::MemoryLink, quic::QuicLink, tcp::TcpLink},
};

/// An authenticated association with a peer that belongs to no session yet.
///
/// Give it to a session with [`start`](Self::start), or end it with [`refuse`](Self::refuse) or
/// [`close`](Self::close); the peer takes a link that is only dropped for a broken one.
pub struct Link {
    facts: Facts,
    carrier: Carrier,
    counters: Arc<Counters>,
    /// The listener's place for strangers, kept until the HELLO.
    slot: Option<Slot>,
}

/// What is known of a link. Not to be printed: the exporter is a secret.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) is_dialer: bool,
    pub(crate) local: Multiaddr,
    pub(crate) remote: Multiaddr,
    pub(crate) exporter: [u8; 32],
    pub(crate) proven: Proven,
    pub(crate) began: Instant,
    pub(crate) authenticated: Instant,
}

/// What carries its bytes.
#[derive(Debug)]
pub(crate) enum Carrier {
    Tcp(Box<TcpLink>),
    Quic(Box<QuicLink>),
    Memory(Box<MemoryLink>),
}

/// Why [`Link::recv_hello`] failed. Close the link.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The peer said nothing in time.
    #[error("the peer sent no HELLO within {0:?}")]
    Timeout(Duration),
    /// The link ended. In order, it was a dial race's loser most likely.
    #[error("the link ended before the HELLO: {0:?}")]
    Ended(LinkLoss),
    /// The first frame is another one. The peer is at fault.
    #[error("the peer's first frame is no HELLO")]
    NotHello,
    /// Others needed the place more.
    #[error("too many links wait for their HELLO")]
    Crowded,
}

impl Link {
    pub(crate) fn new(
        facts: Facts,
        carrier: Carrier,
        counters: Arc<Counters>,
        slot: Option<Slot>,
    ) -> Self {
        Self { facts, carrier, counters, slot }
    }

    /// Who is at the other end, proven.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.facts.proven.peer
    }

    /// What carries the link.
    #[must_use]
    pub fn kind(&self) -> LinkKind {
        match self.carrier {
            Carrier::Tcp(_) => LinkKind::Tcp,
            Carrier::Quic(_) => LinkKind::Quic,
            Carrier::Memory(_) => LinkKind::Memory,
        }
    }

    /// Whether this side dialled.
    #[must_use]
    pub fn is_dialer(&self) -> bool {
        self.facts.is_dialer
    }

    /// This side's address.
    #[must_use]
    pub fn local_address(&self) -> &Multiaddr {
        &self.facts.local
    }

    /// The peer's address, as this side sees it.
    #[must_use]
    pub fn remote_address(&self) -> &Multiaddr {
        &self.facts.remote
    }

    /// A secret both ends share and nobody else knows, which names this very link.
    #[must_use]
    pub fn exporter(&self) -> [u8; 32] {
        self.facts.exporter
    }

    /// Whom the peer claims to represent. Decoded only: verify each before trusting it.
    #[must_use]
    pub fn representations(&self) -> &[Representation] {
        &self.facts.proven.representations
    }

    /// How long it took from the first packet to the proof of identity.
    #[must_use]
    pub fn handshake_duration(&self) -> Duration {
        self.facts.authenticated.saturating_duration_since(self.facts.began)
    }

    /// What a session wants to know of the link.
    #[must_use]
    pub fn spec(&self) -> LinkSpec {
        let kind = self.kind();
        let (max_lanes, max_data_body) = match kind {
            LinkKind::Quic => (MAX_LANES, MAX_DATA_BODY_QUIC),
            _ => (0, MAX_DATA_BODY),
        };
        let path = address::path(&self.facts.local, &self.facts.remote);
        let (exporter, process) = (self.facts.exporter, self.facts.proven.process);
        LinkSpec { kind, exporter, max_lanes, max_data_body, path, process }
    }

    /// Waits for the dialer's HELLO, the first frame of the link. What follows it stays for the
    /// driver. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the peer is silent, gone or sends something else.
    pub async fn recv_hello(&mut self, within: Duration) -> Result<Hello, HelloError> {
        let first = async {
            match &mut self.carrier {
                Carrier::Tcp(link) => link.first_frame().await,
                Carrier::Quic(link) => link.first_frame().await,
                Carrier::Memory(link) => link.first_frame().await,
            }
        };
        let evicted = evicted(self.slot.as_ref());
        tokio::select! {
            biased;
            frame = time::timeout(within, first) => match frame {
                Ok(Ok(Frame::Hello(hello))) => Ok(*hello),
                Ok(Ok(_)) => Err(HelloError::NotHello),
                Ok(Err(loss)) => Err(HelloError::Ended(loss)),
                Err(_) => Err(HelloError::Timeout(within)),
            },
            () = evicted => Err(HelloError::Crowded),
        }
    }

    /// Answers the dialer's HELLO with a refusal and ends the link in order.
    pub async fn refuse(self, answer: Hello) {
        let mut bytes = BytesMut::new();
        wire::encode(&Frame::Hello(Box::new(answer)), &mut bytes);
        self.finish_with(&bytes).await;
    }

    /// Ends the link in order, without a word.
    pub async fn close(self) {
        self.finish_with(&[]).await;
    }

    /// Hands the link to a session: spawns the one task that drives it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self, client: Arc<dyn LinkClient>) -> LinkDriver {
        tracing::debug!(
            peer = %self.facts.proven.peer,
            remote = %self.facts.remote,
            is_dialer = self.facts.is_dialer,
            "Link started"
        );
        match self.carrier {
            Carrier::Tcp(link) => link.start(client, self.counters),
            Carrier::Quic(link) => link.start(client, self.counters),
            Carrier::Memory(link) => link.start(client, self.counters),
        }
    }

    /// Waits until others need the place more.
    pub(crate) async fn evicted(&self) {
        evicted(self.slot.as_ref()).await;
    }

    /// Sends bytes and ends the link in order.
    pub(crate) async fn finish_with(self, bytes: &[u8]) {
        match self.carrier {
            Carrier::Tcp(link) => link.finish_with(bytes).await,
            Carrier::Quic(link) => link.finish_with(bytes).await,
            Carrier::Memory(link) => link.finish_with(bytes).await,
        };
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.facts.proven.peer)
            .field("kind", &self.kind())
            .field("remote", &self.facts.remote)
            .field("is_dialer", &self.facts.is_dialer)
            .finish_non_exhaustive()
    }
}

async fn evicted(slot: Option<&Slot>) {
    match slot {
        Some(slot) => slot.evicted().await,
        None => std::future::pending().await,
    }
}

/// Unidirectional lanes a QUIC link has per direction.
const MAX_LANES: usize = 64;
