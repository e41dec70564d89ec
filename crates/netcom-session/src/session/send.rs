//! The sending half of a flow: what was written, sent, lost and acknowledged.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    config::{MIN_CHARGE, WRITE_AHEAD},
    range_set::RangeSet,
};
use crate::Code;

/// Bytes on their way to the peer, kept as the caller's own buffers until acknowledged.
#[derive(Debug, Default)]
pub(crate) struct SendFlow {
    /// Retained buffers with the offset of their first byte.
    chunks: VecDeque<(u64, Bytes)>,
    /// Everything below was acknowledged.
    base: u64,
    /// Offset behind the last byte ever put in a frame.
    sent: u64,
    /// Offset behind the last byte taken from the writer.
    written: u64,
    /// The peer's credit.
    max: u64,
    /// Went out on a link that died; to be sent again.
    lost: RangeSet,
    /// Acknowledged above `base`.
    acked: RangeSet,
    /// The description of the stream, at offset 0 of an initiator's data flow.
    pub(crate) open: Mark,
    /// The end of the flow.
    pub(crate) fin: Mark,
    /// With the end: the error flow ends too, unused.
    pub(crate) fin_errors: bool,
    /// The reset that took the place of data and end.
    pub(crate) reset: Option<(Code, Mark)>,
    /// A writer found no room.
    pub(crate) writer_waits: bool,
    /// It stands in line for the session's budget.
    pub(crate) waits_for_budget: bool,
    /// Its turn in that line has come, and it has not written since.
    pub(crate) has_budget_turn: bool,
    /// In the scheduler.
    pub(crate) is_scheduled: bool,
    /// BLOCKED waits to be sent.
    pub(crate) is_blocked_queued: bool,
    /// Went out on this lane while data is queued (QUIC).
    pub(crate) lane: u8,
}

/// How far something without a length has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mark {
    /// Not wanted.
    #[default]
    None,
    /// To be sent, for the first time or again.
    Queued,
    /// Sent.
    InFlight,
    /// Acknowledged.
    Done,
}

/// The next part of a flow for one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) open: bool,
    pub(crate) fin: bool,
}

impl SendFlow {
    pub(crate) fn new(max: u64) -> Self {
        Self { max, ..Self::default() }
    }

    /// Takes as much off the front of `bytes` as fits `budget` and the flow's own room. Returns
    /// how many bytes that were.
    pub(crate) fn write(&mut self, bytes: &mut Bytes, budget: usize) -> usize {
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        let taken = bytes.len().min(room).min(budget);
        if taken > 0 {
            self.chunks.push_back((self.written, bytes.split_to(taken)));
            self.written += taken as u64;
        }
        taken
    }

    /// Bytes the writer may add now.
    pub(crate) fn room(&self) -> u64 {
        self.max.saturating_add(WRITE_AHEAD).saturating_sub(self.written)
    }

    /// Whether waking a waiting writer is worth it: a quarter of its room is free.
    pub(crate) fn has_room_again(&self) -> bool {
        let room = self.room();
        room > 0 && room >= (room + (self.written - self.base)) / 4
    }

    /// Raises the peer's credit. Returns whether that changed anything.
    pub(crate) fn grant(&mut self, max: u64) -> bool {
        let raised = max > self.max;
        self.max = self.max.max(max);
        raised
    }

    /// Takes the next part for a frame with at most `max` bytes of payload; `early` is what the
    /// whole session may still send before the peer's hello.
    pub(crate) fn next_piece(&mut self, max: usize, early: u64) -> Option<Piece> {
        if self.reset.is_some() {
            return None;
        }
        let limit = (max as u64).min(early);
        let range = self.next_range(limit)?;
        let fin = self.fin != Mark::None && self.fin != Mark::Done && range.end == self.written;
        let open = range.start == 0 && self.open != Mark::None;
        if fin {
            self.fin = Mark::InFlight;
        }
        if open && self.open == Mark::Queued {
            self.open = Mark::InFlight;
        }
        self.sent = self.sent.max(range.end);
        let length = usize::try_from(range.end - range.start).unwrap_or(max);
        Some(Piece { offset: range.start, length, open, fin })
    }

    fn next_range(&mut self, limit: u64) -> Option<Range<u64>> {
        if self.open == Mark::Queued && self.sent > 0 {
            let at_start = self.lost.front().is_some_and(|range| range.start == 0);
            return if at_start { self.lost.take_front(limit) } else { Some(0..0) };
        }
        if limit > 0 && !self.lost.is_empty() {
            return self.lost.take_front(limit);
        }
        let end = self.written.min(self.max).min(self.sent.saturating_add(limit)).max(self.sent);
        let has_mark = self.open == Mark::Queued
            || (self.fin == Mark::Queued && end == self.written && self.lost.is_empty());
        (end > self.sent || has_mark).then_some(self.sent..end)
    }

