//! What the application holds of a peer.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use netcom_identity::{Multiaddr, NetId, PeerId};
use netcom_session::{Class, Closed, Code, DatagramError, LinkKind, Rate, State, Stats};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    links::LinkSummary,
    request::{self, RequestError, RequestOptions},
    service::XAuth,
    session::{Hold, LinkView, Opened, StreamHandle},
    stream::{ByteStream, IncomingStream, MessageStream, OpenError, XStream, protocol},
};

/// A connection to a peer, or to an entity through one of its nodes.
///
/// It rides the session with that peer, which outlives the links that carry it and is shared by all
/// connections to the peer. Clones are the same connection; when the last one is dropped, the
/// connection wants the session no more, and its streams go on until they end.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    /// Tells this connection's streams apart from those of others on the session.
    owner: u64,
    netid: Option<NetId>,
    place: Mutex<Place>,
    is_closed: AtomicBool,
    failover: Option<Arc<dyn Failover>>,
}

/// Where the connection leads now. Counts among the session's connections until it leaves.
struct Place {
    hold: Hold,
    reason: String,
    has_left: bool,
}

/// Finds another node for a connection whose node is gone.
pub(crate) trait Failover: Send + Sync {
    /// Connects anew, to another node than the one that was left if there is any, and tells why
    /// there.
    fn reconnect(&self, left: PeerId) -> BoxFuture<'static, Result<(Hold, String), Code>>;
}

/// How a connection reaches its peer, and why so.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Path {
    /// The kind of way.
    pub kind: PathKind,
    /// What carries the link in use; `None` while no link works.
    pub link: Option<LinkKind>,
    /// This side's address.
    pub local: Option<Multiaddr>,
    /// The peer's address.
    pub remote: Option<Multiaddr>,
    /// The smoothed round trip, once known.
    pub rtt: Option<Duration>,
    /// Why this node and this way.
    pub reason: String,
    /// Links that stand by, and answer.
    pub standby: usize,
    /// Links that carry data beside the one in use.
    pub beside: usize,
}

/// The kinds of ways to a peer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PathKind {
    /// Within this machine.
    Local,
    /// Straight to the peer.
    Direct,
    /// Through a relay.
    Relayed,
    /// None just now: no link works, one is awaited.
    Waiting,
}

/// Unreliable messages of a connection: each arrives once or never, in any order.
#[derive(Clone, Debug)]
pub struct Datagrams {
    hold: Hold,
}

/// The streams a peer opens on a connection.
#[derive(Clone, Debug)]
pub struct IncomingStreams {
    hold: Hold,
}

impl Connection {
    /// Wants the session for as long as the connection exists. `reason` tells why this node was
    /// chosen.
    pub(crate) fn new(hold: impl Into<Hold>, netid: Option<NetId>, reason: String) -> Self {
        let place = Mutex::new(Place::new(hold.into(), reason));
        let owner = OWNERS.fetch_add(1, Ordering::Relaxed);
        let is_closed = AtomicBool::new(false);
        Self(Arc::new(Inner { owner, netid, place, is_closed, failover: None }))
    }

