//! The sending half of a flow: what was written, sent, lost and acknowledged.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    config::{ERROR_FLOOR, MIN_CHARGE, WRITE_AHEAD},
    range_set::RangeSet,
};
use crate::{Code, Time};

/// Bytes on their way to the peer, kept as the caller's own buffers until acknowledged.
#[derive(Debug, Default)]
pub(crate) struct SendFlow {
    /// Retained buffers with the offset of their first byte, before `tail`.
    chunks: VecDeque<(u64, Bytes)>,
    /// Short buffers copied together, as long as none of them was sent.
    tail: BytesMut,
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
    /// Bytes it may still write of its turn in that line.
    pub(crate) budget_turn: usize,
    /// Bytes that are held free for it until it comes for its turn.
    pub(crate) budget_offer: usize,
    /// In the scheduler.
    pub(crate) is_scheduled: bool,
    /// Whether the peer knows that it waits for credit.
    pub(crate) blocked: Blocked,
    /// BLOCKED waits to be sent.
    pub(crate) is_blocked_queued: bool,
    /// Went out on this lane while data is queued (QUIC).
    pub(crate) lane: u8,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Written {
    /// Bytes taken.
    pub(crate) taken: usize,
    /// What they cost until they are freed.
    pub(crate) charged: usize,
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

/// What the peer was told of a flow that waits for credit beyond what it has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Blocked {
    /// Nothing: it does not wait, or not that anybody noted.
    #[default]
    No,
    /// Nothing yet: BLOCKED is due then.
    Due(Time),
    /// BLOCKED, once for the credit it has.
    Told,
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

    /// Takes as much off the front of `bytes` as fits `budget` and the flow's own room.
    pub(crate) fn write(&mut self, bytes: &mut Bytes, budget: usize) -> Written {
        let room = usize::try_from(self.room()).unwrap_or(usize::MAX);
        let taken = bytes.len().min(room).min(budget);
        let charged = if taken > 0 { self.keep(bytes.split_to(taken)) } else { 0 };
        self.written += taken as u64;
        Written { taken, charged }
    }

    /// Keeps what was written: as it is or, if it is short and others wait before it, copied to
    /// those, so that many are neither searched nor freed one by one. Returns what that costs.
    fn keep(&mut self, bytes: Bytes) -> usize {
        let waits = |(start, _): &(u64, Bytes)| *start >= self.sent;
        let joins = bytes.len() < JOIN_BELOW
            && (!self.tail.is_empty() || self.chunks.back().is_some_and(waits));
        if !joins || self.tail.len() + bytes.len() > MAX_TAIL {
            self.end_tail();
        }
        if !joins {
            let cost = charge(bytes.len());
            self.chunks.push_back((self.written, bytes));
            return cost;
        }
        let before = if self.tail.is_empty() { 0 } else { charge(self.tail.len()) };
        self.tail.extend_from_slice(&bytes);
        charge(self.tail.len()) - before
    }

    /// Makes the tail the last of the chunks.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            let start = self.written - self.tail.len() as u64;
            self.chunks.push_back((start, std::mem::take(&mut self.tail).freeze()));
        }
    }

    /// At most `most` bytes, so that with them what waits to be sent fills whole frames: whoever
    /// stands in line for the next bytes would leave a short frame behind each time.
    pub(crate) fn whole_frames(&self, most: usize, frame: usize) -> usize {
        let unsent = usize::try_from(self.written - self.sent).unwrap_or(usize::MAX);
        let end = unsent.saturating_add(most);
        let whole = end - end.checked_rem(frame).unwrap_or(0);
        if whole > unsent { whole - unsent } else { most }
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
        if range.end > self.written - self.tail.len() as u64 {
            self.end_tail();
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
        let end = self.sendable_to().min(self.sent.saturating_add(limit));
        let has_mark = self.open == Mark::Queued
            || (self.fin == Mark::Queued && end == self.written && self.lost.is_empty());
        (end > self.sent || has_mark).then_some(self.sent..end)
    }

    /// Offset up to which bytes may be sent for the first time now. A sliver of credit is not used
    /// while more waits than it allows: every frame costs, and the peer raises the credit before
    /// so little is left of it (RFC 1122, section 4.2.3.4).
    fn sendable_to(&self) -> u64 {
        let end = self.written.min(self.max).max(self.sent);
        let is_sliver = self.written > self.max && end - self.sent < SLIVER;
        if is_sliver { self.sent } else { end }
    }

    /// Whether [`next_piece`](Self::next_piece) has something, given room.
    pub(crate) fn has_work(&self) -> bool {
        self.reset.is_none()
            && (self.open == Mark::Queued
                || !self.lost.is_empty()
                || self.sent < self.sendable_to()
                || (self.fin == Mark::Queued && self.sent == self.written))
    }

    /// Bytes that could be sent now.
    pub(crate) fn unsent(&self) -> u64 {
        if self.reset.is_some() {
            return 0;
        }
        self.lost.total() + (self.sendable_to() - self.sent)
    }

    /// Appends the payload of a piece: the caller's own buffers, runs of short parts joined.
    pub(crate) fn append_payload(&self, piece: Piece, payload: &mut Vec<Bytes>) {
        let is_short = |(_, part): &(&Bytes, Range<usize>)| part.len() < JOIN_BELOW;
        let mut parts = self.parts(piece).peekable();
        while let Some((chunk, part)) = parts.next() {
            if part.len() >= JOIN_BELOW || part.len() == piece.length {
                payload.push(chunk.slice(part));
                continue;
            }
            let run: usize = parts.clone().take_while(is_short).map(|(_, part)| part.len()).sum();
            let mut joined = BytesMut::with_capacity(part.len() + run);
            joined.extend_from_slice(&chunk[part]);
            while let Some((chunk, part)) = parts.next_if(is_short) {
                joined.extend_from_slice(&chunk[part]);
            }
            payload.push(joined.freeze());
        }
    }

    /// The parts of the retained buffers that make up a piece.
    fn parts(&self, piece: Piece) -> impl Iterator<Item = (&Bytes, Range<usize>)> + Clone {
        let (begin, end) = (piece.offset, piece.offset + piece.length as u64);
        let first = self.chunks.partition_point(|(start, _)| *start <= begin).saturating_sub(1);
        let chunks = self.chunks.range(first.min(self.chunks.len())..);
        chunks.take_while(move |(start, _)| *start < end).map(move |(start, chunk)| {
            let within = |at: u64| usize::try_from(at.saturating_sub(*start)).unwrap_or(usize::MAX);
            (chunk, within(begin)..chunk.len().min(within(end)))
        })
    }

    /// Whether a piece that was sent can be sent once more, and may be of use.
    pub(crate) fn can_repeat(&self, piece: Piece) -> bool {
        let range = piece.offset..piece.offset + piece.length as u64;
        let is_wanted = if range.is_empty() {
            (piece.open && self.open == Mark::InFlight) || (piece.fin && self.fin == Mark::InFlight)
        } else {
            // Below the base the buffers may be gone.
            range.start >= self.base && !self.acked.covers(&range)
        };
        is_wanted && self.reset.is_none()
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
        self.end_tail();
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
        self.reset.is_none() && self.written > self.max && self.sent == self.sendable_to()
    }

    /// Reads a little of everything that a frame of data or its acknowledgement changes.
    pub(crate) fn touch(&self) -> u64 {
        self.chunks.front().map_or(0, |(start, _)| *start)
            ^ self.max
            ^ self.base
            ^ u64::from(self.lane)
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

/// Parts of buffers shorter than this are copied together with short neighbours.
const JOIN_BELOW: usize = 4096;
/// How much of short buffers is copied together: two full frames over TCP.
const MAX_TAIL: usize = 32 << 10;
/// Credit for fewer bytes is not used while more wait: a quarter of the smallest window, which is
/// free for the peer to announce anew once all that was sent is read.
const SLIVER: u64 = ERROR_FLOOR / 4;
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
        let mut payload = Vec::new();
        flow.append_payload(again, &mut payload);
        assert_eq!(payload, ["abcd"]);
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
    fn a_frame_is_full_whatever_the_buffers_are_and_only_short_parts_are_copied() {
        let mut flow = SendFlow::new(100_000);
        let large = Bytes::from(vec![7; 20_000]);
        for part in ["ab", "cd", "ef"] {
            flow.write(&mut Bytes::from(part), usize::MAX);
        }
        flow.write(&mut large.clone(), usize::MAX);
        flow.write(&mut Bytes::from("gh"), usize::MAX);

        let first = flow.next_piece(16_000, u64::MAX).expect("data waits");
        let mut payload = Vec::new();
        flow.append_payload(first, &mut payload);
        assert_eq!((first.length, payload.len()), (16_000, 2));
        assert_eq!(payload[0], "abcdef");
        assert_eq!(payload[1].as_ptr(), large.as_ptr());

        let second = flow.next_piece(16_000, u64::MAX).expect("data waits");
        payload.clear();
        flow.append_payload(second, &mut payload);
        assert_eq!((second.length, payload.len()), (4008, 1));
        assert!(payload[0].ends_with(b"\x07gh"));
    }

    #[test]
    fn a_share_of_the_budget_ends_where_a_frame_does() {
        let mut flow = SendFlow::new(1 << 20);
        assert_eq!(flow.whole_frames(64_000, 16_335), 3 * 16_335);
        flow.write(&mut Bytes::from(vec![1; 20_000]), usize::MAX);
        flow.next_piece(16_335, u64::MAX).expect("data waits");
        assert_eq!(flow.whole_frames(64_000, 16_335), 4 * 16_335 - (20_000 - 16_335));
        assert_eq!(flow.whole_frames(100, 16_335), 100, "too little for a frame");
        assert_eq!(flow.whole_frames(100, 0), 100, "no link yet");
    }

    #[test]
    fn short_writes_that_wait_are_copied_together_and_cost_what_they_hold() {
        let mut flow = SendFlow::new(100_000);
        let mut charged = 0;
        for _ in 0..100 {
            charged += flow.write(&mut Bytes::from_static(b"0123456789"), usize::MAX).charged;
        }
        assert_eq!(flow.chunks.len(), 1, "the first one is kept as it is");
        assert_eq!(charged, MIN_CHARGE + 990);

        let piece = flow.next_piece(16_000, u64::MAX).expect("data waits");
        charged += flow.write(&mut Bytes::from_static(b"later"), usize::MAX).charged;
        assert_eq!(flow.chunks.len(), 3, "what was sent stays as it is");
        let rest = flow.next_piece(16_000, u64::MAX).expect("data waits");
        assert_eq!((piece.length, rest.length), (1000, 5));
        assert_eq!(flow.acknowledge(piece) + flow.acknowledge(rest), charged);
    }

    #[test]
    fn a_tail_of_short_writes_ends_before_a_long_one_and_at_its_bound() {
        let mut flow = SendFlow::new(1 << 20);
        for _ in 0..50 {
            flow.write(&mut Bytes::from(vec![1; 1000]), usize::MAX);
        }
        assert_eq!((flow.chunks.len(), flow.tail.len()), (2, 17_000));
        flow.write(&mut Bytes::from(vec![2; 5000]), usize::MAX);
        assert_eq!((flow.chunks.len(), flow.tail.len()), (4, 0));
        assert_eq!(flow.reset(Code::CANCELLED), 55_000);
    }

    #[test]
    fn a_sliver_of_credit_waits_for_more_unless_it_is_all_that_is_wanted() {
        let mut flow = SendFlow::new(16_384);
        flow.write(&mut Bytes::from(vec![1; 40_000]), usize::MAX);
        assert_eq!(flow.next_piece(16_335, u64::MAX).expect("data waits").length, 16_335);
        assert!(!flow.has_work(), "49 bytes of credit are left");
        assert!(flow.is_blocked());
        assert_eq!(flow.next_piece(16_335, u64::MAX), None);
        flow.grant(32_768);
        assert_eq!(flow.next_piece(16_335, u64::MAX).expect("credit was raised").length, 16_335);

        let mut flow = SendFlow::new(100);
        flow.write(&mut Bytes::from(vec![1; 100]), usize::MAX);
        assert_eq!(flow.next_piece(16_335, u64::MAX).expect("all of it has credit").length, 100);
    }

    #[test]
    fn credit_bounds_sending_and_a_little_more_bounds_writing() {
        let mut flow = SendFlow::new(1024);
        let mut bytes = Bytes::from(vec![1; 1 << 20]);
        assert_eq!(flow.write(&mut bytes, usize::MAX).taken as u64, 1024 + WRITE_AHEAD);
        assert_eq!(flow.next_piece(10_000, u64::MAX).expect("credit is left").length, 1024);
        assert_eq!(flow.next_piece(10_000, u64::MAX), None);
        assert!(flow.is_blocked());
        assert!(flow.grant(3072));
        assert!(!flow.grant(2048));
        assert_eq!(flow.next_piece(10_000, u64::MAX).expect("credit was raised").length, 2048);
    }
}