    /// Whether [`next_piece`](Self::next_piece) has something, given room.
    pub(crate) fn has_work(&self) -> bool {
        self.reset.is_none()
            && (self.open == Mark::Queued
                || !self.lost.is_empty()
                || self.sent < self.written.min(self.max)
                || (self.fin == Mark::Queued && self.sent == self.written))
    }

    /// The payload of a piece: the caller's own buffer where the piece lies in one, else small
    /// neighbours joined.
    pub(crate) fn slice(&self, offset: u64, length: usize) -> Bytes {
        if length == 0 {
            return Bytes::new();
        }
        let index = self.chunks.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let within = |at: usize| usize::try_from(offset - self.chunks[at].0).unwrap_or(usize::MAX);
        let (first, skip) = (&self.chunks[index].1, within(index));
        if first.len() - skip >= length {
            return first.slice(skip..skip + length);
        }
        let mut joined = BytesMut::with_capacity(length);
        joined.extend_from_slice(&first[skip..]);
        for (_, chunk) in self.chunks.range(index + 1..) {
            let missing = length - joined.len();
            if missing == 0 {
                break;
            }
            joined.extend_from_slice(&chunk[..chunk.len().min(missing)]);
        }
        joined.freeze()
    }

    /// How long a piece at the next offset should be: up to `max`, but not across from one large
    /// buffer into the next, which would copy.
    pub(crate) fn preferred_length(&self, max: usize) -> usize {
        let at = self.lost.front().map_or(self.sent, |range| range.start);
        let index = self.chunks.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        let Some((start, chunk)) = self.chunks.get(index) else { return max };
        let left = usize::try_from((start + chunk.len() as u64).saturating_sub(at)).unwrap_or(max);
        let next = self.chunks.get(index + 1).map_or(0, |(_, next)| next.len());
        if left >= JOIN_BELOW || (left > 0 && next >= JOIN_BELOW) { left.min(max) } else { max }
    }

    /// Takes an acknowledgement of a piece. Returns the bytes freed, as charged.
    pub(crate) fn acknowledge(&mut self, piece: Piece) -> usize {
        if piece.open {
            self.open = Mark::Done;
        }
        if piece.fin && self.fin != Mark::None {
            self.fin = Mark::Done;
        }
        let end = piece.offset + piece.length as u64;
        if end > self.base && piece.length > 0 {
            self.lost.remove(piece.offset..end);
            if piece.offset <= self.base {
                self.base = end;
            } else {
                self.acked.insert(piece.offset..end);
            }
            while let Some(range) = self.acked.front().cloned() {
                if range.start > self.base {
                    break;
                }
                self.acked.take_front(u64::MAX);
                self.base = self.base.max(range.end);
            }
        }
        self.free()
    }

    /// Marks a piece for sending again, but for what was acknowledged meanwhile.
    pub(crate) fn lose(&mut self, piece: Piece) {
        if self.reset.is_some() {
            return;
        }
        let end = piece.offset + piece.length as u64;
        self.lost.insert(piece.offset.max(self.base)..end.max(self.base));
        self.acked.for_each(|acked| self.lost.remove(acked.clone()));
        if piece.open && self.open == Mark::InFlight {
            self.open = Mark::Queued;
        }
        if piece.fin && self.fin == Mark::InFlight {
            self.fin = Mark::Queued;
        }
    }

    /// Gives up data and end in favour of a reset. Returns the bytes freed, as charged.
    pub(crate) fn reset(&mut self, code: Code) -> usize {
        self.reset = Some((code, Mark::Queued));
        self.lost.clear();
        self.forget()
    }

    /// Forgets the data of a session that is over. Returns the bytes freed, as charged.
    pub(crate) fn forget(&mut self) -> usize {
        let freed = self.chunks.drain(..).map(|(_, chunk)| charge(chunk.len())).sum();
        self.chunks = VecDeque::new();
        freed
    }

    /// Whether nothing more can come from this half.
    pub(crate) fn is_ended(&self) -> bool {
        match self.reset {
            Some((_, mark)) => mark == Mark::Done,
            None => self.fin == Mark::Done && self.base == self.written,
        }
    }

    /// Whether the writer may still write.
    pub(crate) fn is_open(&self) -> bool {
        self.reset.is_none() && self.fin == Mark::None
    }

    /// Whether data waits for the peer's credit.
    pub(crate) fn is_blocked(&self) -> bool {
        self.reset.is_none() && self.sent >= self.max && self.written > self.max
    }

    /// Everything below was acknowledged.
    pub(crate) fn acked_to(&self) -> u64 {
        self.base
    }

    /// Offset behind the last byte ever sent: the final size of a reset.
    pub(crate) fn sent_to(&self) -> u64 {
        self.sent
    }

    /// Offset behind the last byte taken from the writer.
    pub(crate) fn written_to(&self) -> u64 {
        self.written
    }

    /// The peer's credit.
    pub(crate) fn credit(&self) -> u64 {
        self.max
    }

