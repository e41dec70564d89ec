//! A set of byte offsets as sorted, disjoint ranges.

use std::ops::Range;

/// Offsets of a flow. The number of ranges is bounded by the frames that made them.
#[derive(Debug, Default)]
pub(crate) struct RangeSet(Vec<Range<u64>>);

impl RangeSet {
    /// Adds `range` and joins what touches it.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|old| old.end < range.start);
        let last = self.0.partition_point(|old| old.start <= range.end);
        let start = self.0.get(first).map_or(range.start, |old| old.start.min(range.start));
        let joined_end = self.0[first..last.max(first)].last().map_or(0, |old| old.end);
        self.0.splice(
            first..last.max(first),
            [if first < last { start..joined_end.max(range.end) } else { range }],
        );
    }

    /// Takes `range` out.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|old| old.end <= range.start);
        let last = self.0.partition_point(|old| old.start < range.end);
        if first >= last {
            return;
        }
        let before = self.0[first].start..range.start;
        let after = range.end..self.0[last - 1].end;
        self.0.splice(first..last, [before, after].into_iter().filter(|left| !left.is_empty()));
    }

    /// Takes at most `max` offsets from the front.
    pub(crate) fn take_front(&mut self, max: u64) -> Option<Range<u64>> {
        let front = self.0.first_mut()?;
        let end = front.end.min(front.start.saturating_add(max));
        let taken = front.start..end;
        front.start = end;
        if front.is_empty() {
            self.0.remove(0);
        }
        Some(taken)
    }

    /// The lowest range.
    pub(crate) fn front(&self) -> Option<&Range<u64>> {
        self.0.first()
    }

    /// Calls `visit` with each range, lowest first.
    pub(crate) fn for_each(&self, visit: impl FnMut(&Range<u64>)) {
        self.0.iter().for_each(visit);
    }

    /// How many offsets there are.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether all of `range` is in the set.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        let first = self.0.partition_point(|old| old.end < range.end);
        self.0.get(first).is_some_and(|old| old.start <= range.start && range.end <= old.end)
    }

    /// Whether the set has no offset.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `offset` is in the set.
    #[cfg(test)]
    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.0.iter().any(|range| range.contains(&offset))
    }

    /// Forgets every range.
    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_offsets(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..12), 0..60)
        ) {
            let (mut ranges, mut model) = (RangeSet::default(), BTreeSet::new());
            for (insert, start, length) in steps {
                if insert {
                    ranges.insert(start..start + length);
                    model.extend(start..start + length);
                } else {
                    ranges.remove(start..start + length);
                    model.retain(|offset| !(start..start + length).contains(offset));
                }
                prop_assert!((0..80).all(|at| ranges.contains(at) == model.contains(&at)));
                prop_assert_eq!(ranges.total(), model.len() as u64);
                let is_there = (start..start + length).all(|at| model.contains(&at));
                prop_assert!(length == 0 || ranges.covers(&(start..start + length)) == is_there);
                prop_assert!(ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(ranges.0.iter().all(|range| !range.is_empty()));
            }
        }
    }

    #[test]
    fn the_front_is_taken_piecewise() {
        let mut ranges = RangeSet::default();
        ranges.insert(10..15);
        ranges.insert(20..21);

        assert_eq!(ranges.take_front(3), Some(10..13));
        assert_eq!(ranges.take_front(9), Some(13..15));
        assert_eq!(ranges.take_front(9), Some(20..21));
        assert_eq!(ranges.take_front(9), None);
    }
}
