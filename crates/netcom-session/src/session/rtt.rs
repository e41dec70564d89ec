//! Round trips of a link, and how long an answer may take.

use std::time::Duration;

use crate::Time;

/// Smoothed round trip and its variation (RFC 6298 section 2), and the least one seen, ever and
/// lately; all in microseconds, of which 32 bits hold an hour: idle sessions are small.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    /// 0 before the first sample.
    smoothed: u32,
    variation: u32,
    least: u32,
    latest: u32,
    /// The least of the window before this one, and of this one, which began then.
    recent: [u32; 2],
    window: Time,
}

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration, now: Time) {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).clamp(1, LONGEST);
        self.latest = rtt;
        let age = now.since(self.window);
        if age >= WINDOW || !self.is_known() {
            let before = if age < WINDOW * 2 { self.recent[1] } else { rtt };
            (self.recent, self.window) = ([before, rtt], now);
        }
        self.recent[1] = self.recent[1].min(rtt);
        if self.is_known() {
            self.variation = share(self.variation, 3, self.smoothed.abs_diff(rtt), 4);
            self.smoothed = share(self.smoothed, 7, rtt, 8);
            self.least = self.least.min(rtt);
        } else {
            (self.smoothed, self.variation, self.least) = (rtt, rtt / 2, rtt);
        }
    }

    /// The smoothed value; zero before the first sample.
    pub(crate) fn smoothed(&self) -> Duration {
        micros(self.smoothed)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.smoothed > 0
    }

    pub(crate) fn least(&self) -> Duration {
        micros(self.least)
    }

    /// The least of the last two to four seconds. It is above the least one ever seen where the
    /// way has become longer, or where something on it always waits.
    pub(crate) fn recent(&self) -> Duration {
        micros(self.recent[0].min(self.recent[1]))
    }

    /// How far samples lie from the smoothed value.
    pub(crate) fn variation(&self) -> Duration {
        micros(self.variation)
    }

    pub(crate) fn latest(&self) -> Duration {
        micros(self.latest)
    }

    /// How long an answer may take before the link is suspect (E-41): an acknowledgement may wait
    /// for company, and the peer for a processor.
    pub(crate) fn patience(&self) -> Duration {
        if !self.is_known() {
            return MOST_PATIENCE;
        }
        let rest = self.variation() * 4 + GRACE;
        (self.smoothed() * 3 / 2 + rest).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }
}

fn micros(value: u32) -> Duration {
    Duration::from_micros(u64::from(value))
}

/// The mean of `parts` parts of one value and the rest, up to `of`, of another. It lies between
/// them, so it is no wider than they are; a value above 0 never becomes 0.
fn share(value: u32, parts: u64, other: u32, of: u64) -> u32 {
    let sum = u64::from(value) * parts + u64::from(other) * (of - parts);
    u32::try_from(sum.div_ceil(of)).unwrap_or(u32::MAX)
}

/// An hour, which no round trip takes.
const LONGEST: u32 = 3_600_000_000;
/// For so long, and up to twice as long, the least round trip counts as recent.
const WINDOW: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_millis(20);
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
const MOST_PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn patience_follows_the_round_trip_and_its_variation_within_bounds() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.patience(), MOST_PATIENCE, "nothing is known");
        rtt.sample(200 * MS, Time(0));
        assert_eq!(rtt.patience(), (300 + 400 + 20) * MS);
        (0..100).for_each(|_| rtt.sample(200 * MS, Time(0)));
        assert!((320 * MS..330 * MS).contains(&rtt.patience()), "{:?}", rtt.patience());
        (0..100).for_each(|_| rtt.sample(MS, Time(0)));
        assert_eq!(rtt.patience(), LEAST_PATIENCE);
        (0..100).for_each(|_| rtt.sample(5000 * MS, Time(0)));
        assert_eq!(rtt.patience(), MOST_PATIENCE);
        assert_eq!(rtt.least(), MS);
    }

    #[test]
    fn a_round_trip_is_recent_for_two_to_four_seconds() {
        let (mut rtt, start) = (Rtt::default(), Time(0) + WINDOW * 100);
        rtt.sample(20 * MS, start);
        assert_eq!(rtt.recent(), 20 * MS);
        rtt.sample(60 * MS, start + WINDOW);
        assert_eq!((rtt.recent(), rtt.least()), (20 * MS, 20 * MS));
        rtt.sample(70 * MS, start + WINDOW * 3 / 2);
        rtt.sample(80 * MS, start + WINDOW * 2);
        assert_eq!((rtt.recent(), rtt.least()), (60 * MS, 20 * MS));
        rtt.sample(90 * MS, start + WINDOW * 9);
        assert_eq!(rtt.recent(), 90 * MS, "nothing is known of the time between");
    }
}
