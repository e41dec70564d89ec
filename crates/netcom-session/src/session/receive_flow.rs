//! The receiving half of a flow: reassembly, credit and end.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

use super::{
    config::{MAX_FLOW_GAPS, TURN_WINDOW},
    event::Violation,
};
use crate::{Code, Time, wire::Payload};

/// Bytes from the peer, in order for the reader, with gaps until those are filled.
#[derive(Debug)]
pub(crate) struct ReceiveFlow {
    /// Contiguous, not yet read, before `tail`.
    ready: VecDeque<Bytes>,
    /// Contiguous small pieces, copied together so that they pin no read buffer.
    tail: BytesMut,
    /// Received beyond a gap, by offset; small neighbours are joined.
    beyond: BTreeMap<u64, Waiting>,
    /// Runs of `beyond` with a gap before them.
    gaps: usize,
    /// Everything below was read.
    read: u64,
    /// Everything below was received.
    next: u64,
    /// Offset behind the highest byte received.
    highest: u64,
    /// Credit given to the peer.
    max: u64,
    window: u64,
    window_began: Time,
    window_read: u64,
    final_size: Option<u64>,
    reset: Option<Code>,
    /// The reset was shown to the application.
    pub(crate) reset_shown: bool,
    /// Nobody will read: what comes is dropped.
    is_stopped: bool,
    /// STOP awaits its acknowledgement or the flow's end.
    pub(crate) stop: Option<Code>,
    /// A reader found nothing.
    pub(crate) reader_waits: bool,
    /// CREDIT waits to be sent.
    pub(crate) is_credit_queued: bool,
}

/// A piece that waits for what comes before it.
#[derive(Debug)]
enum Waiting {
    /// As it was received.
    Whole(Bytes),
    /// Small pieces copied together, so that neither they nor their buffers pile up.
    Joined(BytesMut),
}

impl Waiting {
    fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Joined(bytes) => bytes.len() as u64,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}

/// What a session leaves the window of one flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The widest one.
    pub(crate) max_window: u64,
    /// What the session may still grant.
    pub(crate) spare: u64,
    /// The window that every stream could have.
    pub(crate) fair: u64,
}

/// What a frame changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Received {
    /// Bytes not seen before.
    pub(crate) fresh: u64,
    /// Bytes seen before.
    pub(crate) repeated: u64,
    /// The end became known.
    pub(crate) ended: bool,
}

impl ReceiveFlow {
    pub(crate) fn new(window: u64, now: Time) -> Self {
        Self {
            ready: VecDeque::new(),
            tail: BytesMut::new(),
            beyond: BTreeMap::new(),
            gaps: 0,
            read: 0,
            next: 0,
            highest: 0,
            max: window,
            window,
            window_began: now,
            window_read: 0,
            final_size: None,
            reset: None,
            reset_shown: false,
            is_stopped: false,
            stop: None,
            reader_waits: false,
            is_credit_queued: false,
        }
    }

    /// Checks a piece against credit and end, then takes what is new of it.
    pub(crate) fn receive(
        &mut self,
        offset: u64,
        payload: impl Into<Payload>,
        fin: bool,
    ) -> Result<Received, Violation> {
        let payload = payload.into();
        let length = payload.len() as u64;
        let end = offset.checked_add(length).ok_or(Violation::new(Code::FLOW_CONTROL))?;
        self.check_end(end, fin)?;
        if end > self.max {
            return Err(Violation::new(Code::FLOW_CONTROL));
        }
        if self.gaps >= MAX_FLOW_GAPS && offset > self.next {
            return Err(Violation::new(Code::TOO_MANY_GAPS));
        }
        let ended = fin && self.final_size.is_none();
        if fin {
            self.final_size = Some(end);
        }
        let news = end.saturating_sub(self.highest).min(length);
        self.highest = self.highest.max(end);
        if self.reset.is_some() || self.is_stopped {
            // Dropped, but not useless: the sender could not know.
            return Ok(Received { fresh: news, repeated: length - news, ended });
        }
        let copy_below = if payload.is_in_parts() { 0 } else { COPY_BELOW };
        let (mut fresh, mut at) = (0, offset);
        for bytes in payload {
            let end = at + bytes.len() as u64;
            fresh += if at <= self.next {
                self.take_in_order(at, bytes, copy_below)
            } else {
                self.take_beyond(at, &bytes)
            };
            at = end;
        }
        Ok(Received { fresh, repeated: length - fresh, ended })
    }

