//! What one direction of a path does to packets: a machine without clock or I/O, the same under
//! the link in user space and under the simulation.

use std::{collections::VecDeque, time::Duration};

use crate::Random;

/// What one direction of a path is like.
///
/// ```
/// # use std::time::Duration;
/// use netcom_lab::{Loss, PathSpec};
/// let spec = PathSpec {
///     loss: Loss::Bursts { mean: 0.02, burst: 2.0 },
///     rate: Some(100_000_000),
///     ..PathSpec::new(Duration::from_millis(20))
/// };
/// # assert_eq!(spec.delay.as_millis(), 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathSpec {
    /// How long a packet is on its way after it has left the line.
    pub delay: Duration,
    /// By how much that may be longer: for each packet anything up to this, all as likely. It puts
    /// no packet out of turn, so one that is held up holds up those behind it. Default: none.
    pub jitter: Duration,
    /// Which packets are lost on their way. They have taken their time on the line. Default: none.
    pub loss: Loss,
    /// The share of packets that take a detour, so that later ones overtake them. It is at most as
    /// long as half of `delay`, as `jitter` or as 1 ms, whichever is most, and at least half as
    /// long. Default: none.
    pub reordering: f64,
    /// The share of packets that arrive twice; the second has a jitter of its own. Default: none.
    pub duplication: f64,
    /// Bits that leave in a second, at least one. Default: any number, so that no packet waits.
    pub rate: Option<u64>,
    /// Bytes that may wait while another packet leaves; what does not fit is lost. A line that is
    /// free takes anything. Default: 1 MiB.
    pub queue: usize,
    /// The longest packet in bytes, with its IP header. Longer ones vanish without a word.
    /// Default: 1,500.
    pub mtu: usize,
}

/// Which packets are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// This share, each packet for itself.
    Independent(f64),
    /// Some in a row, then none for a while: the model of Gilbert and Elliott (Gilbert, "Capacity
    /// of a burst-noise channel", 1960), in whose bad state every packet is lost.
    Bursts {
        /// The share that is lost in the long run, at most `burst / (1 + burst)`.
        mean: f64,
        /// How many are lost in a row on average, at least 1.
        burst: f64,
    },
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It never arrives.
    Lost(Cause),
    /// It arrives.
    Arrives {
        /// When, never before it was sent.
        at: Duration,
        /// When it arrives once more, if it does.
        again: Option<Duration>,
    },
}

/// Why a packet was lost.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Cause {
    /// By chance: [`PathSpec::loss`].
    Loss,
    /// Too many bytes waited for the line: [`PathSpec::queue`].
    Queue,
    /// It was longer than [`PathSpec::mtu`].
    Mtu,
    /// Nothing passes. A [`Path`] does not know this cause, who drives it does.
    Down,
    /// Nothing of its protocol passes. A [`Path`] does not know this cause.
    Blocked,
    /// Whom it was for does not take it. A [`Path`] does not know this cause.
    Device,
}

/// One direction of a path as it goes on.
///
/// It decides about each packet when it is sent; to hold the packet until then is its driver's
/// part. Times are counted from any one moment, and never go back.
///
/// ```
/// # use std::time::Duration;
/// use netcom_lab::{Fate, Path, PathSpec, Random};
/// let spec = PathSpec { rate: Some(8_000), ..PathSpec::new(Duration::from_millis(20)) };
/// let mut path = Path::new(spec);
/// let fate = path.pass(500, Duration::ZERO, &mut Random::new(1));
/// // Half a second on a line of a thousand bytes a second, then the delay.
/// assert_eq!(fate, Fate::Arrives { at: Duration::from_millis(520), again: None });
/// ```
#[derive(Clone, Debug)]
pub struct Path {
    spec: PathSpec,
    /// The packet that leaves and those that wait: when each will have left, and its bytes.
    line: VecDeque<(Duration, usize)>,
    /// Bytes of all of them.
    load: usize,
    /// When the last of them will have left.
    free: Duration,
    /// When the last packet that kept its turn arrives.
    last: Duration,
    is_in_burst: bool,
}

