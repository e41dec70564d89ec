//! A map with a bound that forgets what it heard of longest ago.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
    capacity: usize,
}

impl<K: Clone + Ord, V> Lru<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), order: BTreeMap::new(), next: 0, capacity }
    }

    /// The entry, made by `new` where there is none; it counts as heard of just now. At the bound
    /// the oldest entry goes.
    pub(crate) fn touch(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        if self.refresh(key).is_none() {
            self.make_room();
            self.order.insert(self.next, key.clone());
        }
        let stamp = self.next;
        let entry = self.entries.entry(key.clone()).or_insert_with(|| (stamp, new()));
        self.next += 1;
        &mut entry.1
    }

    /// Puts a value in, in place of an older one.
    pub(crate) fn insert(&mut self, key: &K, value: V) {
        self.remove(key);
        self.touch(key, || value);
    }

    /// The entry, if there is one; it counts as heard of just now.
    pub(crate) fn refresh(&mut self, key: &K) -> Option<&mut V> {
        let (stamp, value) = self.entries.get_mut(key)?;
        self.order.remove(stamp);
        *stamp = self.next;
        self.order.insert(*stamp, key.clone());
        self.next += 1;
        Some(value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (stamp, value) = self.entries.remove(key)?;
        self.order.remove(&stamp);
        Some(value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let order = &mut self.order;
        self.entries.retain(|key, (stamp, value)| {
            let kept = keep(key, value);
            if !kept {
                order.remove(stamp);
            }
            kept
        });
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn make_room(&mut self) {
        while self.entries.len() >= self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_heard_of_longest_ago_goes_first() {
        let mut lru = Lru::new(2);
        *lru.touch(&1, || "one") = "one";
        lru.touch(&2, || "two");
        lru.touch(&1, || unreachable!());
        lru.touch(&3, || "three");
        assert_eq!(lru.iter().collect::<Vec<_>>(), [(&1, &"one"), (&3, &"three")]);
        lru.retain(|key, _| *key == 3);
        lru.touch(&4, || "four");
        assert_eq!((lru.len(), lru.order.len()), (2, 2));
        assert_eq!((lru.remove(&3), lru.get(&3)), (Some("three"), None));
    }
}
