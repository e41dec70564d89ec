//! Which session a peer's hello belongs to, for all sessions of one process.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use netcom_identity::PeerId;

use crate::{
    Code, InstanceId, SessionId, Time,
    wire::{Hello, Purpose},
};

/// All sessions of a process by peer: routes each HELLO to its session, joins simultaneous dials,
/// remembers how ended sessions ended, and bounds them. `S` is the shell's handle of a session.
///
/// The shell holds the table's lock only for the call; a session's own lock is taken after it.
#[derive(Debug)]
pub struct Endpoint<S> {
    limits: EndpointLimits,
    sessions: BTreeMap<PeerId, Vec<Entry<S>>>,
    count: usize,
    /// The process has no memory for another session.
    is_full: bool,
    tombstones: VecDeque<Tombstone>,
}

/// Bounds of an [`Endpoint`].
#[derive(Clone, Copy, Debug)]
pub struct EndpointLimits {
    /// Sessions of one peer: each belongs to another process of it. Default: 4.
    pub per_peer: usize,
    /// Sessions in all. Default: 65,536.
    pub total: usize,
    /// Ended sessions remembered. Default: 4,096.
    pub tombstones: usize,
    /// How long an ended session is remembered. Default: 120 s.
    pub tombstone_life: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            per_peer: 4,
            total: 65_536,
            tombstones: 4096,
            tombstone_life: Duration::from_secs(120),
        }
    }
}

/// What to do with an accepted link.
#[derive(Debug, Eq, PartialEq)]
pub enum Accept<S> {
    /// Give it to this session by [`Session::accept_link`](crate::Session::accept_link). `is_new`
    /// tells whether the session was made just now.
    Session {
        /// The session.
        session: S,
        /// Whether `make` made it.
        is_new: bool,
        /// Sessions with a process the dialer names as its predecessor: end them by
        /// [`Session::peer_restarted`](crate::Session::peer_restarted).
        superseded: Vec<S>,
    },
    /// Answer with this purpose and close the link.
    Refuse(Purpose),
}

#[derive(Debug)]
struct Entry<S> {
    session: S,
    /// The process at the other end and its name for the session, once known.
    bound: Option<(InstanceId, SessionId)>,
    /// A link became part of it, so that the peer may ask for it once it has ended.
    was_attached: bool,
    /// The peer's addresses lead to another process.
    is_elsewhere: bool,
}

#[derive(Debug)]
struct Tombstone {
    peer: PeerId,
    bound: (InstanceId, SessionId),
    code: Code,
    until: Time,
}

