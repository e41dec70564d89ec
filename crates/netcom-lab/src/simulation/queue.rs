//! What is to happen, in the order of time and, at one moment, of being planned.

use std::{cmp::Ordering, collections::BinaryHeap};

use netcom_session::Time;

/// Things that wait for their moment.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Time,
    number: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }

    /// Plans something.
    pub(super) fn push(&mut self, at: Time, what: T) {
        let number = self.planned;
        self.planned += 1;
        self.heap.push(Entry { at, number, what });
    }

    /// Takes what comes next, if it comes by then.
    pub(super) fn pop_until(&mut self, end: Time) -> Option<(Time, T)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Time, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// The heap gives its greatest first, which is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_comes_by_time_and_then_in_turn() {
        let mut queue = Queue::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b'), (9, 'e')] {
            queue.push(Time(at), what);
        }
        let drained: Vec<_> = std::iter::from_fn(|| queue.pop_until(Time(5))).collect();
        let times = [1, 1, 5, 5].map(Time);
        assert_eq!(drained, times.into_iter().zip('a'..='d').collect::<Vec<_>>());
        assert_eq!(queue.pop_until(Time(9)), Some((Time(9), 'e')));
    }
}