    /// Takes the peer's reset. Returns whether it changed anything.
    pub(crate) fn receive_reset(&mut self, code: Code, final_size: u64) -> Result<bool, Violation> {
        self.check_end(final_size, true)?;
        if final_size > self.max {
            return Err(Violation::new(Code::FLOW_CONTROL));
        }
        if self.final_size.is_some() && (self.reset.is_some() || self.is_finished()) {
            return Ok(false);
        }
        self.final_size = Some(final_size);
        self.reset.get_or_insert(code);
        self.highest = final_size;
        self.forget_beyond();
        Ok(true)
    }

    /// Ends the flow from this side, as if the peer had reset it. Where the peer's end of it is
    /// not known, what still comes is dropped until it is: returns whether the peer should be told
    /// to stop.
    pub(crate) fn fail(&mut self, code: Code) -> bool {
        if self.reset.is_some() || self.is_finished() {
            return false;
        }
        self.reset = Some(code);
        self.forget_beyond();
        if self.is_end_known() {
            return false;
        }
        self.stop = Some(code);
        true
    }

    /// Moves up to `max` bytes in order to the end of `chunks`. Returns how many.
    pub(crate) fn read(&mut self, max: usize, chunks: &mut VecDeque<Bytes>) -> usize {
        let all = usize::try_from(self.next - self.read).unwrap_or(usize::MAX);
        if all <= max && chunks.is_empty() {
            // The reader's empty queue, with its room, is the flow's from now on.
            std::mem::swap(&mut self.ready, chunks);
            chunks.extend(self.take_tail());
            self.read = self.next;
            self.spare_room();
            return all;
        }
        let mut left = max;
        while left > 0 {
            let Some(mut chunk) = self.ready.pop_front().or_else(|| self.take_tail()) else {
                break;
            };
            if chunk.len() > left {
                let rest = chunk.split_off(left);
                self.ready.push_front(rest);
            }
            left -= chunk.len();
            chunks.push_back(chunk);
        }
        self.spare_room();
        self.read += (max - left) as u64;
        max - left
    }

    /// Frees a queue that is empty and was long.
    fn spare_room(&mut self) {
        if self.ready.is_empty() && self.ready.capacity() > SPARE_CHUNKS {
            self.ready = VecDeque::new();
        }
    }

    /// Drops what came and what will come. Returns the bytes dropped.
    pub(crate) fn discard(&mut self) -> u64 {
        self.is_stopped = true;
        self.ready = VecDeque::new();
        self.tail = BytesMut::new();
        self.forget_beyond();
        let dropped = self.next - self.read;
        self.read = self.next;
        dropped
    }

    /// Whether giving new credit is due. Widens the window where the reader empties it within two
    /// round trips, and narrows one that is wider than others' where those have no room.
    pub(crate) fn update_window(&mut self, room: Room, rtt: Duration, now: Time) -> bool {
        if self.final_size.is_some() || self.is_stopped || self.reset.is_some() {
            return false;
        }
        let mut grew = false;
        if self.read - self.window_read >= self.window {
            let wider = (self.window * 2).min(room.max_window);
            let quick = now.since(self.window_began) <= rtt.max(MIN_TUNING_RTT) * 2;
            if quick && wider > self.window && wider - self.window <= room.spare / 2 {
                self.window = wider;
                grew = true;
            }
            self.window_began = now;
            self.window_read = self.read;
        }
        if self.is_credit_due() && room.spare < TURN_WINDOW && self.window > room.fair {
            self.window = (self.window / 2).max(room.fair);
        }
        grew || self.is_credit_due()
    }

