//! What must hold, looked at while it happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use netcom_session::{Closed, Code, Config, Fault, Stats, Time};

use super::{
    exchange::{Attempt, Exchange},
    network::HostId,
    troubles::{Setting, Troubles},
};

/// All exchanges of a world, and whether everything went as it must.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<u64, Entry>,
    /// Exchanges that are neither done nor given up.
    open: BTreeSet<u64>,
    /// What may cost sessions.
    pub(super) troubles: Troubles,
    /// Datagrams that arrived.
    datagrams: BTreeSet<u64>,
    broken: Option<(Time, String)>,
    counts: Counts,
}

/// How exchanges went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Exchanges that were wanted.
    pub wanted: u64,
    /// Those that were done.
    pub done: u64,
    /// Those in which somebody lost interest.
    pub given_up: u64,
    /// Attempts that failed with an error that the network, or a restart, is to blame for.
    pub failed_attempts: u64,
    /// Sessions that ended.
    pub sessions: u64,
    /// Datagrams that arrived.
    pub datagrams: u64,
}

/// Why an attempt failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// The stream or its session ended with this, after all was read or before.
    Ended { code: Code, has_read_all: bool },
    /// Nothing moved for long.
    Stuck,
}

#[derive(Debug)]
struct Entry {
    exchange: Exchange,
    attempts: Vec<Fact>,
}

/// What is known of an attempt.
#[derive(Clone, Copy, Debug, Default)]
struct Fact {
    /// How often it was accepted.
    runs: u32,
    /// Its opener was told that it was not processed.
    is_disowned: bool,
    /// A side lost interest.
    is_given_up: bool,
}

impl Ledger {
    /// Enters an exchange that is wanted, and returns its number.
    pub(super) fn want(&mut self, exchange: Exchange) -> u64 {
        let number = self.entries.len() as u64;
        self.entries.insert(number, Entry { exchange, attempts: Vec::new() });
        self.open.insert(number);
        self.counts.wanted += 1;
        number
    }

    /// The next attempt of an exchange, if it is not done or given up.
    pub(super) fn next_attempt(&self, exchange: u64) -> Option<(Attempt, &Exchange)> {
        let entry = self.entries.get(&exchange).filter(|_| self.open.contains(&exchange))?;
        let number = u32::try_from(entry.attempts.len()).ok()?;
        Some((Attempt { exchange, number }, &entry.exchange))
    }

    /// The next attempt of an exchange has its stream.
    pub(super) fn opened(&mut self, attempt: Attempt) {
        if let Some(entry) = self.entries.get_mut(&attempt.exchange) {
            entry.attempts.push(Fact::default());
        }
    }

    /// An exchange still waits for a session, since then.
    pub(super) fn waits(&mut self, exchange: u64, wish: Setting) {
        if !self.troubles.are_felt(wish) {
            let [here, there] = wish.pair.map(|host| host.0);
            self.broken(wish.at, || {
                let since = wish.began;
                format!("{exchange}: no session of {here} with {there} since {since:?}")
            });
        }
    }

    /// An attempt was accepted: never twice.
    pub(super) fn run(&mut self, attempt: Attempt, at: Time) {
        let Some(fact) = self.fact(attempt) else {
            return self.broken(at, || format!("{attempt} was accepted, and never opened"));
        };
        fact.runs += 1;
        let fact = *fact;
        if fact.runs > 1 {
            self.broken(at, || format!("{attempt} was accepted {} times", fact.runs));
        }
        if fact.is_disowned {
            self.broken(at, || format!("{attempt} ran though its opener was told it did not"));
        }
    }

    /// The opener of an exchange has all it wanted.
    pub(super) fn done(&mut self, attempt: Attempt) {
        if self.open.remove(&attempt.exchange) {
            self.counts.done += 1;
        }
    }

    /// A side loses interest.
    pub(super) fn give_up(&mut self, attempt: Attempt) {
        if let Some(fact) = self.fact(attempt) {
            fact.is_given_up = true;
        }
        if self.open.remove(&attempt.exchange) {
            self.counts.given_up += 1;
        }
    }

    /// One side of an attempt failed, in a session.
    pub(super) fn failed(
        &mut self,
        attempt: Attempt,
        is_opener: bool,
        failure: &Failure,
        session: Setting,
    ) {
        self.counts.failed_attempts += u64::from(is_opener);
        let Some(fact) = self.fact(attempt) else { return };
        let is_idle = matches!(failure, Failure::Ended { code: Code::IDLE, .. });
        fact.is_disowned |= is_opener && is_idle;
        let fact = *fact;
        let is_fine = match failure {
            _ if fact.is_given_up => true,
            Failure::Ended { code: Code::IDLE, .. } if is_opener => fact.runs == 0,
            // The opener has all, and its last acknowledgement was lost with the links.
            Failure::Ended { code: Code::IDLE, has_read_all } => {
                *has_read_all && self.troubles.are_felt(session)
            }
            Failure::Ended { code, .. } => self.troubles.explain(session, *code),
            Failure::Stuck => self.troubles.are_felt(session),
        };
        if !is_fine {
            let side = if is_opener { "opener" } else { "acceptor" };
            let [here, there] = session.pair.map(|host| host.0);
            self.broken(session.at, || {
                format!("{attempt} failed at {here} with {there} for its {side}: {failure:?}")
            });
        }
    }