    fn free(&mut self) -> usize {
        let mut freed = 0;
        while let Some((start, chunk)) = self.chunks.front() {
            if start + chunk.len() as u64 > self.base {
                break;
            }
            freed += charge(chunk.len());
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() && self.chunks.capacity() > SPARE_CHUNKS {
            self.chunks = VecDeque::new();
        }
        freed
    }
}

/// What a retained buffer of this length costs.
pub(crate) fn charge(length: usize) -> usize {
    length.max(MIN_CHARGE)
}

/// Buffers shorter than this are joined with their neighbours into one frame.
const JOIN_BELOW: usize = 4096;
/// Room for buffers that an idle flow keeps.
const SPARE_CHUNKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(text: &'static str) -> SendFlow {
        let mut flow = SendFlow::new(1000);
        flow.write(&mut Bytes::from_static(text.as_bytes()), usize::MAX);
        flow
    }

    #[test]
    fn a_lost_piece_is_sent_again_but_not_what_was_acknowledged_meanwhile() {
        let mut flow = flow("abcdefghij");
        let first = flow.next_piece(4, u64::MAX).expect("data waits");
        let second = flow.next_piece(6, u64::MAX).expect("data waits");
        assert_eq!(flow.next_piece(4, u64::MAX), None);

        flow.acknowledge(second);
        flow.lose(first);
        flow.lose(second);

        let again = flow.next_piece(100, u64::MAX).expect("the first piece was lost");
        assert_eq!((again.offset, again.length), (0, 4));
        assert_eq!(flow.slice(0, 4), "abcd");
        assert_eq!(flow.next_piece(100, u64::MAX), None);
        assert_eq!(flow.acknowledge(again), MIN_CHARGE);
        assert_eq!(flow.acked_to(), 10);
    }

    #[test]
    fn the_end_goes_with_the_last_byte_and_ends_the_half_once_acknowledged() {
        let mut flow = flow("abc");
        flow.fin = Mark::Queued;

        let piece = flow.next_piece(100, u64::MAX).expect("data waits");
        assert!(piece.fin);
        assert!(!flow.is_ended());
        flow.lose(piece);
        let piece = flow.next_piece(100, u64::MAX).expect("data and end were lost");
        assert!(piece.fin);
        flow.acknowledge(piece);
        assert!(flow.is_ended());
    }

    #[test]
    fn a_lost_end_is_sent_again_alone_where_its_data_arrived() {
        let mut flow = flow("abc");
        let data = flow.next_piece(100, u64::MAX).expect("data waits");
        flow.fin = Mark::Queued;
        let end = flow.next_piece(100, u64::MAX).expect("the end waits");
        flow.acknowledge(data);
        flow.lose(end);

        let again = flow.next_piece(100, u64::MAX);
        assert_eq!(again, Some(Piece { offset: 3, length: 0, open: false, fin: true }));
    }

    #[test]
    fn the_description_travels_at_offset_0_whenever_that_is_sent() {
        let mut flow = SendFlow::new(1000);
        flow.open = Mark::Queued;
        let bare = flow.next_piece(100, u64::MAX);
        assert_eq!(bare, Some(Piece { offset: 0, length: 0, open: true, fin: false }));
        flow.write(&mut Bytes::from_static(b"abc"), usize::MAX);
        assert!(flow.next_piece(100, u64::MAX).expect("data waits").open);

        flow.lose(bare.expect("checked above"));
        assert!(flow.next_piece(100, u64::MAX).expect("the description was lost").open);
    }

    #[test]
    fn small_buffers_are_joined_and_large_ones_are_not() {
        let mut flow = SendFlow::new(100_000);
        for part in ["ab", "cd", "ef"] {
            flow.write(&mut Bytes::from(part), usize::MAX);
        }
        flow.write(&mut Bytes::from(vec![7; 20_000]), usize::MAX);
        assert_eq!(flow.slice(1, 4), "bcde");

        flow.next_piece(6, u64::MAX);
        assert_eq!(flow.preferred_length(16_000), 16_000);
        flow.next_piece(16_000, u64::MAX);
        assert_eq!(flow.preferred_length(16_000), 16_000, "the tail may join what follows");
    }

    #[test]
    fn credit_bounds_sending_and_a_little_more_bounds_writing() {
        let mut flow = SendFlow::new(10);
        let mut bytes = Bytes::from(vec![1; 1 << 20]);
        assert_eq!(flow.write(&mut bytes, usize::MAX) as u64, 10 + WRITE_AHEAD);
        assert_eq!(flow.next_piece(1000, u64::MAX).expect("credit is left").length, 10);
        assert_eq!(flow.next_piece(1000, u64::MAX), None);
        assert!(flow.is_blocked());
        assert!(flow.grant(20));
        assert!(!flow.grant(15));
        assert_eq!(flow.next_piece(1000, u64::MAX).expect("credit was raised").length, 10);
    }
}
