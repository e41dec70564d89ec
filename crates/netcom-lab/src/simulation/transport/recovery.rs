//! When to send again and how much may be on its way: RFC 6298, slow start, and AIMD.

use std::time::Duration;

/// The round trip, the retransmission timeout and the congestion window of one direction.
#[derive(Debug)]
pub(super) struct Recovery {
    packet: usize,
    shortest_timeout: Duration,
    smoothed: Option<Duration>,
    variation: Duration,
    /// Timeouts in a row.
    timeouts: u32,
    window: usize,
    /// Where slow start ends.
    threshold: usize,
    /// The loss of packets before this one has been answered.
    reduced_until: u64,
}

impl Recovery {
    pub(super) fn new(packet: usize, shortest_timeout: Duration) -> Self {
        Self {
            packet,
            shortest_timeout,
            smoothed: None,
            variation: Duration::ZERO,
            timeouts: 0,
            window: FIRST_WINDOW * packet,
            threshold: usize::MAX,
            reduced_until: 0,
        }
    }

    /// Takes a round trip of a packet that was sent once
    /// ([RFC 6298, section 2](https://www.rfc-editor.org/rfc/rfc6298#section-2)).
    pub(super) fn sample(&mut self, rtt: Duration) {
        match self.smoothed {
            None => {
                self.smoothed = Some(rtt);
                self.variation = rtt / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
    }

    /// So many bytes arrived.
    pub(super) fn acknowledged(&mut self, bytes: usize) {
        self.timeouts = 0;
        self.window += if self.window < self.threshold {
            bytes
        } else {
            (self.packet * bytes / self.window).max(1)
        };
        self.window = self.window.min(LARGEST_WINDOW);
    }

    /// A packet was lost; `next` is the number of the next one. Halves the window once for all
    /// that were on their way together.
    pub(super) fn lost(&mut self, number: u64, next: u64) {
        if number >= self.reduced_until {
            self.reduced_until = next;
            self.threshold = (self.window / 2).max(SMALLEST_WINDOW * self.packet);
            self.window = self.threshold;
        }
    }

    /// Nothing came back in time.
    pub(super) fn timed_out(&mut self, next: u64) {
        self.lost(self.reduced_until, next);
        self.window = SMALLEST_WINDOW * self.packet;
        self.timeouts += 1;
    }

    /// The path is another one now.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.packet, self.shortest_timeout);
    }

    /// How long to wait for an answer.
    pub(super) fn timeout(&self) -> Duration {
        let base = self.smoothed.map_or(FIRST_TIMEOUT, |smoothed| {
            (smoothed + (self.variation * 4).max(GRANULARITY)).max(self.shortest_timeout)
        });
        (base * 2_u32.pow(self.timeouts.min(MAX_DOUBLINGS))).min(LONGEST_TIMEOUT)
    }

    /// How long a packet may be late behind later ones before it counts as lost
    /// ([RFC 9002, section 6.1.2](https://www.rfc-editor.org/rfc/rfc9002#section-6.1.2)).
    pub(super) fn patience(&self) -> Duration {
        self.smoothed.map_or(FIRST_TIMEOUT, |smoothed| smoothed * 9 / 8)
    }

    /// Bytes that may be on their way.
    pub(super) fn window(&self) -> usize {
        self.window
    }
}

/// Packets in the first window
/// ([RFC 6928](https://www.rfc-editor.org/rfc/rfc6928)).
const FIRST_WINDOW: usize = 10;
const SMALLEST_WINDOW: usize = 2;
const LARGEST_WINDOW: usize = 8 << 20;
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_DOUBLINGS: u32 = 8;
const GRANULARITY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn recovery() -> Recovery {
        Recovery::new(1000, Duration::from_millis(200))
    }

    #[test]
    fn the_timeout_follows_the_round_trip_and_doubles_while_nothing_comes_back() {
        let mut recovery = recovery();
        assert_eq!(recovery.timeout(), FIRST_TIMEOUT);
        recovery.sample(RTT);
        assert_eq!(recovery.timeout(), RTT * 3);
        for _ in 0..50 {
            recovery.sample(RTT);
        }
        assert_eq!(recovery.timeout(), Duration::from_millis(200), "the shortest");
        for doubled in 1..4 {
            recovery.timed_out(1);
            assert_eq!(recovery.timeout(), Duration::from_millis(200) * (1 << doubled));
        }
        recovery.acknowledged(1);
        assert_eq!(recovery.timeout(), Duration::from_millis(200));
    }

    #[test]
    fn the_window_doubles_each_round_trip_until_a_loss_halves_it() {
        let mut recovery = recovery();
        recovery.acknowledged(10_000);
        assert_eq!(recovery.window(), 20_000);
        recovery.lost(5, 25);
        recovery.lost(7, 25);
        assert_eq!(recovery.window(), 10_000, "one reduction for losses of one round trip");
        recovery.acknowledged(10_000);
        assert_eq!(recovery.window(), 11_000, "one packet more each round trip");
        recovery.timed_out(40);
        assert_eq!(recovery.window(), 2000);
    }
}