    /// A session ended, which was part of the network if a link ever was part of it, and needed
    /// if somebody held it or used a stream.
    pub(super) fn session_ended(
        &mut self,
        session: Setting,
        closed: &Closed,
        [was_attached, is_needed]: [bool; 2],
    ) {
        self.counts.sessions += 1;
        let is_fine = match closed.code {
            Code::IDLE => true,
            // A link on its way that its peer did not want, or never got.
            code if !was_attached => {
                code.fault() != Fault::Receiver || code == Code::HANDSHAKE_TIMEOUT
            }
            // Nobody brought it back when its end was lost.
            Code::RESUME_EXPIRED if !is_needed => true,
            code => self.troubles.explain(session, code),
        };
        if !is_fine {
            let [here, there] = session.pair.map(|host| host.0);
            self.broken(session.at, || {
                format!("the session of {here} with {there} ended: {closed:?}")
            });
        }
    }

    /// A link of a session that goes on ended.
    pub(super) fn link_ended(&mut self, link: Setting, code: Code) {
        let is_fine = match code {
            Code::HANDSHAKE_TIMEOUT => self.troubles.are_felt(link),
            code => code.fault() != Fault::Receiver,
        };
        if !is_fine {
            let [here, there] = link.pair.map(|host| host.0);
            self.broken(link.at, || format!("a link of {here} to {there} ended: {code:?}"));
        }
    }

    /// Holds a session to its limits.
    pub(super) fn bounds(&mut self, host: HostId, stats: &Stats, config: &Config, at: Time) {
        let is_within = stats.retained_bytes <= config.send_budget + LEAST_CHARGE
            && stats.granted_bytes <= config.receive_budget
            && stats.gaps <= MAX_GAPS;
        if !is_within {
            self.broken(at, || format!("a session of {} is beyond its limits: {stats:?}", host.0));
        }
    }

    /// A datagram arrived: never twice.
    pub(super) fn datagram(&mut self, number: u64, at: Time) {
        self.counts.datagrams += 1;
        if !self.datagrams.insert(number) {
            self.broken(at, || format!("datagram {number} arrived twice"));
        }
    }

    /// Notes that something does not hold which must. The first one is kept.
    pub(super) fn broken(&mut self, at: Time, what: impl FnOnce() -> String) {
        self.broken.get_or_insert_with(|| (at, what()));
    }

    /// Whether a side of an attempt lost interest.
    pub(super) fn is_given_up(&mut self, attempt: Attempt) -> bool {
        self.fact(attempt).is_some_and(|fact| fact.is_given_up)
    }

    pub(super) fn exchange(&self, number: u64) -> Option<&Exchange> {
        self.entries.get(&number).map(|entry| &entry.exchange)
    }

    /// Exchanges of a host that are neither done nor given up.
    pub(super) fn open_of(&self, host: HostId) -> Vec<u64> {
        let is_its = |number: &&u64| self.exchange(**number).is_some_and(|it| it.from == host);
        self.open.iter().filter(is_its).copied().collect()
    }

    /// Whether every exchange is done or given up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// How exchanges went.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What did not hold first, and when.
    #[must_use]
    pub fn first_broken(&self) -> Option<(Duration, &str)> {
        let (at, what) = self.broken.as_ref()?;
        Some((Duration::from_nanos(at.0), what))
    }

    /// Exchanges that are open, for a person.
    pub(super) fn describe_open(&self) -> String {
        let open = self.open.iter().filter_map(|number| {
            let entry = self.entries.get(number)?;
            Some(format!("{number} after {} attempts: {:?}", entry.attempts.len(), entry.exchange))
        });
        open.take(5).collect::<Vec<_>>().join("; ")
    }

    fn fact(&mut self, attempt: Attempt) -> Option<&mut Fact> {
        let attempts = &mut self.entries.get_mut(&attempt.exchange)?.attempts;
        attempts.get_mut(usize::try_from(attempt.number).ok()?)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, done, given_up, failed_attempts, sessions, datagrams } = self;
        write!(
            f,
            "{done} of {wanted} exchanges done, {given_up} given up, {failed_attempts} failed \
             attempts, {sessions} sessions ended, {datagrams} datagrams"
        )
    }
}

/// What the engine charges for the shortest write, which may be the last that fits.
const LEAST_CHARGE: usize = 64;
/// The engine's limit for a session.
const MAX_GAPS: usize = 8192;