    /// Whether a quarter of the window was read since credit was given last.
    fn is_credit_due(&self) -> bool {
        (self.read + self.window).saturating_sub(self.max) >= self.window / 4
    }

    /// Raises the window to `window` if it is narrower. Returns whether it was.
    pub(crate) fn widen(&mut self, window: u64) -> bool {
        let wider = window > self.window && self.final_size.is_none();
        self.window = self.window.max(window);
        wider
    }

    /// The credit to announce now.
    pub(crate) fn announce(&mut self) -> u64 {
        self.max = self.credit();
        self.max
    }

    /// The credit that was announced.
    pub(crate) fn announced(&self) -> u64 {
        self.max
    }

    /// The credit that could be announced: what was read plus the window.
    pub(crate) fn credit(&self) -> u64 {
        let is_open = self.final_size.is_none() && !self.is_stopped && self.reset.is_none();
        if is_open { self.max.max(self.read + self.window) } else { self.max }
    }

    /// Bytes the peer may still make this side keep.
    pub(crate) fn granted(&self) -> u64 {
        if self.is_stopped {
            0
        } else if self.reset.is_some() {
            self.next - self.read
        } else if let Some(end) = self.final_size {
            end - self.read
        } else {
            // A widened window counts before it is announced.
            self.max.max(self.read + self.window) - self.read
        }
    }

    /// How wide the window is.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// Whether there are bytes to read, an end or a reset to see.
    pub(crate) fn is_readable(&self) -> bool {
        self.next > self.read || self.reset.is_some() || self.is_finished()
    }

    /// Whether bytes in order wait.
    pub(crate) fn has_bytes(&self) -> bool {
        self.next > self.read
    }

    /// Whether everything up to the end was read.
    pub(crate) fn is_finished(&self) -> bool {
        self.reset.is_none() && self.final_size == Some(self.read)
    }

    /// The peer's reset, once everything before it was read.
    pub(crate) fn reset_code(&self) -> Option<Code> {
        self.reset
    }

    /// Whether nothing more can come from this half.
    pub(crate) fn is_ended(&self) -> bool {
        match self.reset {
            // One that this side ended is kept until the peer's end is known: STOP travels first.
            Some(_) if self.stop.is_some() && self.final_size.is_none() => false,
            Some(_) => self.reset_shown || self.is_stopped,
            None => self.is_finished() || (self.is_stopped && self.final_size.is_some()),
        }
    }

