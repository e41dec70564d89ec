//! Round trips of a link, and how long an answer may take.

use std::time::Duration;

/// Smoothed round trip and its variation (RFC 6298 section 2), and the least one seen; all in
/// nanoseconds, which keeps idle sessions small.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    /// 0 before the first sample.
    smoothed: u64,
    variation: u64,
    least: u64,
    latest: u64,
}

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).clamp(1, LONGEST);
        self.latest = rtt;
        if self.is_known() {
            self.variation = (self.variation * 3 + self.smoothed.abs_diff(rtt)) / 4;
            self.smoothed = (self.smoothed * 7 + rtt) / 8;
            self.least = self.least.min(rtt);
        } else {
            (self.smoothed, self.variation, self.least) = (rtt, rtt / 2, rtt);
        }
    }

    /// The smoothed value; zero before the first sample.
    pub(crate) fn smoothed(&self) -> Duration {
        Duration::from_nanos(self.smoothed)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.smoothed > 0
    }

    pub(crate) fn least(&self) -> Duration {
        Duration::from_nanos(self.least)
    }

    pub(crate) fn latest(&self) -> Duration {
        Duration::from_nanos(self.latest)
    }

    /// How long an answer may take before the link is suspect (E-41): an acknowledgement may wait
    /// for company, and the peer for a processor.
    pub(crate) fn patience(&self) -> Duration {
        if !self.is_known() {
            return MOST_PATIENCE;
        }
        let rest = Duration::from_nanos(self.variation * 4) + GRACE;
        (self.smoothed() * 3 / 2 + rest).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }
}

/// An hour, which no round trip takes.
const LONGEST: u64 = 3_600_000_000_000;
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
        rtt.sample(200 * MS);
        assert_eq!(rtt.patience(), (300 + 400 + 20) * MS);
        (0..100).for_each(|_| rtt.sample(200 * MS));
        assert!((320 * MS..330 * MS).contains(&rtt.patience()), "{:?}", rtt.patience());
        (0..100).for_each(|_| rtt.sample(MS));
        assert_eq!(rtt.patience(), LEAST_PATIENCE);
        (0..100).for_each(|_| rtt.sample(5000 * MS));
        assert_eq!(rtt.patience(), MOST_PATIENCE);
        assert_eq!(rtt.least(), MS);
    }
}
