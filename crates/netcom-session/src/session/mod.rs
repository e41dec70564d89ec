//! One session's machine: the streams between two processes and the links that carry them.

mod api;
mod apply;
mod batch;
mod bond;
mod config;
mod core;
mod datagram;
mod early;
mod event;
mod failover;
mod flight;
mod handshake;
mod health;
mod life;
mod link;
mod links;
mod mirror;
mod pacing;
mod range_set;
mod receive;
mod receive_flow;
mod rtt;
mod scheduler;
mod send;
mod settle;
mod stats;
mod stream;
mod transmit;
mod warm;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use netcom_identity::PeerId;

use self::{
    bond::Role,
    core::Core,
    early::EarlyData,
    failover::Watch,
    link::{DeadLink, Link},
    receive::PeerAuth,
};
use crate::{
    Code, InstanceId, LinkId, SessionId, Time,
    wire::{Finals, SessionKey},
};

pub use self::{
    batch::{Batch, OutFrame},
    bond::Redundancy,
    config::Config,
    event::{
        AttachError, Closed, DatagramError, Event, IncomingStream, OpenError, Progress, ReadError,
        ReadState, WriteError,
    },
    link::{LinkKind, LinkLoss, LinkSpec},
    stats::{LinkStats, Stats},
};

/// The machine. It has no clock, socket, task, lock or randomness: the shell passes the time in,
/// calls [`handle_batch`](Self::handle_batch) with what a link received,
/// [`poll_batch`](Self::poll_batch) when a link can send, and after each call drains
/// [`poll_event`](Self::poll_event) and [`poll_wakeup`](Self::poll_wakeup).
#[derive(Debug)]
pub struct Session {
    local: Local,
    remote: PeerId,
    /// The process at the other end, once known.
    bound: Option<Bound>,
    /// What went out before that.
    early: Option<Box<EarlyData>>,
    key: Option<SessionKey>,
    /// The other side has the key.
    is_key_shared: bool,
    core: Core,
    links: Vec<Link>,
    /// Links that died with frames whose fate is not known yet.
    dead: VecDeque<DeadLink>,
    /// The link that carries data, or leads where several do.
    active: Option<LinkId>,
    /// Links this side dialled.
    dialled: u64,
    /// The highest link the peer dialled.
    peer_dialled: Option<LinkId>,
    state: State,
    want: Want,
    /// How long the session waits for a link: the shorter of both sides' windows.
    resume_window: Duration,
    /// When a session without a link ends.
    detached_until: Option<Time>,
    closing: Option<Box<Closing>>,
    /// When the keeper looks for links that do the same.
    duplicates_at: Option<Time>,
    watch: Watch,
    auth: Option<Bytes>,
    peer_auth: Option<Box<PeerAuth>>,
    pings: u64,
    now: Time,
}

/// Who a session is made by, and its secrets.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// This side.
    pub local: PeerId,
    /// The other side.
    pub remote: PeerId,
    /// This process.
    pub instance: InstanceId,
    /// The process before this one, known to be gone.
    pub supersedes: Option<InstanceId>,
    /// Random: this side's name for the session. The keeper's becomes the session's id.
    pub token: SessionId,
    /// Random: the session's secret, used where this side is the keeper.
    pub key: SessionKey,
    /// Whether this side dials, and so holds the session from the start.
    pub is_dialer: bool,
    /// Limits and times.
    pub config: Config,
}

/// How a session is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// No link was attached yet.
    Attaching,
    /// At least one link works.
    Live,
    /// No link is left; one is awaited.
    Detached,
    /// Ending: finished data is still on its way.
    Closing,
    /// Over.
    Closed,
}

/// What a driver does after sending a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Poll {
    /// Wait to be woken.
    Idle,
    /// Ask again: there is more.
    More,
    /// End the link in order: goodbye, end of writing, read to the end or one second.
    Finish,
}

#[derive(Debug)]
struct Local {
    instance: InstanceId,
    supersedes: Option<InstanceId>,
    token: SessionId,
}

/// The process a session leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Bound {
    instance: InstanceId,
    token: SessionId,
    /// What its transport calls the process.
    process: u64,
    /// It has this session, and not another one, if it took what went out early.
    has_early: bool,
}

