//! How much to hand to a socket at once: what it takes in two milliseconds.

use std::time::{Duration, Instant};

/// Measures how fast a socket takes bytes while it is the bottleneck.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second, 0 until the socket has pushed back twice in a row.
    rate: u64,
    blocked_at: Option<Instant>,
    since_blocked: u64,
    unsent_limit: u32,
}

impl Pace {
    /// Starts without knowledge.
    pub(crate) fn new() -> Self {
        Self { rate: 0, blocked_at: None, since_blocked: 0, unsent_limit: 0 }
    }

    /// Notes bytes the socket took.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.since_blocked = self.since_blocked.saturating_add(bytes as u64);
    }

    /// Notes that everything was sent: what follows says nothing about the socket's speed.
    pub(crate) fn idle(&mut self) {
        self.blocked_at = None;
    }

    /// Notes that the socket takes no more. Between two such moments without idling lies its
    /// speed.
    pub(crate) fn blocked(&mut self, now: Instant) {
        if let Some(before) = self.blocked_at {
            let passed = now.saturating_duration_since(before);
            // Asked again before it took anything: the measurement goes on.
            if passed < SHORTEST_MEASUREMENT || self.since_blocked == 0 {
                return;
            }
            let measured = u128::from(self.since_blocked) * 1_000_000_000 / passed.as_nanos();
            let measured = u64::try_from(measured).unwrap_or(u64::MAX);
            self.rate = if self.rate == 0 { measured } else { self.rate / 4 * 3 + measured / 4 };
        }
        self.blocked_at = Some(now);
        self.since_blocked = 0;
    }

    /// The most bytes of one batch.
    pub(crate) fn batch(&self) -> usize {
        match self.rate {
            0 => FIRST_BATCH,
            rate => usize::try_from(rate / 500).unwrap_or(MAX_BATCH).clamp(MIN_BATCH, MAX_BATCH),
        }
    }

    /// How many unsent bytes the kernel should hold, when that differs much from what it was told.
    pub(crate) fn unsent_limit(&mut self) -> Option<u32> {
        let wanted = match self.rate {
            0 => FIRST_UNSENT,
            rate => u32::try_from(rate / 200).unwrap_or(MAX_UNSENT).clamp(MIN_UNSENT, MAX_UNSENT),
        };
        let told = self.unsent_limit;
        let is_near = wanted < told.saturating_mul(2) && told < wanted.saturating_mul(2);
        if is_near {
            return None;
        }
        self.unsent_limit = wanted;
        Some(wanted)
    }
}

/// The smallest batch: one record.
const MIN_BATCH: usize = 16 * 1024;
/// The largest batch.
pub(crate) const MAX_BATCH: usize = 256 * 1024;
/// The batch while the speed is unknown.
const FIRST_BATCH: usize = 64 * 1024;
const MIN_UNSENT: u32 = 16 * 1024;
const MAX_UNSENT: u32 = 1024 * 1024;
const FIRST_UNSENT: u32 = 256 * 1024;
/// Below this the clock and the scheduler say more than the socket.
const SHORTEST_MEASUREMENT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(bytes_per_ms: usize) -> Pace {
        let mut pace = Pace::new();
        let mut now = Instant::now();
        pace.blocked(now);
        for _ in 0..50 {
            pace.sent(bytes_per_ms * 10);
            now += Duration::from_millis(10);
            pace.blocked(now);
        }
        pace
    }

    #[test]
    fn a_batch_is_two_milliseconds_of_the_socket_within_bounds() {
        assert_eq!(Pace::new().batch(), FIRST_BATCH);
        assert_eq!(measured(1_000).batch(), MIN_BATCH, "8 Mbit/s");
        let batch = measured(50_000).batch();
        assert!((95_000..105_000).contains(&batch), "{batch}");
        assert_eq!(measured(3_000_000).batch(), MAX_BATCH, "24 Gbit/s");
    }

    #[test]
    fn asking_a_full_socket_again_does_not_make_it_slower() {
        let mut pace = measured(50_000);
        let batch = pace.batch();
        let blocked = pace.blocked_at.unwrap();
        for millis in 1..50 {
            pace.blocked(blocked + Duration::from_millis(millis));
        }
        pace.sent(50_000 * 50);
        pace.blocked(blocked + Duration::from_millis(50));
        assert!(pace.batch().abs_diff(batch) < batch / 20, "{} after {batch}", pace.batch());
    }

    #[test]
    fn idle_time_says_nothing_about_the_speed() {
        let mut pace = measured(50_000);
        let batch = pace.batch();
        pace.idle();
        pace.blocked(Instant::now() + Duration::from_secs(3600));
        assert_eq!(pace.batch(), batch);
    }

    #[test]
    fn the_kernel_is_told_again_only_when_the_limit_halves_or_doubles() {
        let mut pace = Pace::new();
        assert_eq!(pace.unsent_limit(), Some(FIRST_UNSENT));
        assert_eq!(pace.unsent_limit(), None);
        pace.rate = u64::from(FIRST_UNSENT) * 200 * 3 / 2;
        assert_eq!(pace.unsent_limit(), None);
        pace.rate = u64::from(FIRST_UNSENT) * 200 * 2;
        assert_eq!(pace.unsent_limit(), Some(2 * FIRST_UNSENT));
    }
}
