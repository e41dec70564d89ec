//! How much a link may carry that is not acknowledged.

use std::time::Duration;

use super::rtt::Rtt;
use crate::{LinkKind, Time};

/// The bound on bytes in flight (E-40): twice what the link delivers in a round trip, so that it is
/// never short of data, queues on the way stay short and a dead link holds little. It grows by
/// itself: a link that can deliver all that is in flight doubles what it delivers in a round trip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    limit: usize,
    /// The bound where the link leads to the same machine or network.
    near: usize,
    /// KiB a second of the last rounds, one after the other.
    rates: [u32; ROUNDS],
    /// The round that is measured: when it began, what was acknowledged since.
    began: Time,
    acknowledged: u64,
    next: u8,
    /// The bound held data back in this round.
    is_limited: bool,
    /// It did in one before, so that the rates are what the link can do, and not only what it was
    /// given.
    is_proven: bool,
}

impl Flight {
    pub(crate) fn new(kind: LinkKind) -> Self {
        let near = if kind == LinkKind::Quic { MOST_NEAR_QUIC } else { MOST_NEAR };
        let (rates, began) = ([0; ROUNDS], Time(0));
        let (is_limited, is_proven) = (false, false);
        Self { limit: LEAST, near, rates, next: 0, began, acknowledged: 0, is_limited, is_proven }
    }

    /// Bytes that may be in flight.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes a second that the link delivers, or may deliver if it is given twice as much as it
    /// ever was; 0 while nothing is known.
    pub(crate) fn rate(&self) -> u64 {
        let fastest = self.rates.iter().copied().max().unwrap_or(0);
        let known = u64::from(fastest) << 10;
        if self.is_proven { known } else { known * 2 }
    }

    /// Lets so many bytes be in flight until the link's rate says how many.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.limit = self.limit.max(bytes);
    }

    /// Notes that there was more to send than the bound allows.
    pub(crate) fn hold_back(&mut self) {
        self.is_limited = true;
    }

    /// Takes note of when the oldest of what is about to be acknowledged was sent: the time before
    /// that is no part of a round.
    pub(crate) fn begin(&mut self, sent_at: Time) {
        if self.acknowledged == 0 {
            self.began = self.began.max(sent_at);
        }
    }

    /// Takes note of acknowledged bytes, after the round trip that they tell.
    pub(crate) fn acknowledge(&mut self, bytes: usize, rtt: &Rtt, now: Time) {
        self.acknowledged = self.acknowledged.saturating_add(bytes as u64);
        let is_near = rtt.least() < NEAR_RTT;
        if is_near {
            self.limit = self.near;
        }
        if now.since(self.began) < rtt.smoothed().max(SHORTEST_ROUND) {
            return;
        }
        self.end_round(now);
        if is_near {
            return;
        }
        let fastest = self.rates.iter().copied().max().unwrap_or(0);
        let span = rtt.least() + SLACK;
        let bytes = (u128::from(fastest) << 10) * 2 * span.as_nanos() / 1_000_000_000;
        self.limit = usize::try_from(bytes).unwrap_or(MOST).clamp(LEAST, MOST);
    }

    /// Takes note that nothing is on its way any more: what follows is measured by itself.
    pub(crate) fn pause(&mut self, rtt: &Rtt, now: Time) {
        let is_round = now.since(self.began) >= rtt.least().max(SHORTEST_ROUND);
        if is_round && self.acknowledged >= TELLING {
            self.end_round(now);
        }
        self.acknowledged = 0;
    }

    /// A round without a shortage of data tells what the link can do; any other only that it can
    /// do as much, if it says anything.
    fn end_round(&mut self, now: Time) {
        let span = now.since(self.began).as_nanos().max(1);
        let rate = u128::from(self.acknowledged) * 1_000_000_000 / span;
        let rate = u32::try_from(rate >> 10).unwrap_or(u32::MAX);
        let is_telling = self.acknowledged >= TELLING;
        (self.began, self.acknowledged) = (now, 0);
        let is_limited = std::mem::take(&mut self.is_limited);
        self.is_proven |= is_limited;
        if is_limited || (is_telling && self.rates.iter().all(|known| *known < rate)) {
            let place = usize::from(self.next) % ROUNDS;
            self.rates[place] = rate;
            self.next = self.next.wrapping_add(1);
        }
    }
}

