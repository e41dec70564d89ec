//! Whether what is in flight waits in a queue on the way.

use std::time::Duration;

use super::{config::LACK_DELAY, rtt::Rtt};
use crate::Time;

/// Tells a queue that a link's own data keeps filled from one that comes and goes: by the least
/// round trip of a round, as CoDel does (RFC 8289, section 3.2). Times in nanoseconds, which keeps
/// idle sessions small.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// The round trip without a queue.
    base: u64,
    /// The least round trip of the present round; 0 without a sample.
    least: u64,
    /// The longest an acknowledgement waited for company in this round and the one before.
    wait: u64,
    last_wait: u64,
    /// Rounds in a row that speak against `is_standing`, or that it did not help.
    rounds: u8,
    is_standing: bool,
    /// Rounds for which little is sent, to see whether the way is shorter than `base`.
    draining: u8,
    drained_at: Time,
}

impl Queue {
    /// Nothing is known but the least round trip so far.
    pub(crate) fn new(rtt: &Rtt) -> Self {
        Self { base: nanos(rtt.least()), ..Self::default() }
    }

    /// Takes note of a round trip, and of how long the peer says its acknowledgement waited.
    pub(crate) fn sample(&mut self, rtt: &Rtt, wait: Duration) {
        self.wait = self.wait.max(nanos(wait).min(LONGEST_WAIT));
        let latest = nanos(rtt.latest()).max(1);
        self.base = self.base.min(latest);
        self.least = if self.least == 0 { latest } else { self.least.min(latest) };
    }

    /// Takes note of the end of a round in which as much was in flight as was allowed.
    pub(crate) fn end_round(&mut self, rtt: &Rtt, now: Time) {
        self.last_wait = std::mem::take(&mut self.wait);
        let least = std::mem::take(&mut self.least);
        if least == 0 {
            return;
        }
        self.draining = self.draining.saturating_sub(1);
        let delay = least - self.base;
        if !self.is_standing {
            (self.is_standing, self.rounds) = (delay > self.allowed(), 0);
        } else if delay > self.allowed() {
            self.count_round(|queue| queue.base = least);
        } else if delay < self.allowed() / 4 {
            self.count_round(|_| {});
        } else {
            self.rounds = 0;
        }
        let is_longer = self.base > nanos(rtt.least()).saturating_add(self.allowed() / 4);
        if is_longer && now.since(self.drained_at) > DRAIN_INTERVAL {
            (self.draining, self.drained_at) = (DRAIN_ROUNDS, now);
        }
    }

    /// After several rounds the queue is not, or is no more, that of this link.
    fn count_round(&mut self, then: impl FnOnce(&mut Self)) {
        self.rounds += 1;
        if self.rounds >= ROUNDS {
            (self.is_standing, self.rounds) = (false, 0);
            then(self);
        }
    }

    /// For how long data may be on its way: what the link delivers in this time may be in flight.
    pub(crate) fn span(&self) -> Duration {
        let span = if self.draining > 0 {
            self.base / 2
        } else if self.is_standing {
            self.base + self.last_wait.max(self.wait) + self.allowed() / 5 * 4
        } else {
            (self.base + SLACK) * 2
        };
        Duration::from_nanos(span)
    }

    /// Whether less may be in flight because it would only wait.
    pub(crate) fn is_standing(&self) -> bool {
        self.is_standing
    }

    /// How long data may wait in the queue of the way.
    fn allowed(&self) -> u64 {
        (self.base / 2).max(ALLOWED)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the peer may wait with an acknowledgement, about.
const SLACK: u64 = 5_000_000;
/// However long it says it did.
const LONGEST_WAIT: u64 = 2 * LACK_DELAY.as_nanos() as u64;
/// The wait that interactive data does not notice, and that keeps a link of short round trips
/// busy.
const ALLOWED: u64 = 10_000_000;
/// Rounds after which a shorter or longer way is believed.
const ROUNDS: u8 = 8;
/// Between two looks whether a way that became longer is short again, and how many rounds each
/// takes.
const DRAIN_INTERVAL: Duration = Duration::from_secs(10);
const DRAIN_ROUNDS: u8 = 3;