/// Whether the applications hold the session.
#[derive(Debug)]
struct Want {
    held: bool,
    sequence: u64,
    peer_held: bool,
    peer_sequence: u64,
}

#[derive(Debug)]
struct Closing {
    code: Code,
    reason: String,
    deadline: Time,
}

impl Session {
    /// Makes a session without a link.
    ///
    /// # Panics
    /// If `local` and `remote` are the same: a peer cannot have a session with itself.
    #[must_use]
    pub fn new(spec: SessionSpec, now: Time) -> Self {
        assert_ne!(spec.local, spec.remote, "a session joins two different peers");
        let is_keeper = spec.local < spec.remote;
        let local =
            Local { instance: spec.instance, supersedes: spec.supersedes, token: spec.token };
        Self {
            local,
            remote: spec.remote,
            bound: None,
            early: None,
            key: is_keeper.then_some(spec.key),
            is_key_shared: false,
            core: Core::new(spec.config.clone(), is_keeper),
            links: Vec::new(),
            dead: VecDeque::new(),
            active: None,
            dialled: 0,
            peer_dialled: None,
            state: State::Attaching,
            want: Want { held: spec.is_dialer, sequence: 0, peer_held: false, peer_sequence: 0 },
            resume_window: spec.config.resume_window,
            detached_until: None,
            closing: None,
            duplicates_at: None,
            watch: Watch::default(),
            auth: None,
            peer_auth: None,
            pings: 0,
            now,
        }
    }

    /// The next thing the shell should act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// A link whose driver has something to send now and was not told since it last asked.
    pub fn poll_wakeup(&mut self) -> Option<LinkId> {
        let at = self.links.iter().position(|link| {
            !link.is_woken && link_has_work(link, &self.core, self.role(link), self.now)
        })?;
        let link = &mut self.links[at];
        link.is_woken = true;
        Some(link.id)
    }

    /// How the session is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The other side.
    #[must_use]
    pub fn remote(&self) -> &PeerId {
        &self.remote
    }

    /// The process the session leads to, and the name it gave the session; `None` before the first
    /// link was attached.
    #[must_use]
    pub fn bound_to(&self) -> Option<(InstanceId, SessionId)> {
        self.bound.map(|bound| (bound.instance, bound.token))
    }

    /// The session's name: its keeper's.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        if self.core.is_keeper {
            Some(self.local.token)
        } else {
            self.bound.map(|bound| bound.token)
        }
    }

    /// How and why the session ended.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.core.ended.as_ref()
    }

    /// Whether nothing of the session is left to do: it is over and has no link.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.core.ended.is_some() && self.links.is_empty()
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    fn finals(&self) -> Vec<Finals> {
        self.dead.iter().map(|dead| dead.finals.clone()).collect()
    }
}

/// Whether a link's driver has something to do.
fn link_has_work(link: &Link, core: &Core, role: Role, now: Time) -> bool {
    use self::link::Phase;
    let may_carry = || role.share > 0 && link.has_room_for_data();
    if link.hello.is_some() || link.join.is_some() {
        return true;
    }
    match link.phase {
        Phase::Ended => true,
        Phase::AwaitJoin { .. } | Phase::AwaitAnswer { held: true, .. } => false,
        Phase::AwaitAnswer { .. } => {
            let may_send = link.may_send_data() && may_carry();
            may_send && core.early != Some(0) && core.has_data()
        }
        Phase::Attached | Phase::Closing { .. } => {
            link.close_queued
                || link.closing_queued
                || link.pong.is_some()
                || link.ping_queued.is_some()
                || !link.answers.is_empty()
                || link.lack_due.is_some_and(|due| due <= now)
                || link.unacknowledged_bytes >= config::LACK_BYTES
                || (role.leads && link.is_attached() && link.has_room() && core.has_control())
                || (link.is_attached() && may_carry() && core.has_data())
                || (role.is_mirrored
                    && may_carry()
                    && core.bonds.as_ref().is_some_and(|bonds| bonds.has_copies(link.id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_costs_at_most_2_kib_with_a_link() {
        let size = size_of::<Session>() + size_of::<Link>();
        assert!(size <= 2048, "{size}");
    }
}