    /// Whether the end is known, by FIN or RESET.
    pub(crate) fn is_end_known(&self) -> bool {
        self.final_size.is_some()
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether no byte ever came.
    pub(crate) fn is_unused(&self) -> bool {
        self.highest == 0
    }

    /// Reads a little of everything that a frame of data changes.
    pub(crate) fn touch(&self) -> u64 {
        self.ready.len() as u64 ^ self.next ^ u64::from(self.is_stopped)
    }

    /// How many gaps there are.
    pub(crate) fn gaps(&self) -> usize {
        self.gaps
    }

    fn check_end(&self, end: u64, fin: bool) -> Result<(), Violation> {
        let is_consistent = match self.final_size {
            Some(known) => end <= known && (!fin || end == known),
            None => !fin || end >= self.highest,
        };
        if is_consistent { Ok(()) } else { Err(Violation::new(Code::FINAL_SIZE)) }
    }

    fn take_in_order(&mut self, offset: u64, mut bytes: Bytes, copy_below: usize) -> u64 {
        let known = self.next - offset;
        if known >= bytes.len() as u64 {
            return 0;
        }
        let before = self.next;
        bytes.split_off_front(known);
        // What fills the gap may overlap what waits behind it.
        let mut fresh = bytes.len() as u64;
        self.append(bytes, copy_below);
        let mut run_end = None;
        while let Some(entry) = self.beyond.first_entry() {
            let start = *entry.key();
            if start > self.next {
                break;
            }
            let mut waiting = entry.remove().into_bytes();
            let length = waiting.len() as u64;
            // Each run had a gap before it, which is filled now.
            self.gaps -= usize::from(run_end != Some(start));
            run_end = Some(start + length);
            let overlap = self.next - start;
            fresh -= overlap.min(length);
            if overlap < length {
                waiting.split_off_front(overlap);
                self.append(waiting, COPY_BELOW);
            }
        }
        debug_assert!(self.next >= before + fresh);
        fresh
    }

    fn take_beyond(&mut self, offset: u64, bytes: &Bytes) -> u64 {
        let end = offset + bytes.len() as u64;
        let (mut start, mut fresh) = (offset, 0);
        while start < end {
            let covered = self.beyond.range(..=start).next_back();
            let covered_to = covered.map_or(0, |(at, waiting)| at + waiting.len());
            if covered_to > start {
                start = covered_to;
                continue;
            }
            let stop = self.beyond.range(start..).next().map_or(end, |(at, _)| end.min(*at));
            let piece = slice_of(bytes, start - offset, stop - offset);
            fresh += stop - start;
            self.keep_beyond(start, piece, covered_to == start && start > 0);
            start = stop;
        }
        fresh
    }

    /// Keeps a piece that overlaps nothing. `touches_left` tells whether one ends where it starts.
    fn keep_beyond(&mut self, start: u64, piece: Bytes, touches_left: bool) {
        let end = start + piece.len() as u64;
        let touches_right = self.beyond.contains_key(&end);
        self.gaps = self.gaps + 1 - usize::from(touches_left) - usize::from(touches_right);
        if piece.len() >= COPY_BELOW {
            self.beyond.insert(start, Waiting::Whole(piece));
            return;
        }
        let left = self.beyond.range_mut(..start).next_back().filter(|_| touches_left);
        if let Some((_, Waiting::Joined(left))) = left
            && left.len() < COPY_BELOW
        {
            left.extend_from_slice(&piece);
            return;
        }
        let mut joined = BytesMut::from(&piece[..]);
        let is_small =
            |waiting: &Waiting| matches!(waiting, Waiting::Joined(b) if b.len() < COPY_BELOW);
        if touches_right
            && self.beyond.get(&end).is_some_and(is_small)
            && let Some(Waiting::Joined(right)) = self.beyond.remove(&end)
        {
            joined.extend_from_slice(&right);
        }
        self.beyond.insert(start, Waiting::Joined(joined));
    }

    fn forget_beyond(&mut self) {
        self.beyond.clear();
        self.gaps = 0;
    }

    /// Queues what comes next; what is shorter than `copy_below` is copied.
    fn append(&mut self, bytes: Bytes, copy_below: usize) {
        self.next += bytes.len() as u64;
        if bytes.is_empty() {
            return;
        }
        if bytes.len() >= copy_below {
            if let Some(tail) = self.take_tail() {
                self.ready.push_back(tail);
            }
            self.ready.push_back(bytes);
            return;
        }
        if self.tail.len() + bytes.len() > MAX_TAIL
            && let Some(tail) = self.take_tail()
        {
            self.ready.push_back(tail);
        }
        self.tail.extend_from_slice(&bytes);
    }

    fn take_tail(&mut self) -> Option<Bytes> {
        (!self.tail.is_empty()).then(|| std::mem::take(&mut self.tail).freeze())
    }
}

/// Cuts known bytes off the front.
trait SplitFront {
    fn split_off_front(&mut self, count: u64);
}

impl SplitFront for Bytes {
    fn split_off_front(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.len());
        drop(self.split_to(count));
    }
}

