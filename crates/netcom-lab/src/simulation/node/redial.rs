//! Dialling for a session that needs a link: because its last one is gone, because none answers,
//! or so that one stands by.

use std::time::Duration;

use netcom_session::{LinkKind, Session, State};

use super::{
    Context, Handle, Node, Timer,
    dial::{DialId, Purpose},
    sessions::{Held, HeldLink},
};
use crate::simulation::network::Address;

/// What a session needs a link for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Need {
    /// It has none.
    Any,
    /// None of those it has answers.
    Beside,
    /// It has one that works, and wants another.
    Standby,
}

impl Node {
    /// Dials the peer, at once and then at growing intervals, until the need is met, the session
    /// is over, or nobody uses it.
    pub(super) fn redial(&mut self, handle: Handle, need: Need, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        if !need.is_felt(held) {
            held.needs.remove(&need);
            return;
        }
        held.needs.entry(need).or_insert(FIRST_PAUSE);
        let purpose = Purpose::Need(handle, need);
        if !self.dials.values().any(|dial| dial.purpose == purpose) {
            self.dial_for(handle, need, cx);
        }
    }

    /// Waits before the peer is dialled again: longer each time, and at random, so that not all
    /// who lost it come back at once.
    pub(super) fn pause_redial(&mut self, handle: Handle, need: Need, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        let Some(ceiling) = held.needs.get_mut(&need) else { return };
        let pause = ceiling.mul_f64(cx.random.unit()).max(LEAST_PAUSE);
        *ceiling = (*ceiling * 2).min(LONGEST_PAUSE);
        self.set_timer(cx.now + pause, Timer::Redial(handle, need));
    }

    /// Sees which needs of a session are met, and which have come up.
    pub(super) fn look_at_needs(&mut self, handle: Handle, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        let met = held.needs.extract_if(.., |need, _| need.is_met(&held.session));
        let met: Vec<Need> = met.map(|(need, _)| need).collect();
        let wants_standby = self.spec.stands_by
            && Need::Standby.is_felt(held)
            && !held.needs.contains_key(&Need::Standby);
        if wants_standby {
            held.needs.insert(Need::Standby, FIRST_PAUSE);
            self.set_timer(cx.now + LEAST_PAUSE, Timer::Redial(handle, Need::Standby));
        }
        let is_over = |purpose: Purpose| met.iter().any(|it| purpose == Purpose::Need(handle, *it));
        let over = self.dials.iter().filter(|(_, dial)| is_over(dial.purpose));
        for dial in over.map(|(id, _)| *id).collect::<Vec<DialId>>() {
            self.cancel_dial(dial, cx);
        }
    }

    /// Dials once: other ways than those in use first; to stand by, other ways only, if there are.
    pub(super) fn dial_for(&mut self, handle: Handle, need: Need, cx: &mut Context<'_>) {
        let Some(to) = self.sessions.get(&handle).map(|held| held.host) else { return };
        let mut ways = self.ways(to, cx);
        let Some(held) = self.sessions.get(&handle) else { return };
        let used: Vec<_> = held.links.iter().filter_map(|link| self.way_of(link)).collect();
        let is_used = |(address, kind): &(Address, LinkKind)| used.contains(&(address.card, *kind));
        match need {
            Need::Any => {}
            Need::Beside => ways.sort_by_key(is_used),
            Need::Standby if ways.iter().all(is_used) => {}
            Need::Standby => ways.retain(|way| !is_used(way)),
        }
        self.dial(to, Purpose::Need(handle, need), ways, cx);
    }

    /// The peer's card and the transport that a link uses.
    fn way_of(&self, link: &HeldLink) -> Option<(usize, LinkKind)> {
        let connection = &self.carriers.get(&link.connection)?.connection;
        Some((connection.remote().card, connection.kind()))
    }
}

impl Need {
    fn is_felt(self, held: &Held) -> bool {
        let is_used = || held.holds > 0 || held.session.stats().streams > 0;
        match self {
            Self::Any => held.session.state() == State::Detached && is_used(),
            Self::Beside => held.session.wants_link() && is_used(),
            Self::Standby => held.session.state() == State::Live && working(&held.session) < LINKS,
        }
    }

    fn is_met(self, session: &Session) -> bool {
        match self {
            Self::Any => session.state() != State::Detached,
            Self::Beside => !session.wants_link(),
            Self::Standby => session.closed().is_some() || working(session) >= LINKS,
        }
    }
}

/// How many links answer.
fn working(session: &Session) -> usize {
    session.links().filter(|link| link.is_attached && !link.is_suspect).count()
}

// As the shell has them.
const LINKS: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LEAST_PAUSE: Duration = Duration::from_millis(20);
