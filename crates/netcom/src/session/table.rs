//! All sessions of a node: whom a link belongs to, when sessions act, how many there may be.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future;
use netcom_identity::PeerId;
use netcom_session::{
    Accept, AttachError, Closed, Code, Config, Endpoint, EndpointLimits, InstanceId, LinkId,
    SessionId, SessionSpec, State,
    wire::{Hello, Limits, Purpose, SessionKey},
};
use netcom_transport::Link;
use parking_lot::Mutex;
use tokio::{runtime::Handle, time};

use super::{
    Budget, Hold, LinkInfo, SharedSession,
    budget::SESSION,
    clock::Clock,
    detached::Detached,
    effects::Effects,
    shared::{LinkEntry, NodeParts},
    timer::Timer,
};
use crate::{events::NodeEvent, service::Services};

/// The sessions of one node.
pub(crate) struct Sessions {
    spec: SessionsSpec,
    hooks: Arc<dyn SessionHooks>,
    node: NodeParts,
    table: Mutex<Table>,
    keys: AtomicU64,
}

/// Who the sessions are made by, and how.
#[derive(Clone, Debug)]
pub(crate) struct SessionsSpec {
    /// This node.
    pub(crate) local: PeerId,
    /// This process: random.
    pub(crate) instance: InstanceId,
    /// The process before this one, known to be gone.
    pub(crate) supersedes: Option<InstanceId>,
    /// Limits and times of each session.
    pub(crate) config: Config,
    /// Limits of all.
    pub(crate) limits: EndpointLimits,
    /// Bytes of memory of all.
    pub(crate) memory: u64,
}

/// What the node does when something happens to a session. Called outside every lock, from
/// drivers' tasks and from callers: be quick.
pub(crate) trait SessionHooks: Send + Sync {
    /// A link became part of the session: the first one if `is_new`, dialled by this side if
    /// `by_dial`. Streams that came with it are offered afterwards.
    fn attached(&self, session: &Arc<SharedSession>, is_new: bool, by_dial: bool);

    /// No link is left; within the resume window a new one brings the session back.
    fn detached(&self, session: &Arc<SharedSession>);

    /// No link answers: another one is needed beside them.
    fn link_wanted(&self, session: &Arc<SharedSession>);

    /// The first link had no answer in time. Whether another is dialled in its place; whoever does
    /// so says when it is done, by [`SharedSession::end_replacing`].
    fn unanswered(&self, _: &Arc<SharedSession>) -> bool {
        false
    }

    /// Something about a link of a session that the node's listeners are told.
    fn happened(&self, event: NodeEvent);

    /// The session is over.
    fn ended(&self, session: &Arc<SharedSession>, closed: &Closed);

    /// The peer sent a proof of representation.
    fn auth(&self, session: &Arc<SharedSession>, proof: Bytes);
}

/// Why a link did not become part of a session.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AttachFailure {
    /// The link leads to this very node.
    #[error("the link leads to this node itself")]
    SelfDial,
    /// This node has as many sessions, or the session as many links, as it may or can hold.
    #[error("there is no room for another session or link")]
    Full,
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    NoRandomness,
    /// The link ended before it was part of the session, or the peer turned it away.
    #[error("the link was turned away: {0}")]
    Refused(Code),
    /// The session ended.
    #[error("the session ended: {0}")]
    Ended(Code),
}

#[derive(Debug)]
struct Table {
    endpoint: Endpoint<Arc<SharedSession>>,
    detached: Detached<Arc<SharedSession>>,
}

impl AttachFailure {
    /// What the peer or the session said.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::SelfDial => Code::REFUSED,
            Self::Full => Code::OVERLOADED,
            Self::NoRandomness => Code::INTERNAL,
            Self::Refused(code) | Self::Ended(code) => *code,
        }
    }
}

