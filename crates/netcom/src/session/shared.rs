//! One session: the engine under its lock, and what is kept beside it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use netcom_identity::{NetId, PeerId, Representation, UnixTime};
use netcom_session::{
    Closed, Code, Event, Flow, LinkId, LinkLoss, Rate, Session, SessionSpec, State, Stats,
    StreamId, Time, wire::SessionKey,
};
use netcom_transport::LinkDriver;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{self, Instant},
};

use super::{
    AttachFailure, LinkInfo, Sessions, StreamView,
    budget::{Account, Budget},
    clock::Clock,
    effects::{Effects, News},
    slot::{Interest, Slot},
    timer::Timer,
    waiters::{Ticket, Waiters},
};
use crate::{
    config::Links,
    events::NodeEvent,
    service::{Services, Visitor},
};

/// A session that applications and links' drivers share.
pub(crate) struct SharedSession {
    key: u64,
    peer: PeerId,
    node: NodeParts,
    pub(super) inner: Mutex<Inner>,
    account: Account,
    /// Who the peer is to the services here.
    visitor: Mutex<Arc<Visitor>>,
    /// When what the peer proved is to be looked at again: seconds of Unix time.
    proofs_due: AtomicU64,
    /// Connections of the application.
    connections: AtomicUsize,
    /// Handlers that run for the peer.
    handlers: AtomicUsize,
    /// A task sees to it that there are as many links as are wanted.
    pub(super) has_link_keeper: AtomicBool,
}

/// What a session uses of its node.
#[derive(Clone)]
pub(crate) struct NodeParts {
    pub(crate) clock: Clock,
    pub(crate) timer: Arc<Timer>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) services: Arc<Services>,
    pub(crate) runtime: Handle,
    pub(crate) sessions: Weak<Sessions>,
    /// How many links' drivers run.
    pub(crate) drivers: Arc<watch::Sender<usize>>,
    /// Panics that were caught.
    pub(crate) panics: Arc<AtomicU64>,
}

/// Everything the lock guards.
pub(super) struct Inner {
    pub(super) engine: Session,
    pub(super) slots: FxHashMap<StreamId, Slot>,
    pub(super) links: Vec<LinkEntry>,
    /// How they are used.
    pub(super) policy: Links,
    /// Streams of the peer that wait for the application.
    pub(super) incoming: VecDeque<StreamId>,
    /// Who waits for such streams.
    pub(super) acceptors: Waiters,
    /// Who waits to open a stream.
    pub(super) openers: Waiters,
    /// Who waits for a datagram.
    pub(super) receivers: Waiters,
    /// Who waits for a change of the session's state.
    pub(super) watchers: Waiters,
    /// Since when there has been no link.
    detached_since: Option<Instant>,
    /// Who waits for the last stream to end.
    pub(super) quieters: Waiters,
    /// Pings on their way, by number.
    pub(super) pings: BTreeMap<u64, Ping>,
    /// Tasks that a call under the lock lets go on.
    pub(super) woken: Vec<Waker>,
    pub(super) holds: usize,
    /// The deadline the timer knows.
    deadline: Option<Time>,
    was_attached: bool,
    /// Why the last link that did not become part of the session ended.
    pub(super) attach_failure: Option<Code>,
    /// Links without an answer that were replaced before one became part of the session.
    pub(super) unanswered: u8,
    /// One of those is being replaced, and whether the node was told.
    pub(super) replacing: Option<bool>,
    /// The last link that was dialled led to another process of the peer.
    pub(super) is_elsewhere: bool,
    /// The engine had to be replaced.
    is_failed: bool,
    spare: SessionSpec,
}

/// A ping on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    pub(super) link: LinkId,
    pub(super) state: PingState,
}

/// What became of a ping.
#[derive(Clone, Copy, Debug)]
pub(super) enum PingState {
    Waiting,
    Answered(Duration),
    Lost,
}

/// A link the session uses.
pub(super) struct LinkEntry {
    pub(super) id: LinkId,
    /// `None` until the driver has been started.
    pub(super) driver: Option<LinkDriver>,
    pub(super) info: Arc<LinkInfo>,
    /// Why it is no part of the session any more, or never was.
    pub(super) ended: Option<Code>,
}

