//! From a target to a connection.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use netcom_discovery::{Named, names::Resolved};
use netcom_identity::{
    MAX_DELEGATIONS, Multiaddr, NetId, PeerId, Petname, RepresentationError, Target,
};
use netcom_session::{Code, LinkKind, State};
use netcom_transport::Link;
use tokio::time::Instant;

use super::{handle::Handle, needs::Needs, search::Search, shared::Shared};
use crate::{
    clock::unix_now,
    config::Links,
    connection::{Connection, Failover},
    error::ConnectError,
    session::{AttachFailure, Hold, SharedSession},
};

/// A connection to be made; awaited, it is.
///
/// ```no_run
/// # use netcom::{Node, NetId};
/// # use std::time::Duration;
/// # async fn example(node: Node, alice: NetId) -> Result<(), netcom::ConnectError> {
/// let patience = Duration::from_secs(5);
/// let connection = node.connect_with(alice).service("chat").timeout(patience).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is connected until this is awaited"]
pub struct ConnectBuilder {
    handle: Arc<Handle>,
    target: Target,
    options: Options,
}

/// How to connect.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) needs: Needs,
    pub(crate) timeout: Duration,
    pub(crate) lookup: Duration,
    pub(crate) failover: bool,
    pub(crate) link: Option<LinkKind>,
    pub(crate) links: Option<Links>,
}

/// Whom a target means, and what is known beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) target: Target,
    /// The one node, where one is named.
    pub(crate) peer: Option<PeerId>,
    /// The entity that the node has to speak for.
    pub(crate) netid: Option<NetId>,
    /// Proofs below it are revoked.
    pub(crate) lowest_sequence: u64,
    /// Proofs with more delegations do not count.
    pub(crate) delegations: u8,
    /// Nodes and where they are said to be.
    pub(crate) hints: Vec<(PeerId, Vec<Multiaddr>)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            needs: Needs::default(),
            timeout: Duration::from_secs(15),
            lookup: Duration::from_secs(3),
            failover: false,
            link: None,
            links: None,
        }
    }
}

impl Wanted {
    /// Why who is at the other end of a link does not speak for the entity, if one is wanted and
    /// that is so.
    pub(crate) fn unproven(&self, link: &Link) -> Option<(NetId, RepresentationError)> {
        let netid = self.netid?;
        let most = usize::from(self.delegations);
        let chains = link.representations().iter().filter(|chain| chain.delegations() <= most);
        let lowest = Some(self.lowest_sequence);
        let proven = netid.represented_by(&link.peer(), chains, unix_now(), lowest);
        Some((netid, proven.err()?))
    }

    /// Whether the entity takes back proofs that others may still count, so that who was let in by
    /// one has to be asked again.
    fn is_narrowed(&self) -> bool {
        self.lowest_sequence > 0 || self.delegations < MAX_DELEGATIONS
    }

    /// Takes over what a name with dots led to.
    fn take(&mut self, resolved: Resolved) {
        self.netid = Some(resolved.netid);
        self.lowest_sequence = resolved.lowest_sequence;
        self.delegations = resolved.delegations;
        self.hints = by_peer(resolved.hints);
    }
}

impl ConnectBuilder {
    pub(crate) fn new(handle: Arc<Handle>, target: Target) -> Self {
        Self { handle, target, options: Options::default() }
    }

    /// Reaches only a node that says it offers a service of this name. Default: any node.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.options.needs.service = Some(name.into());
        self
    }

    /// Reaches only a node whose record says this of it, as in `where_is("region", "eu")`. Several
    /// of these must all hold. Default: any node.
    pub fn where_is(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.needs.metadata.push((key.into(), value.into()));
        self
    }

    /// Sets how long all of it may take. Default: 15 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets how long nodes are looked for while none that was found answers. Default: 3 s.
    pub fn lookup(mut self, lookup: Duration) -> Self {
        self.options.lookup = lookup;
        self
    }

    /// Lets requests move to another node of the entity when the one in use is gone. Every
    /// request of the connection must then be one that may be made twice. Default: off.
    pub fn failover(mut self, failover: bool) -> Self {
        self.options.failover = failover;
        self
    }

    /// Uses one kind of link only. Default: whichever comes first.
    pub fn link(mut self, kind: LinkKind) -> Self {
        self.options.link = Some(kind);
        self
    }

    /// Sets how many links the session uses, and how; one that is open already gets what is asked
    /// for, and keeps it until another connection asks for more than [`Links::Auto`]. Default: as
    /// the node.
    pub fn links(mut self, links: Links) -> Self {
        self.options.links = Some(links);
        self
    }

    /// Makes the connection. Cancel safe: a dropped attempt leaves nothing behind.
    ///
    /// # Errors
    /// [`ConnectError`] says who is at fault and what to do.
    pub async fn connect(self) -> Result<Connection, ConnectError> {
        let Self { handle, target, options } = self;
        let node = handle.shared();
        let (begun, after) = (Instant::now(), options.timeout);
        let resolving = tokio::time::timeout(after, node.resolve(target.clone())).await;
        let wanted = resolving.map_err(|_| ConnectError::Timeout { target, after })??;
        let rest = Options { timeout: after.saturating_sub(begun.elapsed()), ..options.clone() };
        let (hold, reason) = node.connect(&wanted, &rest).await?;
        if let Some(links) = options.links.filter(|links| links.are_kept()) {
            node.keep_links(&hold, links);
        }
        let connection = Connection::new(hold, wanted.netid, reason);
        if !options.failover {
            return Ok(connection);
        }
        let mover = Mover { node: Arc::downgrade(node), wanted, options };
        Ok(connection.with_failover(Arc::new(mover)))
    }
}

