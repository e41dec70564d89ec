//! A node's figures in the text form that Prometheus reads, and the socket that gives them out.
//!
//! They are put together when they are asked for, so a node that nobody asks pays nothing. No
//! label names a peer: how many lines there are does not depend on how many peers come.

mod page;
mod serve;

use std::sync::atomic::{AtomicU64, Ordering};

use netcom_session::Stats;
use parking_lot::Mutex;

pub use self::serve::{MetricsConfig, MetricsError};
use crate::session::SharedSession;

/// What a node counts over all its sessions, those included that have ended.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Of sessions that have ended.
    ended: Mutex<Traffic>,
    /// What was told last: a total never falls, though a session is counted nowhere in the moment
    /// in which it ends.
    told: Mutex<Traffic>,
    /// Events that a log could not take.
    lost_events: AtomicU64,
}

/// What went over sessions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Traffic {
    sent: u64,
    received: u64,
    repeated: u64,
    resent: u64,
    streams_opened: u64,
    dropped_datagrams: u64,
}

impl Totals {
    /// Counts a session that has ended.
    pub(crate) fn add_ended(&self, session: &SharedSession) {
        let mut ended = self.ended.lock();
        *ended = ended.with(&Traffic::of(&session.stats()), u64::saturating_add);
    }

    /// Counts events that a log could not take.
    pub(crate) fn lose_events(&self, count: u64) {
        self.lost_events.fetch_add(count, Ordering::Relaxed);
    }

    fn lost_events(&self) -> u64 {
        self.lost_events.load(Ordering::Relaxed)
    }

    /// Everything, with what the living sessions have.
    fn with_living(&self, living: &Traffic) -> Traffic {
        let now = self.ended.lock().with(living, u64::saturating_add);
        let mut told = self.told.lock();
        *told = told.with(&now, u64::max);
        *told
    }
}

impl Traffic {
    fn of(stats: &Stats) -> Self {
        Self {
            sent: stats.sent_bytes,
            received: stats.received_bytes,
            repeated: stats.repeated_bytes,
            resent: stats.resent_bytes,
            streams_opened: stats.streams_opened,
            dropped_datagrams: stats.dropped_datagrams,
        }
    }

    fn with(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            sent: join(self.sent, other.sent),
            received: join(self.received, other.received),
            repeated: join(self.repeated, other.repeated),
            resent: join(self.resent, other.resent),
            streams_opened: join(self.streams_opened, other.streams_opened),
            dropped_datagrams: join(self.dropped_datagrams, other.dropped_datagrams),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_does_not_fall_while_a_session_is_counted_nowhere() {
        let totals = Totals::default();
        let living = Traffic { sent: 10, ..Traffic::default() };
        assert_eq!(totals.with_living(&living).sent, 10);
        assert_eq!(totals.with_living(&Traffic::default()).sent, 10);
        *totals.ended.lock() = living;
        assert_eq!(totals.with_living(&Traffic { sent: 3, ..Traffic::default() }).sent, 13);
    }
}