impl SharedSession {
    /// Makes a session without a link.
    pub(crate) fn new(key: u64, spec: SessionSpec, node: NodeParts) -> Arc<Self> {
        let peer = spec.remote;
        let now = node.clock.now();
        let inner = Inner {
            engine: Session::new(spec.clone(), now),
            slots: FxHashMap::default(),
            links: Vec::new(),
            policy: Links::default(),
            incoming: VecDeque::new(),
            acceptors: Waiters::default(),
            openers: Waiters::default(),
            receivers: Waiters::default(),
            watchers: Waiters::default(),
            detached_since: None,
            quieters: Waiters::default(),
            pings: BTreeMap::new(),
            woken: Vec::new(),
            holds: 0,
            deadline: None,
            was_attached: false,
            attach_failure: None,
            unanswered: 0,
            replacing: None,
            is_elsewhere: false,
            is_failed: false,
            // Stands in after a failure, so it needs no secret.
            spare: SessionSpec { key: SessionKey([0; 32]), ..spec },
        };
        let visitor = Mutex::new(Arc::new(Visitor::new(peer, Vec::new())));
        Arc::new(Self {
            key,
            peer,
            account: Account::new(Arc::clone(&node.budget)),
            node,
            inner: Mutex::new(inner),
            visitor,
            proofs_due: AtomicU64::new(u64::MAX),
            connections: AtomicUsize::new(0),
            handlers: AtomicUsize::new(0),
            has_link_keeper: AtomicBool::new(false),
        })
    }

    /// Runs a call on the engine under the lock and does what follows from it after the lock is
    /// gone. A panic ends this session alone, and goes on to the caller.
    pub(super) fn with<R>(
        self: &Arc<Self>,
        effects: Effects,
        call: impl FnOnce(&mut Inner, Time) -> R,
    ) -> R {
        self.with_after(effects, |inner, now, _| call(inner, now))
    }

