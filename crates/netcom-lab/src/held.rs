//! Packets that a link holds until they are due.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

use crate::Side;

/// Packets on their way, in the order in which they arrive.
#[derive(Debug, Default)]
pub(crate) struct Held {
    parcels: BinaryHeap<Reverse<Parcel>>,
    taken: u64,
    /// Buffers to be used again, so that a link that runs asks for no memory.
    spare: Vec<Vec<u8>>,
}

/// A packet on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    due: Duration,
    /// Keeps packets that are due at once in the order they were sent in.
    number: u64,
    pub(crate) from: Side,
    pub(crate) packet: Vec<u8>,
}

impl Held {
    /// Holds a packet until it is due; false if there is no room for it.
    pub(crate) fn put(&mut self, from: Side, packet: &[u8], due: Duration) -> bool {
        if self.parcels.len() == MOST_HELD {
            return false;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.taken += 1;
        let parcel = Parcel { due, number: self.taken, from, packet: buffer };
        self.parcels.push(Reverse(parcel));
        true
    }

    /// Takes out the next packet that is due.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Parcel> {
        self.next_due().filter(|due| *due <= now)?;
        self.parcels.pop().map(|Reverse(parcel)| parcel)
    }

    /// Takes back the buffer of a packet that was handed over.
    pub(crate) fn give_back(&mut self, parcel: Parcel) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(parcel.packet);
        }
    }

    /// How many packets are on their way.
    pub(crate) fn len(&self) -> usize {
        self.parcels.len()
    }

    /// When the next packet is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.parcels.peek().map(|Reverse(parcel)| parcel.due)
    }
}

impl Parcel {
    /// By how much it is late.
    pub(crate) fn lateness(&self, now: Duration) -> Duration {
        now.saturating_sub(self.due)
    }

    fn order(&self) -> (Duration, u64) {
        (self.due, self.number)
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Parcel {}

/// Packets on their way from both sides together. A second of 1 Gbit/s in packets of 1,500 bytes
/// is two thirds of it, and takes 130 MB.
const MOST_HELD: usize = 128 << 10;
const MOST_SPARE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn packets_come_out_when_they_are_due_and_in_their_order() {
        let mut held = Held::default();
        assert!(held.put(Side::Left, &[1], SOON * 2));
        assert!(held.put(Side::Left, &[2], SOON));
        assert!(held.put(Side::Right, &[3], SOON));
        assert_eq!(held.next_due(), Some(SOON));
        assert!(held.pop_due(SOON / 2).is_none());
        let mut out = Vec::new();
        while let Some(parcel) = held.pop_due(SOON * 3) {
            out.push((parcel.from, parcel.packet.clone(), parcel.lateness(SOON * 3)));
            held.give_back(parcel);
        }
        let expected = [
            (Side::Left, vec![2], SOON * 2),
            (Side::Right, vec![3], SOON * 2),
            (Side::Left, vec![1], SOON),
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn what_is_full_takes_no_more_until_something_has_gone() {
        let mut held = Held::default();
        assert!((0..MOST_HELD).all(|_| held.put(Side::Left, &[0], SOON)));
        assert!(!held.put(Side::Right, &[0], SOON));
        let parcel = held.pop_due(SOON).expect("it is due");
        held.give_back(parcel);
        assert!(held.put(Side::Right, &[0], SOON));
    }
}