impl<S: Clone + PartialEq> Endpoint<S> {
    /// Makes an empty table.
    #[must_use]
    pub fn new(limits: EndpointLimits) -> Self {
        let (sessions, tombstones) = (BTreeMap::new(), VecDeque::new());
        Self { limits, sessions, count: 0, is_full: false, tombstones }
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> EndpointLimits {
        self.limits
    }

    /// Sets the bounds. Sessions beyond them stay; no further one is made until they have ended.
    pub fn set_limits(&mut self, limits: EndpointLimits) {
        self.limits = limits;
    }

    /// Sets whether the process has no memory for another session: then none is made, as at the
    /// limit of sessions.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// The session to dial a peer with: the newest one there is, else a new one. The flag tells
    /// whether `make` made it.
    ///
    /// # Errors
    /// [`Code::OVERLOADED`] where the process has as many sessions as it may or can hold.
    pub fn dial(&mut self, peer: &PeerId, make: impl FnOnce() -> S) -> Result<(S, bool), Code> {
        let known =
            self.sessions.get(peer).into_iter().flatten().rfind(|entry| !entry.is_elsewhere);
        if let Some(known) = known {
            return Ok((known.session.clone(), false));
        }
        if !self.has_room() {
            return Err(Code::OVERLOADED);
        }
        Ok((self.insert(*peer, None, make()), true))
    }

    /// Finds the session of a dialer's HELLO, or makes one.
    pub fn accept(
        &mut self,
        peer: &PeerId,
        hello: &Hello,
        now: Time,
        make: impl FnOnce() -> S,
    ) -> Accept<S> {
        let Some(token) = hello.session else {
            return refuse(Code::PROTOCOL_VIOLATION);
        };
        let bound = (hello.instance, token);
        let entries = self.sessions.get_mut(peer);
        let known = entries.and_then(|entries| entries.iter().find(|e| e.bound == Some(bound)));
        if let Some(known) = known {
            return accepted(known.session.clone(), false, Vec::new());
        }
        match hello.purpose {
            Purpose::Join { .. } => self.accept_join(peer, bound, now),
            // A link that was on its way when its session ended must not begin it anew: the
            // dialer has ended it too, and would leave this side waiting for it.
            Purpose::New => match self.tombstone(peer, bound, now) {
                Some(code) => Accept::Refuse(Purpose::Gone { code }),
                None => self.accept_new(peer, bound, hello, make),
            },
            _ => refuse(Code::PROTOCOL_VIOLATION),
        }
    }

    /// Notes which process a session's link led to.
    pub fn bind(&mut self, peer: &PeerId, session: &S, bound: (InstanceId, SessionId)) {
        let entries = self.sessions.get_mut(peer).into_iter().flatten();
        for entry in entries.filter(|entry| entry.session == *session) {
            (entry.bound, entry.was_attached) = (Some(bound), true);
        }
    }

    /// Notes that dialling a session's peer led to another process: the session waits for its own,
    /// and [`dial`](Self::dial) makes a new one.
    pub fn lead_elsewhere(&mut self, peer: &PeerId, session: &S) {
        let entries = self.sessions.get_mut(peer).into_iter().flatten();
        for entry in entries.filter(|entry| entry.session == *session) {
            entry.is_elsewhere = true;
        }
    }

    /// Forgets an ended session, and remembers how it ended for a dialer that missed it.
    pub fn end(&mut self, peer: &PeerId, session: &S, code: Code, now: Time) {
        let Some(entries) = self.sessions.get_mut(peer) else { return };
        let Some(at) = entries.iter().position(|entry| entry.session == *session) else { return };
        let entry = entries.remove(at);
        self.count -= 1;
        if entries.is_empty() {
            self.sessions.remove(peer);
        }
        if let Some(bound) = entry.bound.filter(|_| entry.was_attached) {
            let until = now + self.limits.tombstone_life;
            self.tombstones.push_back(Tombstone { peer: *peer, bound, code, until });
        }
        self.forget(now);
    }

    /// The sessions with a peer, oldest first.
    pub fn sessions_of<'a>(&'a self, peer: &PeerId) -> impl Iterator<Item = &'a S> + use<'a, S> {
        self.sessions.get(peer).into_iter().flatten().map(|entry| &entry.session)
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (&PeerId, &S)> {
        self.sessions
            .iter()
            .flat_map(|(peer, entries)| entries.iter().map(move |entry| (peer, &entry.session)))
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn has_room(&self) -> bool {
        self.count < self.limits.total && !self.is_full
    }

    fn accept_new(
        &mut self,
        peer: &PeerId,
        bound: (InstanceId, SessionId),
        hello: &Hello,
        make: impl FnOnce() -> S,
    ) -> Accept<S> {
        let entries = self.sessions.get(peer).map_or(&[][..], Vec::as_slice);
        let superseded: Vec<S> = entries
            .iter()
            .filter(|e| e.bound.is_some_and(|known| Some(known.0) == hello.supersedes))
            .map(|entry| entry.session.clone())
            .collect();
        let others: BTreeSet<InstanceId> = entries
            .iter()
            .filter_map(|entry| entry.bound)
            .map(|(instance, _)| instance)
            .filter(|instance| *instance != bound.0 && Some(*instance) != hello.supersedes)
            .collect();
        let has_room = others.len() < self.limits.per_peer
            && entries.len() < self.limits.per_peer * SESSIONS_PER_INSTANCE;
        // Both sides dial at once: the peer's link joins the session this side is dialling.
        let dialling = entries.iter().position(|entry| entry.bound.is_none());
        if let Some(at) = dialling
            && let Some(entry) = self.sessions.get_mut(peer).and_then(|e| e.get_mut(at))
        {
            entry.bound = Some(bound);
            return accepted(entry.session.clone(), false, superseded);
        }
        if !has_room {
            return refuse(Code::TOO_MANY_INSTANCES);
        }
        if !self.has_room() {
            return refuse(Code::OVERLOADED);
        }
        accepted(self.insert(*peer, Some(bound), make()), true, superseded)
    }

    /// A peer may have the session that this side is dialling, whose first answer was lost: the
    /// session itself knows whether it is that one. A peer that once had the session is told how it
    /// ended; anybody else learns nothing.
    fn accept_join(
        &mut self,
        peer: &PeerId,
        bound: (InstanceId, SessionId),
        now: Time,
    ) -> Accept<S> {
        if let Some(code) = self.tombstone(peer, bound, now) {
            return Accept::Refuse(Purpose::Gone { code });
        }
        let mut entries = self.sessions.get(peer).into_iter().flatten();
        match entries.find(|entry| entry.bound.is_none()) {
            Some(entry) => accepted(entry.session.clone(), false, Vec::new()),
            None => refuse(Code::UNKNOWN_SESSION),
        }
    }

    /// How a session ended, if it did lately.
    fn tombstone(
        &mut self,
        peer: &PeerId,
        bound: (InstanceId, SessionId),
        now: Time,
    ) -> Option<Code> {
        self.forget(now);
        let ended = self.tombstones.iter().rev().find(|t| t.peer == *peer && t.bound == bound);
        ended.map(|tombstone| tombstone.code)
    }

    fn insert(&mut self, peer: PeerId, bound: Option<(InstanceId, SessionId)>, session: S) -> S {
        self.count += 1;
        self.sessions.entry(peer).or_default().push(Entry {
            session: session.clone(),
            bound,
            // One that a link made has it.
            was_attached: bound.is_some(),
            is_elsewhere: false,
        });
        session
    }

    fn forget(&mut self, now: Time) {
        while let Some(oldest) = self.tombstones.front() {
            if oldest.until > now && self.tombstones.len() <= self.limits.tombstones {
                break;
            }
            self.tombstones.pop_front();
        }
    }
}

fn accepted<S>(session: S, is_new: bool, superseded: Vec<S>) -> Accept<S> {
    Accept::Session { session, is_new, superseded }
}

fn refuse<S>(code: Code) -> Accept<S> {
    Accept::Refuse(Purpose::Refused { code, retry_after_ms: RETRY_AFTER_MS })
}

/// Sessions of one process of a peer, on average: dials whose answer was lost leave some behind.
const SESSIONS_PER_INSTANCE: usize = 4;
/// When a refused dialer may try again.
const RETRY_AFTER_MS: u64 = 1000;

#[cfg(test)]
mod tests {
    use netcom_identity::SecretKey;

    use super::*;
    use crate::{LinkId, wire::Limits};

    const JOIN: Purpose = Purpose::Join { session: SessionId([5; 16]) };

    fn hello(purpose: Purpose, session: u8) -> Hello {
        Hello {
            instance: InstanceId([1; 16]),
            supersedes: None,
            link: LinkId(0),
            purpose,
            session: Some(SessionId([session; 16])),
            limits: Limits { streams: 1, data_window: 1, error_window: 1 },
            features: Vec::new(),
            finals: Vec::new(),
            resume_window_ms: None,
        }
    }

    #[test]
    fn a_link_that_was_on_its_way_when_its_session_ended_does_not_begin_it_anew() {
        let mut endpoint = Endpoint::new(EndpointLimits::default());
        let peer = SecretKey::from_bytes(&[3; 32]).peer_id();
        let accept = |endpoint: &mut Endpoint<u8>, session, now| {
            endpoint.accept(&peer, &hello(Purpose::New, session), now, || session)
        };
        assert_eq!(accept(&mut endpoint, 7, Time(0)), accepted(7, true, Vec::new()));
        assert_eq!(accept(&mut endpoint, 7, Time(0)), accepted(7, false, Vec::new()));
        endpoint.end(&peer, &7, Code::IDLE, Time(0));

        let gone = Accept::Refuse(Purpose::Gone { code: Code::IDLE });
        assert_eq!(accept(&mut endpoint, 7, Time(0)), gone);
        assert_eq!(accept(&mut endpoint, 8, Time(0)), accepted(8, true, Vec::new()));
        let later = Time(0) + EndpointLimits::default().tombstone_life;
        assert_eq!(accept(&mut endpoint, 7, later), accepted(7, true, Vec::new()));
    }

    #[test]
    fn who_joins_a_session_that_is_unknown_is_led_to_the_one_that_is_being_dialled() {
        let mut endpoint = Endpoint::new(EndpointLimits::default());
        let peer = SecretKey::from_bytes(&[3; 32]).peer_id();
        let join = |endpoint: &mut Endpoint<u8>| {
            endpoint.accept(&peer, &hello(JOIN, 7), Time(0), || unreachable!())
        };
        assert_eq!(join(&mut endpoint), refuse(Code::UNKNOWN_SESSION));

        endpoint.dial(&peer, || 1).expect("room for a session");
        assert_eq!(join(&mut endpoint), accepted(1, false, Vec::new()));
        endpoint.bind(&peer, &1, (InstanceId([9; 16]), SessionId([9; 16])));
        assert_eq!(join(&mut endpoint), refuse(Code::UNKNOWN_SESSION));
    }

    #[test]
    fn a_dialled_session_that_never_had_a_link_is_not_remembered() {
        let mut endpoint = Endpoint::new(EndpointLimits::default());
        let peer = SecretKey::from_bytes(&[3; 32]).peer_id();
        endpoint.dial(&peer, || 1).expect("room for a session");
        let accept = |endpoint: &mut Endpoint<u8>, make| {
            endpoint.accept(&peer, &hello(Purpose::New, 7), Time(0), || make)
        };
        assert_eq!(accept(&mut endpoint, 2), accepted(1, false, Vec::new()));
        // It turned out to be over, and the link is given to another one.
        endpoint.end(&peer, &1, Code::LINK_LOST, Time(0));
        assert_eq!(accept(&mut endpoint, 2), accepted(2, true, Vec::new()));
    }
}