impl IntoFuture for ConnectBuilder {
    type Output = Result<Connection, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

/// Finds another node for a connection.
struct Mover {
    node: std::sync::Weak<Shared>,
    wanted: Wanted,
    options: Options,
}

impl Failover for Mover {
    fn reconnect(&self, left: PeerId) -> BoxFuture<'static, Result<(Hold, String), Code>> {
        let (node, wanted, options) =
            (self.node.upgrade(), self.wanted.clone(), self.options.clone());
        Box::pin(async move {
            let node = node.ok_or(Code::CANCELLED)?;
            node.peers.lock().note_failure(left, Instant::now());
            node.connect(&wanted, &options).await.map_err(|error| {
                tracing::debug!(%error, "No other node took over");
                Code::LINK_LOST
            })
        })
    }
}

impl Shared {
    /// Says whom a target means: a literal, else the petname book, else the directory of its
    /// suffix, else whoever vouches for a domain.
    pub(crate) async fn resolve(&self, target: Target) -> Result<Wanted, ConnectError> {
        let mut wanted = Wanted {
            target,
            peer: None,
            netid: None,
            lowest_sequence: 0,
            delegations: MAX_DELEGATIONS,
            hints: Vec::new(),
        };
        match &wanted.target {
            Target::NetId(netid) => wanted.netid = Some(*netid),
            Target::PeerId(peer) => wanted.peer = Some(*peer),
            Target::Address(peer, address) => {
                wanted.peer = Some(*peer);
                wanted.hints = vec![(*peer, vec![address.clone()])];
            }
            Target::Ticket(ticket) => {
                wanted.peer = Some(*ticket.peer_id());
                // The ticket may lie, so the node has to prove it.
                wanted.netid = ticket.netid().copied();
                wanted.hints = vec![(*ticket.peer_id(), ticket.addresses().to_vec())];
            }
            Target::Petname(name) => {
                let (named, addresses) = self.look_up_petname(name.clone()).await?;
                match named {
                    Named::NetId(netid) => wanted.netid = Some(netid),
                    Named::Peer(peer) => wanted.peer = Some(peer),
                    _ => return Err(ConnectError::NameUnsupported { name: name.to_string() }),
                }
                wanted.hints = by_peer(addresses);
            }
            Target::Dotted(name) => {
                let resolved = self.names.get().resolve(name, unix_now()).await?;
                wanted.take(resolved);
            }
            other => return Err(ConnectError::NameUnsupported { name: other.to_string() }),
        }
        if let Some((own, lowest)) = self.taken_back
            && wanted.netid == Some(own)
        {
            wanted.lowest_sequence = wanted.lowest_sequence.max(lowest);
        }
        Ok(wanted)
    }

    /// Says whom a target means, the entity where it names both.
    pub(crate) async fn resolve_name(&self, target: Target) -> Result<Named, ConnectError> {
        let name = target.to_string();
        let wanted = self.resolve(target).await?;
        let netid = wanted.netid.map(Named::NetId);
        netid.or(wanted.peer.map(Named::Peer)).ok_or(ConnectError::NameUnsupported { name })
    }

    /// The entity that a target means, and the lowest number of proofs for it that count; `None` if
    /// it means a node.
    pub(crate) async fn resolve_entity(
        &self,
        target: Target,
    ) -> Result<Option<(NetId, u64)>, ConnectError> {
        let wanted = self.resolve(target).await?;
        Ok(wanted.netid.map(|netid| (netid, wanted.lowest_sequence)))
    }

    async fn look_up_petname(
        &self,
        name: Petname,
    ) -> Result<(Named, Vec<Multiaddr>), ConnectError> {
        let Some(book) = self.book.clone() else {
            return Err(ConnectError::NoPetnames { name });
        };
        let asked = name.clone();
        let looked = tokio::task::spawn_blocking(move || book.resolve(&asked)).await;
        match looked {
            Ok(Ok(entry)) => Ok((entry.id, entry.addresses)),
            Ok(Err(source)) => Err(ConnectError::Petname { name, source }),
            // The runtime shuts down.
            Err(_) => Err(ConnectError::Closed),
        }
    }