impl PathSpec {
    /// Asks for a path on which each packet arrives this long after it was sent.
    #[must_use]
    pub const fn new(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: Loss::None,
            reordering: 0.0,
            duplication: 0.0,
            rate: None,
            queue: 1 << 20,
            mtu: 1500,
        }
    }

    /// How long a packet of so many bytes takes to leave.
    fn time_on_line(&self, bytes: usize) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        Duration::from_nanos((bytes as u64).saturating_mul(8 * NANOSECONDS) / rate.max(1))
    }

    /// The longest detour of a packet that leaves its turn.
    fn detour(&self) -> Duration {
        (self.delay / 2).max(self.jitter).max(SHORTEST_DETOUR)
    }
}

impl Path {
    /// Starts with a free line and no burst of losses.
    #[must_use]
    pub fn new(spec: PathSpec) -> Self {
        Self {
            spec,
            line: VecDeque::new(),
            load: 0,
            free: Duration::ZERO,
            last: Duration::ZERO,
            is_in_burst: false,
        }
    }

    /// Changes what the path is like for packets sent from now on. They stay behind those that
    /// are on their way, which go on as before.
    pub fn set(&mut self, spec: PathSpec) {
        self.spec = spec;
    }

    /// Decides about a packet of so many bytes that is sent now.
    pub fn pass(&mut self, bytes: usize, now: Duration, random: &mut Random) -> Fate {
        if bytes > self.spec.mtu {
            return Fate::Lost(Cause::Mtu);
        }
        let Some(left) = self.leave(bytes, now) else { return Fate::Lost(Cause::Queue) };
        if self.is_lost(random) {
            return Fate::Lost(Cause::Loss);
        }
        let at = self.arrival(left, random);
        let again = random.chance(self.spec.duplication);
        let again = again.then(|| at + self.spec.jitter.mul_f64(random.unit()));
        Fate::Arrives { at, again }
    }

    /// What the path is like for packets sent now.
    #[must_use]
    pub fn spec(&self) -> &PathSpec {
        &self.spec
    }

    /// When a packet that is sent now will have left, `None` if it finds no room to wait.
    fn leave(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        while let Some((_, gone)) = self.line.pop_front_if(|(left, _)| *left <= now) {
            self.load -= gone;
        }
        if let Some((_, leaving)) = self.line.front()
            && self.load - leaving + bytes > self.spec.queue
        {
            return None;
        }
        self.free = self.free.max(now) + self.spec.time_on_line(bytes);
        if self.free > now {
            self.line.push_back((self.free, bytes));
            self.load += bytes;
        }
        Some(self.free)
    }

    fn is_lost(&mut self, random: &mut Random) -> bool {
        match self.spec.loss {
            Loss::None => false,
            Loss::Independent(share) => random.chance(share),
            Loss::Bursts { mean, burst } => {
                let burst = burst.max(1.0);
                let turn = if self.is_in_burst {
                    1.0 / burst
                } else {
                    // So often that bursts of this length come to this share of all packets.
                    mean / (burst * (1.0 - mean))
                };
                self.is_in_burst ^= random.chance(turn);
                self.is_in_burst
            }
        }
    }

    fn arrival(&mut self, left: Duration, random: &mut Random) -> Duration {
        let at = left + self.spec.delay + self.spec.jitter.mul_f64(random.unit());
        if random.chance(self.spec.reordering) {
            return at + self.spec.detour().mul_f64(f64::midpoint(1.0, random.unit()));
        }
        self.last = self.last.max(at);
        self.last
    }
}

