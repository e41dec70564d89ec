//! Dialling a host: all its addresses by all transports, one after the other and beside each
//! other; the first that answers wins.

use std::{collections::VecDeque, time::Duration};

use netcom_session::LinkKind;

use super::{
    Context, Handle, Node, Timer,
    driver::{Carrier, Role},
    redial::Need,
};
use crate::simulation::{
    network::{Address, HostId},
    transport::{Connection, ConnectionId},
};

/// Names a dial of a process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct DialId(u64);

/// A race.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) to: HostId,
    pub(super) purpose: Purpose,
    waiting: VecDeque<(Address, LinkKind)>,
    running: Vec<ConnectionId>,
}

/// What the link is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// Whoever waits for the host.
    Connect,
    /// A session that needs a link.
    Need(Handle, Need),
}

impl Node {
    /// All ways to a host: where it was found last, else where it is now.
    pub(super) fn ways(&mut self, to: HostId, cx: &Context<'_>) -> Vec<(Address, LinkKind)> {
        let known = self.known.entry(to).or_insert_with(|| cx.network.addresses(to).collect());
        let kinds = &self.spec.kinds;
        let ways = known.iter().flat_map(|address| kinds.iter().map(move |kind| (*address, *kind)));
        ways.collect()
    }

    /// Dials a host in these ways.
    pub(super) fn dial(
        &mut self,
        to: HostId,
        purpose: Purpose,
        ways: Vec<(Address, LinkKind)>,
        cx: &mut Context<'_>,
    ) {
        let dial = Dial { to, purpose, waiting: ways.into(), running: Vec::new() };
        let id = DialId(self.fresh());
        self.dials.insert(id, dial);
        self.set_timer(cx.now + DIAL_TIMEOUT, Timer::DialOver(id));
        self.next_attempt(id, cx);
    }

    /// Begins the next attempt of a dial.
    pub(super) fn next_attempt(&mut self, id: DialId, cx: &mut Context<'_>) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        let Some((remote, kind)) = dial.waiting.pop_front() else {
            if dial.running.is_empty() {
                self.dial_over(id, cx);
            }
            return;
        };
        let number = self.fresh();
        let connection =
            ConnectionId(((self.host.0 as u64) << 48) | (u64::from(self.process) << 32) | number);
        let Some(local) = local(self.host, remote, cx) else { return };
        let begun = Connection::connect(connection, kind, [local, remote], cx.now);
        self.carriers.insert(connection, Carrier::new(begun, Role::Dialling(id)));
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.running.push(connection);
        }
        self.set_timer(cx.now + ATTEMPT_DELAY, Timer::NextAttempt(id));
        self.flush(connection, cx);
    }

    /// A dial has no attempt left, or no time.
    pub(super) fn dial_over(&mut self, id: DialId, cx: &mut Context<'_>) {
        let Some(dial) = self.dials.remove(&id) else { return };
        dial.running.into_iter().for_each(|loser| self.forget_connection(loser, cx));
        // It may be elsewhere now.
        self.known.remove(&dial.to);
        self.dial_failed(dial.to, dial.purpose, cx);
    }

    /// Nobody needs what a dial is for any more.
    pub(super) fn cancel_dial(&mut self, id: DialId, cx: &mut Context<'_>) {
        let Some(dial) = self.dials.remove(&id) else { return };
        dial.running.into_iter().for_each(|loser| self.forget_connection(loser, cx));
    }

    /// An attempt of a dial ended; the next one begins at once.
    pub(super) fn attempt_failed(
        &mut self,
        id: DialId,
        attempt: ConnectionId,
        cx: &mut Context<'_>,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        dial.running.retain(|running| *running != attempt);
        self.next_attempt(id, cx);
    }

    /// A connection came about: the others of its dial go.
    pub(super) fn dial_won(&mut self, id: DialId, winner: ConnectionId, cx: &mut Context<'_>) {
        let Some(dial) = self.dials.remove(&id) else { return };
        let losers = dial.running.into_iter().filter(|running| *running != winner);
        losers.for_each(|loser| self.forget_connection(loser, cx));
        self.attach(winner, dial.to, dial.purpose, cx);
    }
}

/// The card of this host that packets to an address leave from.
fn local(host: HostId, remote: Address, cx: &Context<'_>) -> Option<Address> {
    let mut cards = cx.network.addresses(host);
    let same = cards.find(|address| address.card == remote.card);
    same.or_else(|| cx.network.addresses(host).next())
}

/// How long all attempts may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an attempt gets before the next one begins beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
