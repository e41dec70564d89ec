//! How much a link may carry that is not acknowledged.

use std::time::Duration;

use super::rtt::Rtt;
use crate::{LinkKind, Time};

/// The bound on bytes in flight (E-40): somewhat more than the link delivers in a round trip, so
/// that it is never short of data, queues on the way stay short and a dead link holds little.
///
/// While what it delivers still grows, the bound is twice as much: a link that can deliver all that
/// is in flight doubles what it delivers in a round trip. Once it does not grow, the link is full,
/// and half as much again is held ready: more would only wait on the way, and with it whatever
/// comes behind.
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
    /// Rounds since the fastest rate was last a quarter above this one.
    full: u32,
    full_for: u8,
    /// When the bound was last lowered to see how long the way is.
    looked_at: Time,
    /// The bound held data back in this round.
    is_limited: bool,
    /// It did in one before, so that the rates are what the link can do, and not only what it was
    /// given.
    is_proven: bool,
}

impl Flight {
    pub(crate) fn new(kind: LinkKind) -> Self {
        let near = if kind == LinkKind::Quic { MOST_NEAR_QUIC } else { MOST_NEAR };
        Self {
            limit: LEAST,
            near,
            rates: [0; ROUNDS],
            began: Time(0),
            acknowledged: 0,
            next: 0,
            full: 0,
            full_for: 0,
            looked_at: Time(0),
            is_limited: false,
            is_proven: false,
        }
    }

    /// Bytes that may be in flight.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes a second that the link delivers, or may deliver if it is given twice as much as it
    /// ever was; 0 while nothing is known.
    pub(crate) fn rate(&self) -> u64 {
        let known = u64::from(self.fastest()) << 10;
        if self.is_proven { known } else { known * 2 }
    }

    /// Lets so many bytes be in flight until the link's rate says how many.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.limit = self.limit.max(bytes);
    }

    /// Whether so many bytes in flight would keep a full link busy for half a round trip more than
    /// one, so that what it delivers is what it can.
    pub(crate) fn is_filled_by(&self, bytes: usize, rtt: &Rtt) -> bool {
        let full = in_time((rtt.least() + SLACK) * 3 / 2, self.fastest());
        self.fastest() > 0 && bytes as u128 >= full
    }

    /// Notes that there was more to send than a link takes that is kept busy.
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
        let (span, round) = (now.since(self.began), rtt.smoothed().max(SHORTEST_ROUND));
        // A round that ended between two pieces of data would leave the whole of the second to the
        // next one, though most of it was delivered in this one.
        if span < round || (bytes < STEP && span < 2 * round) {
            return;
        }
        self.end_round(now);
        if is_near {
            return;
        }
        let span = self.span(rtt, now);
        let bytes = in_time(span, self.fastest());
        self.limit = usize::try_from(bytes).unwrap_or(MOST).clamp(LEAST, MOST);
    }

    /// How long the link delivers what may be in flight. Round trips that were longer for seconds
    /// are none of the bound's making: the way has become longer, or others' packets wait on it. It
    /// follows them, else it would get slower with each round; now and then it halves itself for
    /// one, which shows whether they still are.
    fn span(&mut self, rtt: &Rtt, now: Time) -> Duration {
        let grows = self.full_for < FULL_FOR;
        let own = (rtt.least() + SLACK + rtt.variation()) * if grows { 4 } else { 3 } / 2;
        if rtt.recent() <= own + SLACK {
            return own;
        }
        let longer = rtt.recent() + SLACK;
        if now.since(self.looked_at) >= LOOK {
            self.looked_at = now;
            longer / 2
        } else {
            if grows { longer * 4 / 3 } else { longer }
        }
    }

    fn fastest(&self) -> u32 {
        self.rates.iter().copied().max().unwrap_or(0)
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
            self.judge_growth();
        }
    }

    /// Whether the link still delivers more when it is given more (after BBR's test of a full pipe,
    /// draft-ietf-ccwg-bbr, section 5.3.1.2).
    fn judge_growth(&mut self) {
        let fastest = self.fastest();
        if fastest > self.full.saturating_add(self.full / 4) {
            (self.full, self.full_for) = (fastest, 0);
        } else {
            self.full = self.full.min(fastest);
            self.full_for = self.full_for.saturating_add(1);
        }
    }
}