fn slice_of(bytes: &Bytes, from: u64, to: u64) -> Bytes {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(from)..index(to))
}

/// Pieces shorter than this are copied when queued: an eighth of the 64 KiB a read can pin.
const COPY_BELOW: usize = 8 << 10;
/// How much of small pieces is copied together.
const MAX_TAIL: usize = 32 << 10;
/// Room for buffers that an idle flow keeps.
const SPARE_CHUNKS: usize = 64;
/// Below this round trip the scheduler's pauses, not the path, decide how wide a window must be.
const MIN_TUNING_RTT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow() -> ReceiveFlow {
        ReceiveFlow::new(1000, Time(0))
    }

    fn read_all(flow: &mut ReceiveFlow) -> Vec<u8> {
        let mut chunks = VecDeque::new();
        flow.read(usize::MAX >> 1, &mut chunks);
        chunks.into_iter().flatten().collect()
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_and_repeated_give_the_bytes_once(
            cuts in prop::collection::vec((0usize..200, 0usize..40), 1..80)
        ) {
            let whole: Vec<u8> = (0..=255).collect();
            let (mut flow, mut fresh) = (flow(), 0);
            for (start, length) in cuts {
                let piece = Bytes::copy_from_slice(&whole[start..start + length]);
                let received = flow.receive(start as u64, piece, false).expect("within credit");
                prop_assert_eq!(received.fresh + received.repeated, length as u64);
                fresh += received.fresh;
            }
            let rest = flow.receive(0, Bytes::from(whole.clone()), true).expect("within credit");
            prop_assert_eq!(fresh + rest.fresh, 256);
            prop_assert_eq!(read_all(&mut flow), whole);
            prop_assert!(flow.is_finished());
        }
    }

    #[test]
    fn data_beyond_the_credit_is_a_violation_and_changes_nothing() {
        let mut flow = flow();
        let error = flow.receive(999, Bytes::from_static(b"ab"), false);
        assert_eq!(error.expect_err("one byte too many").code, Code::FLOW_CONTROL);
        assert!(flow.is_unused());
    }

    #[test]
    fn a_second_different_end_is_a_violation() {
        let mut flow = flow();
        flow.receive(0, Bytes::from_static(b"abc"), true).expect("the first end");
        flow.receive(0, Bytes::from_static(b"abc"), true).expect("the same end again");
        for (offset, bytes, fin) in [(0, "ab", true), (3, "d", false), (3, "d", true)] {
            let error = flow.receive(offset, Bytes::from(bytes), fin);
            assert_eq!(error.expect_err("another end").code, Code::FINAL_SIZE);
        }
        assert_eq!(flow.receive_reset(Code::CANCELLED, 4).expect_err("too").code, Code::FINAL_SIZE);
    }

    #[test]
    fn one_byte_gaps_are_bounded() {
        let mut flow = ReceiveFlow::new(1 << 20, Time(0));
        let refused = (0..4000u64)
            .map(|n| flow.receive(2 * n + 1, Bytes::from_static(b"x"), false))
            .find_map(Result::err);
        assert_eq!(refused.expect("gaps are bounded").code, Code::TOO_MANY_GAPS);
        assert_eq!(flow.gaps(), MAX_FLOW_GAPS);
    }

    #[test]
    fn pieces_behind_one_gap_are_one_gap_in_whatever_order_they_come() {
        for descending in [false, true] {
            let mut flow = ReceiveFlow::new(1 << 20, Time(0));
            for n in 0..20_000u64 {
                let at = if descending { 20_000 - n } else { n + 1 };
                flow.receive(at * 10, Bytes::from_static(b"0123456789"), false).expect("one gap");
            }
            assert_eq!(flow.gaps(), 1);
            assert!(flow.beyond.len() < 100, "neighbours are joined: {}", flow.beyond.len());
            flow.receive(0, Bytes::from_static(b"0123456789"), false).expect("the gap");
            assert_eq!((flow.gaps(), read_all(&mut flow).len()), (0, 200_010));
        }
    }

    #[test]
    fn parts_of_a_payload_are_kept_as_they_are_and_short_pieces_are_copied_together() {
        let whole = Bytes::from((0..=255).collect::<Vec<u8>>());
        let parts: Vec<Bytes> = (0..4).map(|n| whole.slice(n * 64..n * 64 + 64)).collect();
        let mut flow = flow();
        let received = flow.receive(0, Payload::of_parts(parts), false).expect("within credit");
        assert_eq!(received.fresh, 256);
        for offset in [256, 260] {
            flow.receive(offset, Bytes::from_static(b"tail"), false).expect("within credit");
        }
        let mut chunks = VecDeque::new();
        assert_eq!(flow.read(100, &mut chunks), 100);
        assert_eq!(flow.read(1000, &mut chunks), 164, "behind what the reader has");
        let lengths: Vec<usize> = chunks.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [64, 36, 28, 64, 64, 8]);
        assert_eq!(chunks[0].as_ptr(), whole.as_ptr());
        assert!(chunks.iter().flatten().copied().take(256).eq(0..=255));
    }

    #[test]
    fn a_reader_whose_queue_is_empty_gets_all_at_once() {
        let mut flow = flow();
        let parts = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"def")];
        flow.receive(0, Payload::of_parts(parts), false).expect("within credit");
        flow.receive(6, Bytes::from_static(b"g"), true).expect("within credit");
        let mut chunks = VecDeque::new();
        assert_eq!(flow.read(7, &mut chunks), 7);
        assert_eq!(chunks, ["abc", "def", "g"]);
        assert!(flow.is_finished());
    }

    #[test]
    fn parts_that_overlap_what_came_before_give_their_bytes_once() {
        let mut flow = flow();
        flow.receive(2, Bytes::from_static(b"cd"), false).expect("within credit");
        let parts = ["ab", "cde", "f"].map(Bytes::from).to_vec();
        let received = flow.receive(0, Payload::of_parts(parts), true).expect("within credit");
        assert_eq!((received.fresh, received.repeated), (4, 2));
        assert_eq!(read_all(&mut flow), b"abcdef");
    }

    #[test]
    fn a_window_grows_only_when_emptied_within_two_round_trips() {
        let rtt = Duration::from_millis(10);
        for (pause, grows) in [(Duration::from_millis(15), true), (rtt * 3, false)] {
            let mut flow = flow();
            flow.receive(0, Bytes::from(vec![1; 1000]), false).expect("within credit");
            assert_eq!(read_all(&mut flow).len(), 1000);
            let room = Room { max_window: 1 << 20, spare: 1 << 20, fair: 1 << 20 };
            assert!(flow.update_window(room, rtt, Time(0) + pause));
            assert_eq!(flow.window(), if grows { 2000 } else { 1000 });
            assert_eq!(flow.announce(), 1000 + flow.window());
        }
    }

    #[test]
    fn a_window_wider_than_others_is_halved_while_those_have_no_room_and_no_credit_is_lost() {
        let (rtt, later) = (Duration::from_millis(1), Time(0) + Duration::from_secs(1));
        for (spare, windows) in [(TURN_WINDOW, [1 << 18; 3]), (0, [1 << 17, 1 << 16, 50_000])] {
            let room = Room { max_window: 1 << 20, spare, fair: 50_000 };
            let mut flow = ReceiveFlow::new(1 << 18, Time(0));
            for window in windows {
                let all = usize::try_from(flow.max - flow.next).expect("a window");
                flow.receive(flow.next, Bytes::from(vec![1; all]), false).expect("within credit");
                read_all(&mut flow);
                assert!(flow.update_window(room, rtt, later), "all credit was used");
                assert_eq!(flow.window(), window);
                assert_eq!(flow.announce(), flow.read + window);
            }
        }
    }
}