    /// Like [`with`](Self::with), for calls that say what may follow from them.
    pub(super) fn with_after<R>(
        self: &Arc<Self>,
        mut effects: Effects,
        call: impl FnOnce(&mut Inner, Time, &mut Effects) -> R,
    ) -> R {
        let now = self.node.clock.now();
        let result = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            inner.engine.limit_memory(self.account.share());
            let result = panic::catch_unwind(AssertUnwindSafe(|| {
                let result = call(inner, now, &mut effects);
                inner.settle(&mut effects);
                result
            }));
            if result.is_err() {
                self.node.count_panic();
                inner.fail(now);
                inner.settle(&mut effects);
            }
            self.account.settle(inner.engine.memory());
            result
        };
        self.act(effects);
        result.unwrap_or_else(|cause| panic::resume_unwind(cause))
    }

    fn act(self: &Arc<Self>, effects: Effects) {
        if let Some((had, at)) = effects.deadline {
            self.node.timer.set(self, had, at);
        }
        for news in effects.news {
            self.tell(news);
        }
        for waker in effects.wakers {
            // A waker is the application's; one that panics must not leave others asleep.
            if panic::catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
                self.node.count_panic();
                tracing::error!("A waker panicked");
            }
        }
        effects.given_up.iter().for_each(LinkDriver::abort);
        for driver in effects.drivers {
            if effects.is_inline {
                driver.try_flush();
            } else {
                driver.wake();
            }
        }
    }

    fn tell(self: &Arc<Self>, news: News) {
        if let News::Incoming(stream) = news {
            return self.node.services.dispatch(self, &stream);
        }
        let Some(sessions) = self.node.sessions.upgrade() else { return };
        match news {
            News::Attached { is_new, by_dial, bound } => {
                sessions.attached(self, is_new, by_dial, bound);
            }
            News::Detached => sessions.detached(self),
            News::LinkWanted => sessions.link_wanted(self),
            News::Unanswered => {
                if !sessions.unanswered(self) {
                    self.end_replacing();
                }
            }
            News::Link(event) => sessions.happened(event),
            News::Elsewhere => sessions.elsewhere(self),
            News::Auth(proof) => sessions.auth(self, proof),
            News::Ended(closed) => sessions.ended(self, &closed),
            News::Incoming(_) => {}
        }
    }

    /// Tells the session apart from all others of the node.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// The other side.
    pub(crate) fn peer(&self) -> PeerId {
        self.peer
    }

    /// Panics under the lock, as a bug in the engine would.
    #[cfg(test)]
    pub(crate) fn panic_inside(self: &Arc<Self>) {
        let fail = || self.with(Effects::default(), |_, _| panic!("on purpose"));
        assert!(panic::catch_unwind(AssertUnwindSafe(fail)).is_err());
    }

    /// The session's name, once known.
    #[cfg(test)]
    pub(crate) fn id(&self) -> Option<netcom_session::SessionId> {
        self.inner.lock().engine.id()
    }

    /// How the session is doing.
    pub(crate) fn state(&self) -> State {
        self.inner.lock().engine.state()
    }

    /// Whether new streams can be opened on it, now or after a link came back.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.state(), State::Closing | State::Closed)
    }

    /// Whether the peer takes new streams at once.
    pub(crate) fn is_ready(&self) -> bool {
        let inner = self.inner.lock();
        inner.engine.state() == State::Live && inner.engine.takes_streams()
    }

    /// Waits until no link has carried the session for so long.
    pub(crate) async fn lost_for(self: &Arc<Self>, patience: Duration) {
        loop {
            let since = self.watch(|inner| inner.detached_since).await;
            let back = self.watch(|inner| (inner.detached_since != Some(since)).then_some(()));
            if time::timeout_at(since + patience, back).await.is_err() {
                return;
            }
        }
    }

    /// The session's figures.
    pub(crate) fn stats(&self) -> Stats {
        self.inner.lock().engine.stats()
    }

    /// Limits how fast stream data goes to the peer.
    pub(crate) fn limit_rate(self: &Arc<Self>, rate: Option<Rate>) {
        self.with(Effects::default(), |inner, now| inner.engine.limit_rate(rate, now));
    }

    /// The limit of [`limit_rate`](Self::limit_rate).
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.inner.lock().engine.rate()
    }

    /// How many hold the session here.
    pub(crate) fn hold_count(&self) -> usize {
        self.inner.lock().holds
    }

    /// The streams the application holds.
    pub(crate) fn streams(&self) -> Vec<StreamView> {
        let inner = self.inner.lock();
        let view = |(id, slot): (&StreamId, &Slot)| {
            let progress = inner.engine.send_progress(*id, Flow::Data).unwrap_or_default();
            StreamView {
                id: *id,
                protocol: slot.protocol.clone(),
                is_local: slot.is_local,
                written: progress.written,
                acked: progress.acked,
            }
        };
        let mut views: Vec<_> = inner.slots.iter().map(view).collect();
        views.sort_unstable_by_key(|view| view.id);
        views
    }

    /// What the certificates of its links claim, without repetition; not verified.
    pub(crate) fn representations(&self) -> Vec<Representation> {
        let inner = self.inner.lock();
        let mut known: Vec<Representation> = Vec::new();
        for claim in inner.links.iter().flat_map(|entry| &entry.info.representations) {
            if !known.contains(claim) {
                known.push(claim.clone());
            }
        }
        known
    }

    /// Who the peer is to the services here.
    pub(crate) fn visitor(&self) -> Arc<Visitor> {
        Arc::clone(&self.visitor.lock())
    }

    /// Sets the entities the peer was proven to speak for.
    pub(crate) fn set_proven(&self, netids: Vec<NetId>) {
        *self.visitor.lock() = Arc::new(Visitor::new(self.peer, netids));
    }

    /// When what the peer proved may change, as time passes.
    pub(crate) fn proofs_due(&self) -> UnixTime {
        UnixTime(self.proofs_due.load(Ordering::Relaxed))
    }

    pub(crate) fn set_proofs_due(&self, at: UnixTime) {
        self.proofs_due.store(at.0, Ordering::Relaxed);
    }

    /// Ends the session: what was finished arrives first, within the closing timeout.
    pub(crate) fn close(self: &Arc<Self>, code: Code, reason: &str) {
        self.with(Effects::default(), |inner, now| inner.engine.close(code, reason, now));
    }

    /// Takes no further streams of the peer.
    pub(crate) fn drain(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| inner.engine.drain(now));
    }

    /// Sends a proof of representation.
    pub(crate) fn send_auth(self: &Arc<Self>, proof: bytes::Bytes) {
        self.with(Effects::default(), |inner, now| inner.engine.send_auth(proof, now));
    }

    /// Ends the session at once because the peer's process is known to be gone.
    pub(crate) fn peer_restarted(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| inner.engine.peer_restarted(now));
    }

    /// Ends the session, which waits for a link, because others need the room.
    pub(crate) fn evict(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| inner.engine.evict(now));
    }

    /// The engine's time has come.
    pub(crate) fn handle_timeout(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| {
            inner.deadline = None;
            inner.engine.handle_timeout(now);
        });
    }

    /// How the session ended, once it has.
    pub(crate) async fn closed(self: &Arc<Self>) -> Closed {
        self.watch(|inner| inner.engine.closed().cloned()).await
    }

    /// Returns once the session is over and the last link is gone.
    pub(crate) async fn done(self: &Arc<Self>) {
        self.watch(|inner| inner.engine.is_done().then_some(())).await;
    }

    /// Returns once the session has no stream left, or is over.
    pub(crate) async fn quiet(self: &Arc<Self>) {
        let mut place = Place { session: self, ticket: None, queue: |inner| &mut inner.quieters };
        poll_fn(|cx| {
            let mut inner = self.inner.lock();
            if inner.is_quiet() {
                return Poll::Ready(());
            }
            inner.quieters.wait(&mut place.ticket, cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Returns once the session has a working link.
    ///
    /// # Errors
    /// The session ended, or its only link was turned away, or dialling it led to another process
    /// of the peer: then dialling the peer again makes a session with that one.
    pub(crate) async fn wait_attached(self: &Arc<Self>) -> Result<(), AttachFailure> {
        self.watch(|inner| match inner.engine.state() {
            State::Attaching => None,
            State::Live => Some(Ok(())),
            State::Detached => {
                let failure = AttachFailure::Ended(Code::INSTANCE_CHANGED);
                inner.is_elsewhere.then_some(Err(failure))
            }
            _ => Some(Err(match inner.attach_failure {
                Some(code) if !inner.was_attached => AttachFailure::Refused(code),
                _ => AttachFailure::Ended(inner.ended_code()),
            })),
        })
        .await
    }

    /// Returns once the session has a working link, or is ending.
    pub(crate) async fn wait_live(self: &Arc<Self>) {
        self.watch(|inner| {
            let waits = matches!(inner.engine.state(), State::Attaching | State::Detached);
            (!waits).then_some(())
        })
        .await;
    }

    /// Waits for something about the state to hold.
    pub(super) async fn watch<R>(self: &Arc<Self>, mut look: impl FnMut(&Inner) -> Option<R>) -> R {
        let mut place = Place { session: self, ticket: None, queue: |inner| &mut inner.watchers };
        poll_fn(|cx| {
            let mut inner = self.inner.lock();
            match look(&inner) {
                Some(found) => Poll::Ready(found),
                None => {
                    inner.watchers.wait(&mut place.ticket, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Counts a connection of the application.
    pub(crate) fn add_connection(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a connection no more, and tells how many others there are.
    pub(crate) fn drop_connection(&self) -> usize {
        self.connections.fetch_sub(1, Ordering::AcqRel) - 1
    }

    /// How many handlers run for the peer.
    pub(crate) fn handlers(&self) -> &AtomicUsize {
        &self.handlers
    }

    pub(super) fn add_hold(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| {
            inner.holds += 1;
            inner.engine.hold(true, now);
        });
    }

    pub(super) fn drop_hold(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| {
            inner.holds -= 1;
            if inner.holds == 0 {
                inner.engine.hold(false, now);
                inner.abandon_unattached(now);
            }
        });
    }

    pub(super) fn lock(&self) -> parking_lot::MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn node(&self) -> &NodeParts {
        &self.node
    }
}

impl Drop for SharedSession {
    fn drop(&mut self) {
        if let Some(at) = self.inner.get_mut().deadline {
            self.node.timer.forget(self.key, at);
        }
    }
}

impl NodeParts {
    /// Counts a panic that was caught.
    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

impl Inner {
    /// Turns what the engine tells into effects.
    fn settle(&mut self, effects: &mut Effects) {
        while let Some(event) = self.engine.poll_event() {
            self.handle(event, effects);
        }
        if self.replacing == Some(false) {
            self.replacing = Some(true);
            effects.news.push(News::Unanswered);
        }
        effects.wakers.append(&mut self.woken);
        if !self.quieters.is_empty() && self.is_quiet() {
            effects.wakers.extend(self.quieters.all());
        }
        while let Some(link) = self.engine.poll_wakeup() {
            if effects.except == Some(link) {
                continue;
            }
            let entry = self.links.iter().find(|entry| entry.id == link);
            effects.drivers.extend(entry.and_then(|entry| entry.driver.clone()));
        }
        if effects.may_delay {
            return;
        }
        if let Some(due) = self.engine.poll_timeout()
            && self.deadline.is_none_or(|known| due < known)
        {
            effects.deadline = Some((self.deadline.replace(due), due));
        }
    }

    fn handle(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Readable(id, flow) => self.wake(id, Interest::Read(flow), effects),
            Event::Writable(id, flow) => self.wake(id, Interest::Write(flow), effects),
            Event::Finished(id, flow) => self.wake(id, Interest::Finish(flow), effects),
            Event::Stopped(id, flow, code) => {
                let Some(slot) = self.slots.get_mut(&id) else { return };
                slot.stop(flow, code);
                let interests = [Interest::Write(flow), Interest::Finish(flow), Interest::Stop];
                effects.wakers.extend(interests.into_iter().filter_map(|i| slot.take(i)));
            }
            Event::Incoming => self.accept_all(effects),
            Event::StreamsAvailable => effects.wakers.extend(self.openers.first()),
            Event::Datagram => effects.wakers.extend(self.receivers.all()),
            Event::Pong { nonce, rtt, .. } => {
                if let Some(ping) = self.pings.get_mut(&nonce) {
                    ping.state = PingState::Answered(rtt);
                    effects.wakers.extend(self.watchers.all());
                }
            }
            Event::Auth(proof) => effects.news.push(News::Auth(proof)),
            Event::Attached { link } => self.attached(link, effects),
            Event::LinkEnded { link, code } => self.link_ended(link, code, effects),
            Event::Detached => {
                self.detached_since = Some(Instant::now());
                effects.news.push(News::Detached);
                effects.wakers.extend(self.watchers.all());
            }
            Event::LinkSuspect { link } => {
                let peer = self.spare.remote;
                tracing::debug!(%peer, %link, "Link does not answer");
                effects.news.push(News::Link(NodeEvent::LinkSuspect { peer, link: link.0 }));
                effects.wakers.extend(self.watchers.all());
            }
            Event::LinkAnswers { link } => {
                let peer = self.spare.remote;
                tracing::debug!(%peer, %link, "Link answers again");
                effects.news.push(News::Link(NodeEvent::LinkAnswers { peer, link: link.0 }));
                effects.wakers.extend(self.watchers.all());
            }
            Event::LinkWanted => effects.news.push(News::LinkWanted),
            Event::Draining => {
                effects.wakers.extend(self.openers.first());
                effects.wakers.extend(self.watchers.all());
            }
            Event::Closed(closed) => self.ended(closed, effects),
            _ => {}
        }
    }

    pub(super) fn wake(&mut self, id: StreamId, interest: Interest, effects: &mut Effects) {
        let waker = self.slots.get_mut(&id).and_then(|slot| slot.take(interest));
        effects.wakers.extend(waker);
    }

    fn accept_all(&mut self, effects: &mut Effects) {
        while let Some(stream) = self.engine.accept() {
            let slot = Slot::new(stream.protocol.clone(), false, 0);
            self.slots.insert(stream.id, slot);
            effects.news.push(News::Incoming(stream));
        }
    }

    fn attached(&mut self, link: LinkId, effects: &mut Effects) {
        let is_new = !std::mem::replace(&mut self.was_attached, true);
        let stats = self.engine.links().find(|stats| stats.id == link);
        let by_dial = stats.is_some_and(|stats| stats.is_dialer);
        let bound = self.engine.bound_to();
        self.attach_failure = None;
        self.detached_since = None;
        self.is_elsewhere = false;
        effects.news.push(News::Attached { is_new, by_dial, bound });
        if let Some(stats) = stats {
            let entry = self.links.iter().find(|entry| entry.id == link);
            effects.news.push(News::Link(NodeEvent::LinkUp {
                peer: self.spare.remote,
                link: link.0,
                kind: stats.kind,
                remote: entry.and_then(|entry| entry.info.remote.clone()),
            }));
        }
        effects.wakers.extend(self.watchers.all());
    }

    fn link_ended(&mut self, link: LinkId, code: Code, effects: &mut Effects) {
        if !self.was_attached {
            self.attach_failure = Some(code);
        } else if code == Code::INSTANCE_CHANGED {
            self.is_elsewhere = true;
            effects.news.push(News::Elsewhere);
        }
        for entry in self.links.iter_mut().filter(|entry| entry.id == link) {
            entry.ended = Some(code);
            if code == Code::LINK_LOST {
                effects.given_up.extend(entry.driver.clone());
            }
        }
        self.pings.values_mut().filter(|p| p.link == link).for_each(Ping::lose);
        effects.wakers.extend(self.watchers.all());
    }

    fn ended(&mut self, closed: Closed, effects: &mut Effects) {
        for (id, slot) in &mut self.slots {
            // The engine forgets a stream of which nothing is left to tell.
            let is_forgotten = self.engine.send_progress(*id, Flow::Data).is_none();
            slot.ended_whole = is_forgotten && !self.is_failed;
            effects.wakers.extend(slot.take_all());
        }
        self.pings.values_mut().for_each(Ping::lose);
        let queues = [&self.acceptors, &self.openers, &self.receivers, &self.watchers];
        effects.wakers.extend(queues.into_iter().flat_map(Waiters::all));
        effects.news.push(News::Ended(closed));
    }

    /// A link's transport is gone.
    pub(super) fn remove_link(
        &mut self,
        id: LinkId,
        loss: &LinkLoss,
        now: Time,
        effects: &mut Effects,
    ) {
        for entry in self.links.extract_if(.., |entry| entry.id == id) {
            let code = entry.ended.unwrap_or_else(|| loss.code());
            let peer = self.spare.remote;
            effects.news.push(News::Link(NodeEvent::LinkDown { peer, link: id.0, code }));
        }
        self.woken.extend(self.watchers.all());
        self.abandon_unattached(now);
    }

    /// Whether no link is or may become part of the session.
    pub(super) fn has_no_link(&self) -> bool {
        self.links.iter().all(|entry| entry.ended.is_some())
    }

    fn is_quiet(&self) -> bool {
        let has_none = self.slots.is_empty() && self.engine.stats().streams == 0;
        has_none || self.engine.closed().is_some()
    }

    /// The engine panicked: whatever state it is in, it is not asked again.
    fn fail(&mut self, now: Time) {
        tracing::error!(peer = %self.spare.remote, "Session failed");
        let mut engine = Session::new(self.spare.clone(), now);
        engine.close(Code::INTERNAL, "the session failed", now);
        self.engine = engine;
        self.is_failed = true;
    }
}

impl Ping {
    fn lose(&mut self) {
        if matches!(self.state, PingState::Waiting) {
            self.state = PingState::Lost;
        }
    }
}

impl PartialEq for SharedSession {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl fmt::Debug for SharedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSession")
            .field("key", &self.key)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// A future's place in one of the session's queues, given up when the future is dropped.
pub(super) struct Place<'a> {
    pub(super) session: &'a Arc<SharedSession>,
    pub(super) ticket: Ticket,
    pub(super) queue: fn(&mut Inner) -> &mut Waiters,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let next = {
            let mut inner = self.session.inner.lock();
            let queue = (self.queue)(&mut inner);
            queue.leave(&mut self.ticket);
            queue.first()
        };
        // Whoever was woken last may be the one who leaves.
        next.into_iter().for_each(Waker::wake);
    }
}
