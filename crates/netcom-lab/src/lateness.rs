//! How exact a link is in time.

use std::{iter, time::Duration};

use crate::counters::Counter;

/// How long after they were due packets were handed over: what the machine adds to what the link
/// was asked for. A measurement whose lateness is not small beside its figures measured the
/// machine.
#[derive(Clone, Debug)]
pub struct Lateness {
    /// Packets by the grains of time that they were late.
    counts: Vec<u64>,
}

/// A lateness while it is measured.
#[derive(Debug)]
pub(crate) struct LatenessTally(Box<[Counter]>);

impl Lateness {
    /// The lateness that this share of packets did not exceed, up to the next 10 µs; zero if there
    /// was none. What was later than 50 ms counts as just that late.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (self.packets() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (grains, count) in (1..).zip(&self.counts) {
            seen += count;
            if seen >= rank.max(1) {
                return GRAIN * grains;
            }
        }
        Duration::ZERO
    }

    /// How many packets it is about.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The lateness of the packets after those of an earlier look at the same link.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let both = self.counts.iter().zip(&earlier.counts);
        Self { counts: both.map(|(now, then)| now.saturating_sub(*then)).collect() }
    }
}

impl LatenessTally {
    pub(crate) fn new() -> Self {
        Self(iter::repeat_with(Counter::default).take(GRAINS).collect())
    }

    pub(crate) fn add(&self, late: Duration) {
        let grain = usize::try_from(late.as_nanos() / GRAIN.as_nanos()).unwrap_or(usize::MAX);
        self.0[grain.min(GRAINS - 1)].add(1);
    }

    pub(crate) fn lateness(&self) -> Lateness {
        Lateness { counts: self.0.iter().map(Counter::number).collect() }
    }
}

const GRAIN: Duration = Duration::from_micros(10);
/// They reach up to 50 ms.
const GRAINS: usize = 5000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_ends_of_their_grains() {
        let tally = LatenessTally::new();
        assert_eq!(tally.lateness().quantile(0.5), Duration::ZERO);
        for micros in [0, 5, 9, 10, 119] {
            tally.add(Duration::from_micros(micros));
        }
        let first = tally.lateness();
        assert_eq!(first.quantile(0.0), GRAIN);
        assert_eq!(first.quantile(0.6), GRAIN);
        assert_eq!(first.quantile(0.8), GRAIN * 2);
        assert_eq!(first.quantile(1.0), GRAIN * 12);
        tally.add(Duration::from_secs(9));
        let later = tally.lateness().since(&first);
        assert_eq!((later.packets(), later.quantile(0.5)), (1, Duration::from_millis(50)));
    }
}