/// Bytes that a link of so many KiB a second delivers in this time.
fn in_time(span: Duration, rate: u32) -> u128 {
    (u128::from(rate) << 10) * span.as_nanos() / 1_000_000_000
}

/// Rounds whose fastest counts.
const ROUNDS: usize = 8;
/// Acknowledgements come in lumps; a shorter round would measure those.
const SHORTEST_ROUND: Duration = Duration::from_millis(5);
/// What the peer may wait with an acknowledgement, about.
const SLACK: Duration = Duration::from_millis(5);
/// Fewer bytes in a round say nothing of what the link can do.
const TELLING: u64 = 8 << 10;
/// An acknowledgement of fewer bytes is none of data.
const STEP: usize = 1 << 10;
/// Between two looks at how long the way is, where round trips are longer than they were.
const LOOK: Duration = Duration::from_secs(10);
/// Rounds without growth after which a link counts as full.
const FULL_FOR: u8 = 3;
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
        rtt.sample(20 * MS, Time(0));
        rtt
    }

    /// A sender that always has more, on a path of this rate: the limit after each round trip.
    fn limits(rate: u64, rounds: usize) -> Vec<usize> {
        let (mut flight, mut rtt, mut now) = (Flight::new(LinkKind::Tcp), far(), Time(0));
        let mut limits = Vec::new();
        for _ in 0..rounds {
            now = now + 20 * MS;
            rtt.sample(20 * MS, now);
            let sent = flight.limit();
            let delivered = usize::try_from(rate / 50).expect("a small number").min(sent);
            flight.hold_back();
            flight.acknowledge(delivered, &rtt, now);
            limits.push(flight.limit());
        }
        limits
    }

    /// A path of 100 Mbit/s whose round trip takes as long as it is told, and longer where more is
    /// in flight; a sender that always has more. What it delivers in a second, and the longest
    /// round trip of the last ten seconds.
    struct Path {
        flight: Flight,
        rtt: Rtt,
        now: Time,
    }

    impl Path {
        const RATE: u128 = 12_500_000;

        fn new() -> Self {
            let now = Time(0) + Duration::from_secs(3600);
            Self { flight: Flight::new(LinkKind::Tcp), rtt: Rtt::default(), now }
        }

        fn run(&mut self, way: impl Fn(u32) -> Duration, seconds: u64) -> (f64, Duration) {
            let (start, end) = (self.now, self.now + Duration::from_secs(seconds));
            let (mut delivered, mut longest, mut round) = (0, Duration::ZERO, 0);
            while self.now < end {
                let bytes = self.flight.limit();
                let nanos = bytes as u128 * 1_000_000_000 / Self::RATE;
                let took =
                    way(round).max(Duration::from_nanos(u64::try_from(nanos).expect("short")));
                self.now = self.now + took;
                self.rtt.sample(took, self.now);
                self.flight.hold_back();
                self.flight.acknowledge(bytes, &self.rtt, self.now);
                delivered += bytes;
                round += 1;
                if self.now + LOOK > end {
                    longest = longest.max(took);
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a share")]
            let share =
                delivered as f64 / Self::RATE as f64 / (self.now.since(start)).as_secs_f64();
            (share, longest)
        }
    }

    #[test]
    fn the_bound_grows_until_the_path_is_full_and_then_keeps_half_a_round_trip_in_store() {
        // 100 Mbit/s: 12.5 MB/s for 25 ms and what a round trip varies by, and half as much again.
        let limits = limits(12_500_000, 40);
        assert!(limits[0] >= 64 << 10 && limits[0] < 256 << 10, "{}", limits[0]);
        assert!(limits[5] >= 375_000, "it takes few round trips: {limits:?}");
        assert!(limits[12..].iter().all(|limit| (468_000..=600_000).contains(limit)), "{limits:?}");
    }

    #[test]
    fn what_a_flow_lets_wait_itself_is_never_taken_for_a_longer_way() {
        let mut path = Path::new();
        path.run(|_| 20 * MS, 10);
        for _ in 0..10 {
            let (share, longest) = path.run(|_| 20 * MS, 60);
            assert!(share > 0.99 && longest < 45 * MS, "{share} {longest:?}");
            assert_eq!(path.flight.looked_at, Time(0));
        }
    }

    #[test]
    fn a_way_that_becomes_longer_is_still_filled_and_a_shorter_one_has_no_queue() {
        let mut path = Path::new();
        path.run(|_| 20 * MS, 10);
        for _ in 0..3 {
            let (share, _) = path.run(|_| 120 * MS, 10);
            assert!(share > 0.65, "it is found out in seconds: {share}");
            let (share, longest) = path.run(|_| 120 * MS, 60);
            assert!(share > 0.95 && longest < 140 * MS, "{share} {longest:?}");
            path.run(|_| 20 * MS, 20);
            let (share, longest) = path.run(|_| 20 * MS, 60);
            assert!(share > 0.99 && longest < 45 * MS, "{share} {longest:?}");
        }
    }

    #[test]
    fn round_trips_that_vary_much_leave_room_for_the_longest() {
        let mut path = Path::new();
        // As over wireless: 2 ms at best, 14 to 26 as a rule.
        let way = |round| if round % 8 == 0 { 2 * MS } else { (14 + round % 13) * MS };
        path.run(way, 10);
        let (share, _) = path.run(way, 60);
        assert!(share > 0.85, "{share}");
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
        assert!(flight.limit() <= fast / 9, "{} after {fast}", flight.limit());
    }

    #[test]
    fn a_round_ends_with_data() {
        let (mut flight, rtt) = (Flight::new(LinkKind::Quic), far());
        // Pieces of 64 KiB at 25 Mbit/s, whose last bytes arrive 21 ms one after the other, and in
        // between answers to frames without data.
        let mut time = Time(0) + Duration::from_secs(3600);
        flight.begin(time);
        for (wait, bytes) in [(20, 100), (1, 64 << 10), (21, 64 << 10), (20, 100), (1, 64 << 10)] {
            time = time + wait * MS;
            flight.hold_back();
            flight.acknowledge(bytes, &rtt, time);
        }
        assert!(flight.rate() < 3_300_000, "{}", flight.rate());
    }

    #[test]
    fn a_link_that_others_help_forgets_a_rate_that_it_no_longer_has() {
        let (mut flight, rtt) = (Flight::new(LinkKind::Quic), far());
        let mut now = Time(0);
        let mut round = |flight: &mut Flight, in_flight: usize| {
            now = now + 20 * MS;
            if flight.is_filled_by(in_flight, &rtt) {
                flight.hold_back();
            }
            flight.acknowledge(62_500.min(in_flight), &rtt, now);
        };
        flight.acknowledge(125_000, &rtt, Time(0) + 20 * MS);
        flight.hold_back();
        let fast = flight.rate();
        // It is never given what its bound allows, and yet as much as it delivers in 80 ms.
        assert!(flight.limit() > 250_000);
        (0..=ROUNDS).for_each(|_| round(&mut flight, 250_000));
        assert!(flight.rate() <= fast / 2, "{} after {fast}", flight.rate());
        // A little at a time tells nothing.
        let slow = flight.rate();
        (0..100).for_each(|_| round(&mut flight, 16 << 10));
        assert_eq!(flight.rate(), slow);
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
        near.sample(Duration::from_micros(80), Time(0));
        flight.acknowledge(1, &near, Time(u64::MAX));
        assert_eq!(flight.limit(), MOST_NEAR);
    }
}
