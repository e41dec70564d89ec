//! Sessions that wait for a link, as many as a node keeps.

use std::collections::{BTreeMap, HashMap};

/// Who waits, the one that waits longest first. Sessions are known by their keys.
#[derive(Debug)]
pub(super) struct Detached<T> {
    by_age: BTreeMap<u64, (u64, T)>,
    ages: HashMap<u64, u64>,
    next: u64,
    most: usize,
}

impl<T> Detached<T> {
    /// None yet, and so many at most.
    pub(super) fn new(most: usize) -> Self {
        Self { by_age: BTreeMap::new(), ages: HashMap::new(), next: 0, most }
    }

    /// Enters one. Returns the oldest, which is out of the table, where there are too many.
    pub(super) fn insert(&mut self, key: u64, session: T) -> Option<T> {
        self.remove(key);
        self.by_age.insert(self.next, (key, session));
        self.ages.insert(key, self.next);
        self.next += 1;
        if self.ages.len() <= self.most {
            return None;
        }
        let (_, (oldest, session)) = self.by_age.pop_first()?;
        self.ages.remove(&oldest);
        Some(session)
    }

    /// Takes one out, if it is there.
    pub(super) fn remove(&mut self, key: u64) {
        if let Some(age) = self.ages.remove(&key) {
            self.by_age.remove(&age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_that_wait_the_one_that_waits_longest_gives_way() {
        let mut waiting = Detached::new(2);
        assert_eq!(waiting.insert(1, "a"), None);
        assert_eq!(waiting.insert(2, "b"), None);
        assert_eq!(waiting.insert(1, "a again"), None, "it begins to wait anew");
        assert_eq!(waiting.insert(3, "c"), Some("b"));
        waiting.remove(1);
        waiting.remove(1);
        assert_eq!(waiting.insert(4, "d"), None);
        assert_eq!(waiting.insert(5, "e"), Some("c"));
    }
}