impl Sessions {
    /// Makes an empty table and its timer.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(
        mut spec: SessionsSpec,
        hooks: Arc<dyn SessionHooks>,
        services: Arc<Services>,
    ) -> Arc<Self> {
        // Streams are taken from the engine after each batch, however many it brought; the bounds
        // are those of the handlers and of the streams that wait for the application.
        let config = &mut spec.config;
        config.max_unaccepted = usize::try_from(config.max_streams).unwrap_or(usize::MAX);
        let clock = Clock::new();
        let timer = Timer::new(clock);
        let budget = Budget::new(spec.memory);
        let runtime = Handle::current();
        runtime.spawn(Arc::clone(&timer).run());
        let endpoint = Endpoint::new(spec.limits);
        let waiting = budget.limit() / WAITING_PART / SESSION;
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).max(LEAST_WAITING);
        let table = Table { endpoint, detached: Detached::new(waiting) };
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            spec,
            hooks,
            node: NodeParts {
                clock,
                timer,
                budget,
                services,
                runtime,
                sessions: me.clone(),
                drivers: Arc::default(),
                panics: Arc::default(),
            },
            table: Mutex::new(table),
            keys: AtomicU64::new(1),
        })
    }

    /// The memory that they share.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.node.budget
    }

    /// Gives a dialled link to the session with its peer, made if need be, and starts it.
    ///
    /// # Errors
    /// The link is closed.
    pub(crate) fn attach_dialled(&self, link: Link) -> Result<Hold, AttachFailure> {
        let peer = link.peer();
        if peer == self.spec.local {
            self.close_link(link);
            return Err(AttachFailure::SelfDial);
        }
        for _ in 0..ATTEMPTS {
            let session = match self.to_dial(&peer) {
                Ok(session) => session,
                Err(failure) => {
                    self.close_link(link);
                    return Err(failure);
                }
            };
            let hold = Hold::from(Arc::clone(&session));
            match self.dial_link(&session, &link) {
                Ok(id) => {
                    session.start(link, id);
                    return Ok(hold);
                }
                Err(AttachError::SessionEnded(code)) => self.forget(&session, code),
                Err(_) => break,
            }
        }
        self.close_link(link);
        Err(AttachFailure::Full)
    }

    /// Gives a dialled link to this very session, to bring it back or to stand by.
    ///
    /// # Errors
    /// The link is closed.
    pub(crate) fn attach_dialled_to(
        &self,
        session: &Arc<SharedSession>,
        link: Link,
    ) -> Result<(), AttachFailure> {
        let outcome = if link.peer() == session.peer() {
            self.dial_link(session, &link)
        } else {
            Err(AttachError::OtherInstance)
        };
        match outcome {
            Ok(id) => {
                session.start(link, id);
                Ok(())
            }
            Err(error) => {
                self.close_link(link);
                Err(match error {
                    AttachError::SessionEnded(code) => AttachFailure::Ended(code),
                    AttachError::TooManyLinks(_) => AttachFailure::Full,
                    _ => AttachFailure::Refused(Code::INSTANCE_CHANGED),
                })
            }
        }
    }

    /// Waits for the dialer's HELLO on an accepted link and gives the link to its session.
    pub(crate) fn accept(&self, mut link: Link) {
        let Some(me) = self.node.sessions.upgrade() else { return };
        self.node.runtime.spawn(async move {
            match link.recv_hello(HELLO_TIMEOUT).await {
                Ok(hello) => me.accept_hello(link, &hello).await,
                Err(error) => {
                    tracing::debug!(peer = %link.peer(), %error, "Link without a HELLO");
                    link.close().await;
                }
            }
        });
    }

    /// How many panics of sessions and handlers were caught.
    pub(crate) fn panics(&self) -> u64 {
        self.node.panics.load(Ordering::Relaxed)
    }

    /// How many sessions there may be.
    pub(crate) fn limits(&self) -> EndpointLimits {
        self.table.lock().endpoint.limits()
    }

    /// Sets how many there may be; those there are stay.
    pub(crate) fn set_limits(&self, limits: EndpointLimits) {
        self.table.lock().endpoint.set_limits(limits);
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<Arc<SharedSession>> {
        self.table.lock().endpoint.sessions().map(|(_, session)| Arc::clone(session)).collect()
    }

    /// Ends all sessions and waits until all links are gone, also those of sessions that ended
    /// before: a last word may still be on its way. Takes some seconds at most.
    pub(crate) async fn close_all(&self, code: Code, reason: &str) {
        self.all().iter().for_each(|session| session.close(code, reason));
        let patience = self.spec.config.close_timeout + LINGER;
        let mut drivers = self.node.drivers.subscribe();
        // Who has not gone by then is dropped with its links.
        let _ = time::timeout(patience, drivers.wait_for(|count| *count == 0)).await;
    }

    /// Takes no new streams of any peer and waits until those there are have ended.
    pub(crate) async fn drain_all(&self, within: Duration) {
        let sessions = self.all();
        sessions.iter().for_each(SharedSession::drain);
        let quiet = future::join_all(sessions.iter().map(SharedSession::quiet));
        // Streams that take longer end with their sessions.
        let _ = time::timeout(within, quiet).await;
    }

    pub(super) fn attached(
        &self,
        session: &Arc<SharedSession>,
        is_new: bool,
        by_dial: bool,
        bound: Option<(InstanceId, SessionId)>,
    ) {
        {
            let mut table = self.table.lock();
            table.detached.remove(session.key());
            if let Some(bound) = bound {
                table.endpoint.bind(&session.peer(), session, bound);
            }
        }
        self.hooks.attached(session, is_new, by_dial);
    }

    pub(super) fn detached(&self, session: &Arc<SharedSession>) {
        let oldest = self.table.lock().detached.insert(session.key(), Arc::clone(session));
        if let Some(oldest) = oldest {
            oldest.evict();
        }
        // A link may have come since it was without one, and the news of that before this one.
        if session.state() != State::Detached {
            self.table.lock().detached.remove(session.key());
            return;
        }
        self.hooks.detached(session);
    }

    pub(super) fn link_wanted(&self, session: &Arc<SharedSession>) {
        self.hooks.link_wanted(session);
    }

    pub(super) fn unanswered(&self, session: &Arc<SharedSession>) -> bool {
        self.hooks.unanswered(session)
    }

    pub(super) fn happened(&self, event: NodeEvent) {
        self.hooks.happened(event);
    }

    /// The next dial makes a new session; this one waits for its own process.
    pub(super) fn elsewhere(&self, session: &Arc<SharedSession>) {
        self.table.lock().endpoint.lead_elsewhere(&session.peer(), session);
    }

    pub(super) fn auth(&self, session: &Arc<SharedSession>, proof: Bytes) {
        self.hooks.auth(session, proof);
    }

    pub(super) fn ended(&self, session: &Arc<SharedSession>, closed: &Closed) {
        self.forget(session, closed.code);
        self.hooks.ended(session, closed);
    }

    /// The session to dial a peer with: one that is ending is not asked to stay.
    fn to_dial(&self, peer: &PeerId) -> Result<Arc<SharedSession>, AttachFailure> {
        for _ in 0..ATTEMPTS {
            let secrets = Secrets::new()?;
            let (session, is_new) = {
                let mut table = self.table.lock();
                table.endpoint.set_full(self.node.budget.is_full());
                let dialled = table.endpoint.dial(peer, || self.make(*peer, secrets, true));
                dialled.map_err(|_| AttachFailure::Full)?
            };
            if is_new || session.is_open() {
                return Ok(session);
            }
            self.forget(&session, Code::NO_ERROR);
        }
        Err(AttachFailure::Full)
    }

    fn dial_link(&self, session: &Arc<SharedSession>, link: &Link) -> Result<LinkId, AttachError> {
        session.with(Effects::default(), |inner, now| {
            let id = inner.engine.dial_link(link.spec(), now)?;
            inner.links.push(LinkEntry::new(id, LinkInfo::of(link)));
            inner.is_elsewhere = false;
            Ok(id)
        })
    }

    async fn accept_hello(&self, link: Link, hello: &Hello) {
        let purpose = match self.route(&link, hello) {
            Ok((session, id)) => return session.start(link, id),
            Err(purpose) => purpose,
        };
        tracing::debug!(peer = %link.peer(), ?purpose, "Link refused");
        let defaults = Limits { streams: 0, data_window: 0, error_window: 0 };
        link.refuse(Hello {
            instance: self.spec.instance,
            supersedes: self.spec.supersedes,
            link: hello.link,
            purpose,
            session: None,
            limits: defaults,
            resume_window_ms: None,
            features: Vec::new(),
            finals: Vec::new(),
        })
        .await;
    }

    /// Finds or makes the session an accepted link belongs to, and gives the link to its engine.
    fn route(&self, link: &Link, hello: &Hello) -> Result<(Arc<SharedSession>, LinkId), Purpose> {
        let peer = link.peer();
        if peer == self.spec.local {
            return Err(refused(Code::REFUSED));
        }
        for _ in 0..ATTEMPTS {
            let secrets = Secrets::new().map_err(|failure| refused(failure.code()))?;
            let accept = {
                let mut table = self.table.lock();
                let now = self.node.clock.now();
                table.endpoint.set_full(self.node.budget.is_full());
                table.endpoint.accept(&peer, hello, now, || self.make(peer, secrets, false))
            };
            let (session, superseded) = match accept {
                Accept::Refuse(purpose) => return Err(purpose),
                Accept::Session { session, superseded, .. } => (session, superseded),
            };
            superseded.iter().for_each(SharedSession::peer_restarted);
            let accepted = session.with(Effects::default(), |inner, now| {
                // Known before the hooks ask for it.
                inner.links.push(LinkEntry::new(hello.link, LinkInfo::of(link)));
                let accepted = inner.engine.accept_link(link.spec(), hello, now);
                if accepted.is_err() {
                    inner.links.pop();
                }
                accepted
            });
            match accepted {
                Ok(id) => return Ok((session, id)),
                Err(AttachError::SessionEnded(code)) => {
                    self.forget(&session, code);
                    if matches!(hello.purpose, Purpose::Join { .. }) {
                        return Err(Purpose::Gone { code });
                    }
                }
                Err(error) => {
                    session.abandon_unattached();
                    return Err(refused(error.code()));
                }
            }
        }
        Err(refused(Code::OVERLOADED))
    }

    fn make(&self, peer: PeerId, secrets: Secrets, is_dialer: bool) -> Arc<SharedSession> {
        let spec = SessionSpec {
            local: self.spec.local,
            remote: peer,
            instance: self.spec.instance,
            supersedes: self.spec.supersedes,
            token: secrets.token,
            key: secrets.key,
            is_dialer,
            config: self.spec.config.clone(),
        };
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        SharedSession::new(key, spec, self.node.clone())
    }

    /// Takes a session that is over out of the table.
    fn forget(&self, session: &Arc<SharedSession>, code: Code) {
        let mut table = self.table.lock();
        table.detached.remove(session.key());
        table.endpoint.end(&session.peer(), session, code, self.node.clock.now());
    }

    fn close_link(&self, link: Link) {
        self.node.runtime.spawn(link.close());
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.node.timer.stop();
    }
}

/// The random part of a session.
struct Secrets {
    token: SessionId,
    key: SessionKey,
}

impl Secrets {
    fn new() -> Result<Self, AttachFailure> {
        let (mut token, mut key) = ([0; 16], [0; 32]);
        getrandom::fill(&mut token).map_err(|_| AttachFailure::NoRandomness)?;
        getrandom::fill(&mut key).map_err(|_| AttachFailure::NoRandomness)?;
        Ok(Self { token: SessionId(token), key: SessionKey(key) })
    }
}

fn refused(code: Code) -> Purpose {
    Purpose::Refused { code, retry_after_ms: RETRY_AFTER_MS }
}

/// How often a link is offered to a session that ends at that moment.
const ATTEMPTS: usize = 3;
/// How long a link may exist without a HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Sessions without a link may take this part of the node's memory, by what each is charged for
/// being there, and so many may wait in any case (E-61).
const WAITING_PART: u64 = 4;
const LEAST_WAITING: usize = 1024;
/// How long links may take to end after their session.
const LINGER: Duration = Duration::from_secs(4);
/// When a refused dialer may try again.
const RETRY_AFTER_MS: u64 = 1000;