    /// Lets requests move to another node when this one is gone. Only for requests that may be
    /// made twice.
    pub(crate) fn with_failover(mut self, failover: Arc<dyn Failover>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.failover = Some(failover);
        }
        self
    }

    /// Makes a request of the peer's request handler and waits for the answer. Requests do not
    /// wait for each other; dropping the future gives the request up at both ends.
    ///
    /// # Errors
    /// [`RequestError`], with what is known of the request.
    pub async fn request(&self, body: impl Into<Bytes>) -> Result<Bytes, RequestError> {
        self.request_with(body, &RequestOptions::default()).await
    }

    /// Like [`request`](Self::request), with options.
    ///
    /// # Errors
    /// [`RequestError`], with what is known of the request.
    pub async fn request_with(
        &self,
        body: impl Into<Bytes>,
        options: &RequestOptions,
    ) -> Result<Bytes, RequestError> {
        let body = body.into();
        let Some(failover) = self.0.failover.as_deref() else {
            self.check_open()?;
            return request::request(&self.hold(), self.0.owner, body, options).await;
        };
        let deadline = Instant::now() + options.limit();
        let mut moves = 0;
        loop {
            self.check_open()?;
            let rest = deadline.saturating_duration_since(Instant::now());
            let options = options.clone().timeout(rest);
            let may_move = moves < MAX_MOVES;
            if let Some(made) = self.attempt(failover, body.clone(), &options, may_move).await {
                return made;
            }
            moves += 1;
        }
    }

    /// Makes a request of the node in use; `None` once there is another one in its place, which
    /// only `may_move` allows.
    async fn attempt(
        &self,
        failover: &dyn Failover,
        body: Bytes,
        options: &RequestOptions,
        may_move: bool,
    ) -> Option<Result<Bytes, RequestError>> {
        let hold = self.hold();
        let mut making = pin!(request::request(&hold, self.0.owner, body, options));
        let made = tokio::select! {
            made = &mut making => Some(made),
            () = hold.lost_for(FAILOVER_PATIENCE), if may_move => None,
        };
        let is_over = match &made {
            Some(Err(error)) if may_move && error.is_about_the_connection() => true,
            Some(_) => return made,
            None => false,
        };
        let moving = failover.reconnect(hold.peer());
        let moved = match is_over {
            true => moving.await,
            // The node may come back while another one is looked for.
            false => tokio::select! {
                made = &mut making => return Some(made),
                moved = moving => moved,
            },
        };
        match (moved, made) {
            (Ok((hold, reason)), _) => {
                *self.0.place.lock() = Place::new(hold, reason);
                None
            }
            (Err(_), Some(made)) => Some(made),
            (Err(_), None) => Some(making.await),
        }
    }

    /// Opens a stream of bytes. The peer finds it among its incoming streams.
    ///
    /// # Errors
    /// [`OpenError`]: the connection takes no new streams.
    pub async fn bytes_stream(&self) -> Result<ByteStream, OpenError> {
        self.open_builtin(protocol::BYTES).await.map(ByteStream::new)
    }

    /// Opens a stream of messages. The peer finds it among its incoming streams.
    ///
    /// # Errors
    /// [`OpenError`]: the connection takes no new streams.
    pub async fn msg_stream(&self) -> Result<MessageStream, OpenError> {
        self.open_builtin(protocol::MESSAGES).await.map(MessageStream::new)
    }

    /// Opens a stream with an error side channel. The peer finds it among its incoming streams.
    ///
    /// # Errors
    /// [`OpenError`]: the connection takes no new streams.
    pub async fn x_stream(&self) -> Result<XStream, OpenError> {
        self.open_builtin(protocol::XSTREAM).await.map(XStream::new)
    }

    /// Opens a stream to a named service, as `name/version`. Whether the peer serves it and admits
    /// this node shows with the first read or write that fails.
    ///
    /// # Errors
    /// [`OpenError`]: the connection takes no new streams.
    pub async fn open(&self, protocol: &str) -> Result<XStream, OpenError> {
        self.open_as(protocol, Class::Normal).await
    }

    /// Like [`open`](Self::open), for a stream of another urgency.
    ///
    /// # Errors
    /// [`OpenError`]: the connection takes no new streams.
    pub async fn open_as(&self, protocol: &str, class: Class) -> Result<XStream, OpenError> {
        let protocol = Bytes::copy_from_slice(protocol.as_bytes());
        self.open_stream(protocol, class).await.map(XStream::new)
    }

    /// The streams the peer opens by `bytes_stream`, `msg_stream` and `x_stream`.
    #[must_use]
    pub fn incoming_streams(&self) -> IncomingStreams {
        IncomingStreams { hold: self.hold() }
    }

    /// Unreliable messages to and from the peer.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        Datagrams { hold: self.hold() }
    }

    /// The node at the other end.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.place.lock().hold.peer()
    }

    /// The entity the node was proven to speak for, if the connection was made to one.
    #[must_use]
    pub fn netid(&self) -> Option<NetId> {
        self.0.netid
    }

    /// Everything the other side has proven of itself.
    #[must_use]
    pub fn xauth(&self) -> Arc<XAuth> {
        self.0.place.lock().hold.visitor()
    }

    /// How the peer is reached, and why so.
    #[must_use]
    pub fn path(&self) -> Path {
        let (hold, reason) = {
            let place = self.0.place.lock();
            (place.hold.clone(), place.reason.clone())
        };
        let links = hold.links();
        let stands_by = |link: &&LinkView| {
            link.stats.is_attached && !link.stats.carries_data && !link.stats.is_suspect
        };
        let standby = links.iter().filter(stands_by).count();
        let is_beside = |link: &&LinkView| link.stats.carries_data && !link.stats.is_active;
        let beside = links.iter().filter(is_beside).count();
        let link = links.iter().find(|link| link.stats.is_active && link.stats.is_attached);
        let info = link.map(|link| &link.info);
        Path {
            kind: link.map_or(PathKind::Waiting, PathKind::of),
            link: link.map(|link| link.stats.kind),
            local: info.and_then(|info| info.local.clone()),
            remote: info.and_then(|info| info.remote.clone()),
            rtt: link.and_then(|link| link.stats.rtt),
            reason,
            standby,
            beside,
        }
    }

    /// The links of the session with the peer, which all connections to it share, with the role of
    /// each and why it has it.
    #[must_use]
    pub fn links(&self) -> Vec<LinkSummary> {
        LinkSummary::all_of(&self.hold())
    }

    /// The session's figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hold().stats()
    }

    /// How the session is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.hold().state()
    }

    /// Measures the round trip of the link in use, or of the one that takes its place; `None` where
    /// no link works.
    pub async fn ping(&self) -> Option<Duration> {
        self.hold().ping().await
    }

    /// Limits how fast this side sends stream data on the session, for all its connections
    /// together; `None` for as fast as it can. Requests, their answers and datagrams count.
    pub fn limit_rate(&self, rate: Option<Rate>) {
        self.hold().limit_rate(rate);
    }

    /// Closes the connection with a code of the application. Streams that were finished arrive
    /// first; other connections on the same session, and their streams, go on.
    pub async fn close(&self, code: u32, reason: &str) {
        if self.0.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let hold = self.hold();
        let code = Code::application(code);
        let others = self.0.place.lock().leave();
        if others == 0 {
            hold.close(code, reason);
            hold.done().await;
        } else {
            hold.give_up_of(self.0.owner, code);
        }
    }

    /// Waits for the end of the session and tells how it ended.
    pub async fn closed(&self) -> Closed {
        let hold = self.hold();
        let session = Arc::clone(&hold);
        drop(hold);
        session.closed().await
    }

    pub(crate) fn hold(&self) -> Hold {
        self.0.place.lock().hold.clone()
    }

    fn check_open(&self) -> Result<(), OpenError> {
        if self.0.is_closed.load(Ordering::Acquire) {
            return Err(OpenError::Closed);
        }
        let Some(netid) = &self.0.netid else { return Ok(()) };
        let visitor = self.hold().visitor();
        // Before the first link is judged nobody is named; the node proved itself to the dialer.
        let has_lapsed = !visitor.netids().is_empty() && !visitor.netids().contains(netid);
        if has_lapsed {
            return Err(OpenError::SessionEnded(Code::REPRESENTATION_EXPIRED));
        }
        Ok(())
    }

    async fn open_builtin(&self, protocol: &'static str) -> Result<StreamHandle, OpenError> {
        self.open_stream(Bytes::from_static(protocol.as_bytes()), Class::Normal).await
    }

    async fn open_stream(&self, protocol: Bytes, class: Class) -> Result<StreamHandle, OpenError> {
        self.check_open()?;
        let hold = self.hold();
        let what = Opened { protocol, class, owner: self.0.owner };
        hold.open(what, &mut Bytes::new(), false).await
    }
}