    /// Finds a session with whom is wanted, or makes one, and tells why that one.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        wanted: &Wanted,
        options: &Options,
    ) -> Result<(Hold, String), ConnectError> {
        if !self.is_running() {
            return Err(ConnectError::Closed);
        }
        if wanted.peer == Some(self.peer) {
            return Err(ConnectError::SelfDial { peer: self.peer });
        }
        let deadline = Instant::now() + options.timeout;
        for is_last in [false, true] {
            if let Some(session) = self.open_session(wanted, options)
                && self.is_answering(&session, deadline).await
            {
                return Ok((Hold::from(session), "a session with it was open".to_owned()));
            }
            let won = tokio::select! {
                won = Search::new(self, wanted, options, deadline).run() => won?,
                () = self.closing() => return Err(ConnectError::Closed),
            };
            match self.attach(won.link, wanted, options, deadline).await {
                // The peer lost the session that waited for it; a new one follows.
                Err(AttachFailure::Ended(_)) if !is_last => {}
                Err(failure) => return Err(refused(won.peer, &failure)),
                Ok(Some(hold)) => return Ok((hold, won.reason)),
                Ok(None) => return Err(timed_out(wanted, options)),
            }
        }
        Err(timed_out(wanted, options))
    }

    /// Gives a link to its session. `None` when the time was up before a session that had waited
    /// for a link came back.
    async fn attach(
        &self,
        link: Link,
        wanted: &Wanted,
        options: &Options,
        deadline: Instant,
    ) -> Result<Option<Hold>, AttachFailure> {
        let hold = self.sessions.attach_dialled(link)?;
        if hold.state() != State::Detached {
            // A new session: what is sent goes along with its HELLO, a round trip earlier.
            return Ok(Some(hold));
        }
        match tokio::time::timeout_at(deadline, hold.wait_attached()).await {
            Ok(attached) => attached.map(|()| Some(hold)),
            Err(_) => {
                tracing::debug!(target = %wanted.target, ?options.timeout, "Session not resumed");
                Ok(None)
            }
        }
    }

    /// A living session with whom is wanted.
    fn open_session(&self, wanted: &Wanted, options: &Options) -> Option<Arc<SharedSession>> {
        let fits = |session: &Arc<SharedSession>| {
            let peer = session.peer();
            session.is_ready()
                && !wanted.is_narrowed()
                && wanted.peer.is_none_or(|wanted| wanted == peer)
                && wanted.netid.is_none_or(|netid| session.visitor().netids().contains(&netid))
                && self.offers(&peer, &options.needs)
                && options.link.is_none_or(|kind| uses(session, kind))
        };
        self.sessions.all().into_iter().filter(fits).min_by_key(|session| session.key())
    }

    /// Whether a session's peer is still there, as far as there is reason to doubt it: on links
    /// that tell nothing of a peer's end, what is not acknowledged may wait for nobody.
    async fn is_answering(&self, session: &Arc<SharedSession>, deadline: Instant) -> bool {
        let is_waited_for = session
            .links()
            .iter()
            .any(|link| link.stats.is_active && link.stats.frames_in_flight > 0);
        if !is_waited_for {
            return true;
        }
        let until = deadline.min(Instant::now() + DOUBT);
        let answer = tokio::time::timeout_at(until, session.ping()).await;
        let is_there = matches!(answer, Ok(Some(_)));
        if !is_there {
            self.peers.lock().note_failure(session.peer(), Instant::now());
        }
        is_there
    }

    /// Whether a node is known to offer what is needed.
    fn offers(&self, peer: &PeerId, needs: &Needs) -> bool {
        if needs.is_empty() {
            return true;
        }
        let peers = self.peers.lock();
        let offer = peers.get(peer).and_then(|peer| peer.offer.as_ref());
        offer.is_some_and(|offer| needs.are_met_by(offer))
    }
}

fn uses(session: &SharedSession, kind: LinkKind) -> bool {
    session.links().iter().any(|link| link.stats.is_active && link.stats.kind == kind)
}

/// Sorts addresses by the node they end in.
fn by_peer(addresses: Vec<Multiaddr>) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let mut sorted: Vec<(PeerId, Vec<Multiaddr>)> = Vec::new();
    for address in addresses {
        let Ok(Target::Address(peer, _)) = address.to_string().parse() else { continue };
        match sorted.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, known)) => known.push(address),
            None => sorted.push((peer, vec![address])),
        }
    }
    sorted
}

fn refused(peer: PeerId, failure: &AttachFailure) -> ConnectError {
    match failure {
        AttachFailure::SelfDial => ConnectError::SelfDial { peer },
        AttachFailure::Full => ConnectError::Full,
        AttachFailure::Refused(Code::DENIED) => {
            ConnectError::Denied { peer, reason: failure.to_string() }
        }
        _ => ConnectError::Refused { peer, code: failure.code() },
    }
}

/// How long a peer with unacknowledged data may take to answer a ping.
const DOUBT: Duration = Duration::from_secs(1);

pub(crate) fn timed_out(wanted: &Wanted, options: &Options) -> ConnectError {
    ConnectError::Timeout { target: wanted.target.clone(), after: options.timeout }
}
