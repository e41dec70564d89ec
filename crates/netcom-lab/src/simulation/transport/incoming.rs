//! The receiving half of a connection: packets that came, and lanes put together from them.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf as _, Bytes};
use netcom_session::{LaneId, Time};

use super::{ACK_DELAY, Chunk};

/// What came of a connection's packets.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Numbers that came, as first and last in a row, the oldest first.
    ranges: Vec<(u64, u64)>,
    lanes: BTreeMap<LaneId, Lane>,
    /// Packets that want an acknowledgement.
    unacknowledged: u32,
    /// When it is due at the latest.
    ack_at: Option<Time>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Where the bytes that came without a gap end.
    end: u64,
    /// Those that nobody has read.
    ready: VecDeque<Bytes>,
    /// What came beyond a gap.
    early: BTreeMap<u64, Bytes>,
    /// Where the lane ends.
    last: Option<u64>,
}

impl Incoming {
    /// Notes that a packet came. Returns whether it is the first time, as far as is remembered.
    pub(super) fn note(&mut self, number: u64) -> bool {
        let at = self.ranges.partition_point(|(_, last)| *last < number);
        if self.ranges.get(at).is_some_and(|(first, _)| *first <= number) {
            return false;
        }
        let joins_next = self.ranges.get(at).is_some_and(|(first, _)| *first == number + 1);
        let before = at.checked_sub(1).filter(|before| self.ranges[*before].1 + 1 == number);
        match (before, joins_next) {
            (Some(before), true) => {
                self.ranges[before].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (Some(before), false) => self.ranges[before].1 = number,
            (None, true) => self.ranges[at].0 = number,
            (None, false) => self.ranges.insert(at, (number, number)),
        }
        if self.ranges.len() > MAX_RANGES {
            self.ranges.remove(0);
        }
        true
    }

    /// Notes that an acknowledgement is wanted: at once for every second packet and where one is
    /// missing or came twice, else soon.
    pub(super) fn want_ack(&mut self, is_in_turn: bool, now: Time) {
        self.unacknowledged += 1;
        let is_urgent = self.unacknowledged >= 2 || !is_in_turn;
        let due = if is_urgent { now } else { now + ACK_DELAY };
        self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
    }

    /// What came, the newest first; whoever asks sends it.
    pub(super) fn take_ack(&mut self) -> Vec<(u64, u64)> {
        self.unacknowledged = 0;
        self.ack_at = None;
        self.ranges.iter().rev().take(MAX_TOLD).copied().collect()
    }

    /// Takes bytes of a lane, new or not.
    pub(super) fn take(&mut self, chunk: Chunk) {
        let lane = self.lanes.entry(chunk.lane).or_default();
        let end = chunk.offset + chunk.bytes.len() as u64;
        if chunk.is_last {
            lane.last = Some(end);
        }
        if end > lane.end {
            let known = lane.early.get(&chunk.offset).map_or(0, Bytes::len);
            if known < chunk.bytes.len() {
                lane.early.insert(chunk.offset, chunk.bytes);
            }
            lane.join();
        }
    }

    /// The next bytes of any lane, in its order.
    pub(super) fn read(&mut self) -> Option<(LaneId, Bytes)> {
        let (id, lane) = self.lanes.iter_mut().find(|(_, lane)| !lane.ready.is_empty())?;
        lane.ready.pop_front().map(|bytes| (*id, bytes))
    }

    /// Whether the first lane has been read to its end.
    pub(super) fn is_finished(&self) -> bool {
        let first = self.lanes.get(&LaneId(0));
        first.is_some_and(|lane| lane.last == Some(lane.end) && lane.ready.is_empty())
    }

    /// When an acknowledgement is due.
    pub(super) fn ack_at(&self) -> Option<Time> {
        self.ack_at
    }

    /// The newest packet that came.
    pub(super) fn newest(&self) -> Option<u64> {
        self.ranges.last().map(|(_, last)| *last)
    }
}

impl Lane {
    fn join(&mut self) {
        while let Some(first) = self.early.first_entry()
            && *first.key() <= self.end
        {
            let (offset, mut bytes) = first.remove_entry();
            let known = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
            if known < bytes.len() {
                bytes.advance(known);
                self.end += bytes.len() as u64;
                self.ready.push_back(bytes);
            }
        }
    }
}

/// Rows of packets that are remembered.
const MAX_RANGES: usize = 64;
/// Rows that an acknowledgement tells.
const MAX_TOLD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_packets_grow_join_and_tell_repetitions() {
        let mut incoming = Incoming::default();
        let news = [4, 0, 1, 2, 6, 4, 5, 3, 5].map(|number| incoming.note(number));
        assert_eq!(news, [true, true, true, true, true, false, true, true, false]);
        assert_eq!(incoming.take_ack(), [(0, 6)]);
        incoming.note(8);
        assert_eq!(incoming.take_ack(), [(8, 8), (0, 6)]);
    }

    #[test]
    fn a_lane_is_read_in_order_once_and_to_its_end() {
        let bytes = Bytes::from_static(b"0123456789");
        let chunk = |from: usize, to: usize| Chunk {
            lane: LaneId(0),
            offset: from as u64,
            bytes: bytes.slice(from..to),
            is_last: to == 10,
        };
        let mut incoming = Incoming::default();
        let mut read = Vec::new();
        for (from, to) in [(6, 10), (2, 4), (0, 3), (0, 3), (3, 7), (6, 10)] {
            incoming.take(chunk(from, to));
            while let Some((_, bytes)) = incoming.read() {
                read.extend(bytes);
            }
            assert_eq!(incoming.is_finished(), read.len() == 10);
        }
        assert_eq!(read, bytes);
    }
}