impl Place {
    fn new(hold: Hold, reason: String) -> Self {
        hold.add_connection();
        Self { hold, reason, has_left: false }
    }

    /// Counts no more, and tells how many other connections the session has.
    fn leave(&mut self) -> usize {
        if std::mem::replace(&mut self.has_left, true) {
            return usize::MAX;
        }
        self.hold.drop_connection()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer_id())
            .field("netid", &self.0.netid)
            .finish_non_exhaustive()
    }
}

impl Datagrams {
    /// Sends a message of at most 1,100 bytes; it is dropped if it cannot leave within 200 ms.
    ///
    /// # Errors
    /// It is too long, or the session is over. Nothing was sent.
    pub fn send(&self, message: impl Into<Bytes>) -> Result<(), DatagramError> {
        self.hold.send_datagram(DATAGRAM_FLOW, message.into(), DATAGRAM_TTL)
    }

    /// The oldest message that came; `None` once the session is over. Up to 128 messages wait to
    /// be taken, then the oldest are dropped.
    pub async fn recv(&self) -> Option<Bytes> {
        self.hold.recv_datagram(DATAGRAM_FLOW).await
    }
}

impl IncomingStreams {
    /// The next stream; `None` once the session is over. Up to 256 streams wait to be taken,
    /// further ones are refused.
    pub async fn next(&mut self) -> Option<IncomingStream> {
        let (handle, protocol) = self.hold.accept().await?;
        Some(IncomingStream::new(handle, &protocol))
    }
}

impl PathKind {
    fn of(link: &LinkView) -> Self {
        match link.stats.kind {
            LinkKind::Memory => Self::Local,
            LinkKind::Relay => Self::Relayed,
            _ if link.info.remote.as_ref().is_some_and(is_loopback) => Self::Local,
            _ => Self::Direct,
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::Waiting => "waiting for a link",
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(link) = self.link {
            write!(f, " over {link:?}")?;
        }
        if let Some(rtt) = self.rtt {
            write!(f, ", {rtt:.1?}")?;
        }
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        Ok(())
    }
}

fn is_loopback(address: &Multiaddr) -> bool {
    let text = address.to_string();
    text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/")
}

/// Numbers the connections of this process, from 1.
static OWNERS: AtomicU64 = AtomicU64::new(1);
/// How often one request moves to another node.
const MAX_MOVES: usize = 3;
/// How long a request that may move to another node waits for a link to the one in use.
const FAILOVER_PATIENCE: Duration = Duration::from_secs(2);
/// The flow of the application's datagrams.
const DATAGRAM_FLOW: u64 = 0;
/// How late a datagram is still worth sending.
const DATAGRAM_TTL: Duration = Duration::from_millis(200);
