//! The middle of some figures and how far they lie apart.

use std::collections::BTreeMap;

use serde::Serialize;

/// A figure of each round that has one.
pub(crate) type ByRound = BTreeMap<u32, f64>;

/// The median, and the smallest and the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of no figures at all, everything is zero.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (figures.first(), figures.last()) else {
            return Self::default();
        };
        let middle = figures.len() / 2;
        let median = match figures.len() % 2 {
            0 => (figures[middle - 1] + figures[middle]) / 2.0,
            _ => figures[middle],
        };
        Self { median, min, max }
    }

    /// Of the ratios of the first to the second, in the rounds that both have.
    pub(crate) fn of_ratios(first: &ByRound, second: &ByRound) -> Option<Self> {
        let ratio = |(round, first): (&u32, &f64)| Some(first / second.get(round)?);
        let ratios: Vec<f64> = first.iter().filter_map(ratio).collect();
        (!ratios.is_empty()).then(|| Self::of(ratios))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of([]), Spread::default());
    }

    #[test]
    fn ratios_are_made_within_rounds_that_both_have() {
        let first = ByRound::from([(1, 4.0), (2, 9.0), (3, 2.0)]);
        let second = ByRound::from([(1, 2.0), (3, 4.0), (4, 1.0)]);

        let spread = Spread::of_ratios(&first, &second);

        assert_eq!(spread, Some(Spread { median: 1.25, min: 0.5, max: 2.0 }));
        assert_eq!(Spread::of_ratios(&first, &ByRound::new()), None);
    }
}
