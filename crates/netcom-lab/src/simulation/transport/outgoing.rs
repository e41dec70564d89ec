//! The sending half of a connection: what waits, what is on its way, what has to go again.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use bytes::Bytes;
use netcom_session::{LaneId, Time};

use super::{CHUNK_HEADER, Chunk};

/// Lanes of bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    lanes: BTreeMap<LaneId, Lane>,
    /// What lost packets carried.
    lost: VecDeque<Chunk>,
    sent: BTreeMap<u64, Sent>,
    next: u64,
    in_flight: usize,
    /// Bytes that were never sent.
    unsent: usize,
    /// Lanes whose end was never sent.
    unsent_ends: usize,
    /// The lane that sent last.
    turn: LaneId,
}

#[derive(Debug, Default)]
struct Lane {
    offset: u64,
    queue: VecDeque<Bytes>,
    is_end_due: bool,
    is_over: bool,
}

/// A packet on its way.
#[derive(Debug)]
struct Sent {
    at: Time,
    bytes: usize,
    chunks: Vec<Chunk>,
}

/// What an acknowledgement told.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) bytes: usize,
    /// When the newest packet that was acknowledged for the first time was sent, and its number.
    pub(super) newest: Option<(u64, Time)>,
}

impl Outgoing {
    /// Queues bytes.
    pub(super) fn write(&mut self, lane: LaneId, bytes: Bytes) {
        self.unsent += bytes.len();
        self.lanes.entry(lane).or_default().queue.push_back(bytes);
    }

    /// Ends every lane after what was written; the first one also if it was never used.
    pub(super) fn finish(&mut self) {
        self.lanes.entry(LaneId(0)).or_default();
        for lane in self.lanes.values_mut() {
            if !lane.is_end_due && !lane.is_over {
                lane.is_end_due = true;
                self.unsent_ends += 1;
            }
        }
    }

    /// Takes chunks for a packet with so much room: first what was lost.
    pub(super) fn fill(&mut self, mut room: usize) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        while room > CHUNK_HEADER {
            let Some(chunk) = self.next_chunk(room - CHUNK_HEADER) else { break };
            room -= CHUNK_HEADER + chunk.bytes.len();
            chunks.push(chunk);
        }
        chunks
    }

    /// Numbers a packet that nobody acknowledges.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Numbers a packet, and keeps it until it is acknowledged or lost.
    pub(super) fn send(&mut self, chunks: Vec<Chunk>, bytes: usize, now: Time) -> u64 {
        let number = self.number();
        self.in_flight += bytes;
        self.sent.insert(number, Sent { at: now, bytes, chunks });
        number
    }

    /// Takes an acknowledgement.
    pub(super) fn acknowledge(&mut self, ranges: &[(u64, u64)]) -> Acknowledged {
        let mut told = Acknowledged::default();
        for (first, last) in ranges {
            while let Some((number, _)) = self.sent.range(*first..=*last).next_back() {
                let number = *number;
                let Some(sent) = self.sent.remove(&number) else { break };
                self.in_flight -= sent.bytes;
                told.bytes += sent.bytes;
                if told.newest.is_none_or(|(newest, _)| newest < number) {
                    told.newest = Some((number, sent.at));
                }
            }
        }
        told
    }

    /// Takes packets for lost that were sent well before one that arrived: three numbers, or so
    /// long that they would have come. Returns the newest of them.
    pub(super) fn find_lost(&mut self, arrived: u64, too_old: Time) -> Option<u64> {
        let mut newest = None;
        while let Some(first) = self.sent.first_entry() {
            let number = *first.key();
            let is_overtaken = number < arrived && first.get().at <= too_old;
            if number + REORDERING > arrived && !is_overtaken {
                break;
            }
            let sent = first.remove();
            self.in_flight -= sent.bytes;
            self.lost.extend(sent.chunks);
            newest = Some(number);
        }
        newest
    }

    /// Takes everything on its way for lost.
    pub(super) fn lose_all(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        self.lost.extend(sent.into_values().flat_map(|sent| sent.chunks));
        self.in_flight = 0;
    }

    /// Whether chunks wait to be sent.
    pub(super) fn has_work(&self) -> bool {
        self.unsent > 0 || self.unsent_ends > 0 || !self.lost.is_empty()
    }

    /// Whether everything that was written arrived.
    pub(super) fn is_settled(&self) -> bool {
        !self.has_work() && self.sent.is_empty()
    }

    /// Whether a packet is on its way that will be acknowledged.
    pub(super) fn awaits_answer(&self) -> bool {
        !self.sent.is_empty()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    /// The number of the next packet.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    fn next_chunk(&mut self, room: usize) -> Option<Chunk> {
        if let Some(mut chunk) = self.lost.pop_front() {
            if chunk.bytes.len() > room {
                let bytes = chunk.bytes.split_to(room);
                let first = Chunk { lane: chunk.lane, offset: chunk.offset, bytes, is_last: false };
                chunk.offset += room as u64;
                self.lost.push_front(chunk);
                return Some(first);
            }
            return Some(chunk);
        }
        if self.unsent == 0 && self.unsent_ends == 0 {
            return None;
        }
        let after = (Bound::Excluded(self.turn), Bound::Unbounded);
        let mut lanes = self.lanes.range(after).chain(self.lanes.range(..=self.turn));
        let id = lanes.find(|(_, lane)| lane.has_work()).map(|(id, _)| *id)?;
        let chunk = self.lanes.get_mut(&id)?.take(id, room);
        self.turn = id;
        self.unsent -= chunk.bytes.len();
        self.unsent_ends -= usize::from(chunk.is_last);
        Some(chunk)
    }
}

impl Lane {
    fn has_work(&self) -> bool {
        self.is_end_due || !self.queue.is_empty()
    }

    /// Takes the front of what waits.
    fn take(&mut self, id: LaneId, room: usize) -> Chunk {
        let mut bytes = self.queue.pop_front().unwrap_or_default();
        if bytes.len() > room {
            self.queue.push_front(bytes.split_off(room));
        }
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        let is_last = self.queue.is_empty() && std::mem::take(&mut self.is_end_due);
        self.is_over |= is_last;
        Chunk { lane: id, offset, bytes, is_last }
    }
}

/// Packets that may overtake one before it counts as lost
/// ([RFC 9002, section 6.1.1](https://www.rfc-editor.org/rfc/rfc9002#section-6.1.1)).
const REORDERING: u64 = 3;