/// Rounds whose fastest counts.
const ROUNDS: usize = 8;
/// Acknowledgements come in lumps; a shorter round would measure those.
const SHORTEST_ROUND: Duration = Duration::from_millis(5);
/// What the peer may wait with an acknowledgement, about.
const SLACK: Duration = Duration::from_millis(5);
/// Fewer bytes in a round say nothing of what the link can do.
const TELLING: u64 = 8 << 10;
const LEAST: usize = 64 << 10;
const MOST: usize = 64 << 20;
/// Below this least round trip a link leads to the same machine or network.
const NEAR_RTT: Duration = Duration::from_millis(1);
/// What such a link may carry: more would only wait in the kernel's queues, and leave the
/// processor's caches there.
const MOST_NEAR: usize = 2 << 20;
/// The same over QUIC, where nothing waits in the kernel and more threads take turns: with less,
/// the sender stands still while one of them waits for a processor.
const MOST_NEAR_QUIC: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn far() -> Rtt {
        let mut rtt = Rtt::default();
        rtt.sample(20 * MS);
        rtt
    }

    /// A sender that always has more, on a path of this rate: the limit after each round trip.
    fn limits(rate: u64, rounds: usize) -> Vec<usize> {
        let (mut flight, rtt, mut now) = (Flight::new(LinkKind::Tcp), far(), Time(0));
        let mut limits = Vec::new();
        for _ in 0..rounds {
            now = now + 20 * MS;
            let sent = flight.limit();
            let delivered = usize::try_from(rate / 50).expect("a small number").min(sent);
            flight.hold_back();
            flight.acknowledge(delivered, &rtt, now);
            limits.push(flight.limit());
        }
        limits
    }

    #[test]
    fn the_bound_reaches_twice_what_the_path_delivers_and_stays_there() {
        // 100 Mbit/s: 12.5 MB/s for 25 ms, twice.
        let limits = limits(12_500_000, 40);
        assert!(limits[0] >= 64 << 10 && limits[0] < 256 << 10, "{}", limits[0]);
        assert!(limits[5] >= 500_000, "it takes few round trips: {limits:?}");
        assert!(limits[8..].iter().all(|limit| (600_000..=650_000).contains(limit)), "{limits:?}");
    }

    #[test]
    fn a_pause_does_not_make_a_link_slower_and_a_slower_path_does() {
        let (mut flight, rtt) = (Flight::new(LinkKind::Tcp), far());
        let mut now = Time(0);
        let mut round = |flight: &mut Flight, bytes, is_limited| {
            now = now + 20 * MS;
            if is_limited {
                flight.hold_back();
            }
            flight.acknowledge(bytes, &rtt, now);
        };
        (0..10).for_each(|_| round(&mut flight, 250_000, true));
        let fast = flight.limit();
        (0..100).for_each(|_| round(&mut flight, 1000, false));
        assert_eq!(flight.limit(), fast);
        (0..ROUNDS).for_each(|_| round(&mut flight, 25_000, true));
        assert!(flight.limit() <= fast / 9);
    }

    #[test]
    fn a_rate_is_known_once_something_was_delivered_and_pauses_are_no_part_of_it() {
        let (mut flight, rtt) = (Flight::new(LinkKind::Tcp), far());
        assert_eq!(flight.rate(), 0);
        let sent_at = Time(0) + 3600 * Duration::from_secs(1);
        flight.begin(sent_at);
        flight.acknowledge(16 << 10, &rtt, sent_at + 20 * MS);
        assert_eq!(flight.rate(), 1600 << 10, "it may do twice as much");
        flight.hold_back();
        flight.acknowledge(32 << 10, &rtt, sent_at + 40 * MS);
        assert_eq!(flight.rate(), 1600 << 10);
        flight.acknowledge(100, &rtt, sent_at + 400 * MS);
        flight.begin(sent_at + 500 * MS);
        flight.acknowledge(64 << 10, &rtt, sent_at + 501 * MS);
        flight.pause(&rtt, sent_at + 501 * MS);
        assert_eq!(flight.rate(), 1600 << 10);
    }

    #[test]
    fn bounds_are_kept_whatever_the_numbers() {
        let (mut flight, rtt) = (Flight::new(LinkKind::Tcp), far());
        assert_eq!(flight.limit(), LEAST);
        flight.acknowledge(usize::MAX, &rtt, Time(25_000_000));
        assert_eq!(flight.limit(), MOST);
        let mut near = Rtt::default();
        near.sample(Duration::from_micros(80));
        flight.acknowledge(1, &near, Time(u64::MAX));
        assert_eq!(flight.limit(), MOST_NEAR);
    }
}