const NANOSECONDS: u64 = 1_000_000_000;
const SHORTEST_DETOUR: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(20);
    /// Ten bytes take a microsecond.
    const RATE: u64 = 80_000_000;
    const PACKETS: u32 = 400_000;

    /// What becomes of so many packets of 1,000 bytes, one each `gap`.
    fn fates(spec: PathSpec, gap: Duration, packets: u32) -> Vec<Fate> {
        let (mut path, mut random) = (Path::new(spec), Random::new(1));
        (0..packets).map(|number| path.pass(1000, gap * number, &mut random)).collect()
    }

    fn arrivals(fates: &[Fate]) -> Vec<Duration> {
        fates.iter().filter_map(|fate| arrival(*fate)).collect()
    }

    fn arrival(fate: Fate) -> Option<Duration> {
        match fate {
            Fate::Arrives { at, .. } => Some(at),
            Fate::Lost(_) => None,
        }
    }

    fn share(fates: &[Fate], is_it: impl Fn(&Fate) -> bool) -> f64 {
        fates.iter().filter(|fate| is_it(fate)).count() as f64 / fates.len() as f64
    }

    #[track_caller]
    fn assert_near(measured: f64, asked: f64, tolerance: f64) {
        let error = (measured / asked - 1.0).abs();
        assert!(error < tolerance, "{measured} where {asked} was asked for");
    }

    #[test]
    fn a_path_without_faults_delays_and_that_is_all() {
        let gap = Duration::from_micros(10);
        let expected: Vec<Duration> = (0..1000).map(|number| gap * number + DELAY).collect();
        assert_eq!(arrivals(&fates(PathSpec::new(DELAY), gap, 1000)), expected);
    }

    #[test]
    fn independent_losses_are_as_many_as_asked_for() {
        for asked in [0.01, 0.05, 0.25] {
            let spec = PathSpec { loss: Loss::Independent(asked), ..PathSpec::new(DELAY) };
            let fates = fates(spec, Duration::ZERO, PACKETS);
            let lost = share(&fates, |fate| *fate == Fate::Lost(Cause::Loss));
            assert_near(lost, asked, 0.05);
        }
    }

    #[test]
    fn bursts_of_losses_are_as_many_and_as_long_as_asked_for() {
        for (mean, burst) in [(0.01, 2.0), (0.04, 3.0), (0.15, 6.0), (0.25, 8.0), (0.25, 1.0)] {
            let spec = PathSpec { loss: Loss::Bursts { mean, burst }, ..PathSpec::new(DELAY) };
            let fates = fates(spec, Duration::ZERO, PACKETS);
            let is_lost = |fate: &Fate| *fate == Fate::Lost(Cause::Loss);
            let lost = share(&fates, is_lost);
            assert_near(lost, mean, 0.1);
            let begun = fates.windows(2).filter(|two| !is_lost(&two[0]) && is_lost(&two[1]));
            assert_near(lost * fates.len() as f64 / begun.count() as f64, burst, 0.1);
        }
    }

    #[test]
    fn a_line_lets_its_rate_through() {
        let spec = PathSpec { rate: Some(RATE), queue: usize::MAX, ..PathSpec::new(DELAY) };
        let arrivals = arrivals(&fates(spec, Duration::ZERO, 1000));
        let each = Duration::from_micros(100);
        let expected: Vec<Duration> = (1..=1000).map(|number| each * number + DELAY).collect();
        assert_eq!(arrivals, expected);
    }

    #[test]
    fn a_packet_waits_for_those_in_the_queue_and_is_lost_if_it_is_full() {
        let spec = PathSpec { rate: Some(RATE), queue: 5000, ..PathSpec::new(DELAY) };
        let (mut path, mut random) = (Path::new(spec), Random::new(1));
        let mut pass = |bytes, micros| path.pass(bytes, Duration::from_micros(micros), &mut random);
        let left =
            |micros| Fate::Arrives { at: DELAY + Duration::from_micros(micros), again: None };
        // One leaves, five wait.
        for number in 1..=6 {
            assert_eq!(pass(1000, 0), left(100 * number));
        }
        assert_eq!(pass(1000, 99), Fate::Lost(Cause::Queue));
        assert_eq!(pass(1000, 100), left(700));
        assert_eq!(pass(1, 199), Fate::Lost(Cause::Queue));
        assert_eq!(pass(1000, 5000), left(5100));
    }

    #[test]
    fn a_full_line_is_late_by_what_its_queue_holds() {
        let spec = PathSpec { rate: Some(RATE), queue: 100_000, ..PathSpec::new(DELAY) };
        // Twice as much as the line carries.
        let gap = Duration::from_micros(50);
        let fates = fates(spec, gap, 20_000);
        let queue = share(&fates[10_000..], |fate| *fate == Fate::Lost(Cause::Queue));
        assert_near(queue, 0.5, 0.01);
        for (number, fate) in (0..).zip(&fates).skip(10_000) {
            let Some(at) = arrival(*fate) else { continue };
            let waited = at - gap * number - DELAY;
            assert_near(waited.as_secs_f64(), 0.010_1, 0.02);
        }
    }

    #[test]
    fn a_free_line_takes_what_its_queue_could_not_hold() {
        let spec = PathSpec { rate: Some(RATE), queue: 0, ..PathSpec::new(DELAY) };
        let fates = fates(spec, Duration::from_micros(60), 4);
        let is_through: Vec<bool> = fates.iter().map(|fate| arrival(*fate).is_some()).collect();
        assert_eq!(is_through, [true, false, true, false]);
    }

    #[test]
    fn another_rate_holds_for_packets_sent_from_then_on() {
        let spec = PathSpec { rate: Some(RATE), ..PathSpec::new(DELAY) };
        let (mut path, mut random) = (Path::new(spec), Random::new(1));
        for _ in 0..5 {
            path.pass(1000, Duration::ZERO, &mut random);
        }
        path.set(PathSpec { rate: Some(RATE / 10), ..spec });
        let at = arrival(path.pass(1000, Duration::ZERO, &mut random));
        assert_eq!(at, Some(DELAY + Duration::from_micros(500 + 1000)));
    }

    #[test]
    fn jitter_spreads_arrivals_and_keeps_their_order() {
        let jitter = Duration::from_millis(10);
        let spec = PathSpec { jitter, ..PathSpec::new(DELAY) };
        for gap in [Duration::from_micros(100), jitter * 2] {
            let arrivals = arrivals(&fates(spec, gap, 10_000));
            assert!(arrivals.is_sorted());
            let late = (0..).zip(&arrivals).map(|(number, at)| *at - gap * number - DELAY);
            assert!(late.clone().all(|late| late <= jitter));
            let mean = late.map(|late| late.as_secs_f64()).sum::<f64>() / 10_000.0;
            if gap > jitter {
                assert_near(mean, 0.005, 0.05);
            } else {
                assert!(mean > 0.005, "{mean}: each waits for those before");
            }
        }
    }

    #[test]
    fn a_shorter_delay_lets_no_packet_overtake() {
        let (mut path, mut random) = (Path::new(PathSpec::new(DELAY)), Random::new(1));
        let first = arrival(path.pass(1000, Duration::ZERO, &mut random));
        path.set(PathSpec::new(Duration::ZERO));
        let second = arrival(path.pass(1000, Duration::from_millis(1), &mut random));
        assert_eq!((first, second), (Some(DELAY), Some(DELAY)));
    }

    #[test]
    fn as_many_packets_are_overtaken_as_asked_for() {
        let spec = PathSpec { reordering: 0.03, ..PathSpec::new(DELAY) };
        let gap = Duration::from_millis(1);
        let arrivals = arrivals(&fates(spec, gap, PACKETS));
        let late = (0..).zip(&arrivals).map(|(number, at)| *at - gap * number - DELAY);
        let late: Vec<Duration> = late.filter(|late| !late.is_zero()).collect();
        assert_near(late.len() as f64 / f64::from(PACKETS), 0.03, 0.05);
        assert!(late.iter().all(|late| (DELAY / 4..=DELAY / 2).contains(late)));
    }

    #[test]
    fn as_many_packets_arrive_twice_as_asked_for() {
        let jitter = Duration::from_millis(5);
        let spec = PathSpec { duplication: 0.02, jitter, ..PathSpec::new(DELAY) };
        let fates = fates(spec, Duration::from_millis(1), PACKETS);
        let twice = share(&fates, |fate| matches!(fate, Fate::Arrives { again: Some(_), .. }));
        assert_near(twice, 0.02, 0.05);
        for fate in fates {
            let Fate::Arrives { at, again: Some(again) } = fate else { continue };
            assert!(at <= again && again <= at + jitter);
        }
    }

    #[test]
    fn what_is_longer_than_the_path_takes_vanishes() {
        let spec = PathSpec { mtu: 1280, ..PathSpec::new(DELAY) };
        let (mut path, mut random) = (Path::new(spec), Random::new(1));
        assert_eq!(arrival(path.pass(1280, DELAY, &mut random)), Some(DELAY * 2));
        assert_eq!(path.pass(1281, DELAY, &mut random), Fate::Lost(Cause::Mtu));
    }

    #[test]
    fn the_same_seed_has_the_same_fates() {
        let spec = PathSpec {
            jitter: DELAY,
            loss: Loss::Bursts { mean: 0.1, burst: 3.0 },
            reordering: 0.1,
            duplication: 0.1,
            rate: Some(RATE),
            ..PathSpec::new(DELAY)
        };
        let gap = Duration::from_micros(110);
        assert_eq!(fates(spec, gap, 10_000), fates(spec, gap, 10_000));
    }
}
