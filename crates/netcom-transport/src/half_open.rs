//! The table of handshakes under way: how many there may be, and who goes when there are too many.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::IpAddr,
};

/// Handshakes under way, bounded in all and per network prefix. At a bound the oldest handshake
/// of the fullest prefix makes room, so that a flood from few networks pushes out itself.
///
/// Loopback addresses count in all only: whoever dials from there has other means of harm, and
/// many nodes of one machine share that prefix rightly.
#[derive(Debug)]
pub(crate) struct HalfOpen<T> {
    total_limit: usize,
    prefix_limit: usize,
    total: usize,
    next: u64,
    by_prefix: HashMap<Prefix, VecDeque<(SlotId, T)>>,
    by_size: BTreeSet<(usize, Prefix)>,
}

/// Names one entry of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SlotId {
    prefix: Prefix,
    number: u64,
}

/// The network an address belongs to: IPv4 /24 or IPv6 /64.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Prefix {
    bits: u64,
    family: Family,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Family {
    Loopback,
    V4,
    V6,
}

impl<T> HalfOpen<T> {
    /// Makes an empty table.
    pub(crate) fn new(total_limit: usize, prefix_limit: usize) -> Self {
        Self {
            total_limit: total_limit.max(1),
            prefix_limit: prefix_limit.max(1),
            total: 0,
            next: 0,
            by_prefix: HashMap::new(),
            by_size: BTreeSet::new(),
        }
    }

    /// Takes a handshake with `from` in. Returns its name and the handle of the one that made
    /// room for it, which is to be dropped.
    pub(crate) fn insert(&mut self, from: IpAddr, handle: T) -> (SlotId, Option<T>) {
        let prefix = Prefix::of(from);
        let crowded = prefix.family != Family::Loopback && self.len_of(prefix) >= self.prefix_limit;
        let evicted = if crowded {
            self.pop_oldest(prefix)
        } else if self.total >= self.total_limit {
            self.by_size.last().copied().and_then(|(_, fullest)| self.pop_oldest(fullest))
        } else {
            None
        };
        let number = self.next;
        self.next += 1;
        let id = SlotId { prefix, number };
        self.resize(prefix, |queue| queue.push_back((id, handle)));
        (id, evicted)
    }

    /// Takes a handshake out that is over. Does nothing when it was pushed out before.
    pub(crate) fn remove(&mut self, id: SlotId) -> Option<T> {
        let queue = self.by_prefix.get(&id.prefix)?;
        let position = queue.iter().position(|(other, _)| *other == id)?;
        self.resize(id.prefix, |queue| queue.remove(position)).map(|(_, handle)| handle)
    }

    /// How many handshakes are under way.
    pub(crate) fn len(&self) -> usize {
        self.total
    }

    fn len_of(&self, prefix: Prefix) -> usize {
        self.by_prefix.get(&prefix).map_or(0, VecDeque::len)
    }

    fn pop_oldest(&mut self, prefix: Prefix) -> Option<T> {
        self.resize(prefix, VecDeque::pop_front).map(|(_, handle)| handle)
    }

    /// Changes the queue of a prefix and keeps the order by size in step.
    fn resize<R>(
        &mut self,
        prefix: Prefix,
        change: impl FnOnce(&mut VecDeque<(SlotId, T)>) -> R,
    ) -> R {
        let queue = self.by_prefix.entry(prefix).or_default();
        let before = queue.len();
        let result = change(queue);
        let after = queue.len();
        if after == 0 {
            self.by_prefix.remove(&prefix);
        }
        self.by_size.remove(&(before, prefix));
        if after > 0 {
            self.by_size.insert((after, prefix));
        }
        self.total = self.total + after - before;
        result
    }
}

impl Prefix {
    fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let (bits, family) = match address {
            _ if address.is_loopback() => (0, Family::Loopback),
            IpAddr::V4(v4) => (u64::from(v4.to_bits() >> 8), Family::V4),
            IpAddr::V6(v6) => ((v6.to_bits() >> 64) as u64, Family::V6),
        };
        Self { bits, family }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_full_prefix_pushes_out_its_own_oldest() {
        let mut table = HalfOpen::new(100, 2);
        assert_eq!(table.insert(ip("192.0.2.1"), 'a').1, None);
        assert_eq!(table.insert(ip("192.0.2.200"), 'b').1, None);
        assert_eq!(table.insert(ip("198.51.100.1"), 'c').1, None);
        assert_eq!(table.insert(ip("192.0.2.7"), 'd').1, Some('a'));
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_full_table_pushes_out_the_oldest_of_the_fullest_prefix() {
        let mut table = HalfOpen::new(4, 64);
        table.insert(ip("198.51.100.1"), 'a');
        table.insert(ip("2001:db8::1"), 'b');
        table.insert(ip("2001:db8::ffff"), 'c');
        table.insert(ip("2001:db8:0:1::1"), 'd');
        assert_eq!(table.insert(ip("203.0.113.1"), 'e').1, Some('b'));
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn an_ended_handshake_leaves_room_and_no_trace() {
        let mut table = HalfOpen::new(2, 2);
        let (first, _) = table.insert(ip("192.0.2.1"), 'a');
        table.insert(ip("192.0.2.2"), 'b');
        assert_eq!(table.remove(first), Some('a'));
        assert_eq!(table.remove(first), None);
        assert_eq!(table.insert(ip("192.0.2.3"), 'c').1, None);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_mapped_address_counts_for_its_ipv4_network() {
        let mut table = HalfOpen::new(100, 1);
        table.insert(ip("192.0.2.1"), 'a');
        assert_eq!(table.insert(ip("::ffff:192.0.2.9"), 'b').1, Some('a'));
    }

    #[test]
    fn loopback_is_bounded_in_all_only() {
        let mut table = HalfOpen::new(3, 1);
        for name in ['a', 'b', 'c'] {
            assert_eq!(table.insert(ip("127.0.0.1"), name).1, None);
        }
        assert_eq!(table.insert(ip("::1"), 'd').1, Some('a'));
    }

    #[test]
    fn a_flood_never_exceeds_the_bounds_and_spares_the_quiet() {
        let mut table = HalfOpen::new(1024, 64);
        let (quiet, _) = table.insert(ip("203.0.113.1"), 0);
        for number in 1..=20_000_u32 {
            let from = IpAddr::V4((0x0a00_0000 + (number % 32) * 256 + number % 251).into());
            table.insert(from, number);
            assert!(table.len() <= 1024);
        }
        assert_eq!(table.remove(quiet), Some(0), "the quiet network kept its place");
    }
}
