//! One stream: two flows each way, and which ids the peer has used.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    config::{ERROR_FLOOR, MAX_STREAM_GAPS},
    event::Violation,
    receive_flow::ReceiveFlow,
    send::SendFlow,
};
use crate::{Class, Code, Flow, StreamId, Time, wire::Limits};

/// A stream and everything that is known of it. Error flows are made on first use.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) class: Class,
    pub(crate) protocol: Bytes,
    /// This side opened it.
    pub(crate) is_local: bool,
    /// The frame at offset 0 came; always so for local streams.
    pub(crate) is_known: bool,
    /// The application has it.
    pub(crate) is_accepted: bool,
    /// The application dropped its last handle.
    pub(crate) is_released: bool,
    /// The application sent something on a stream the peer opened.
    pub(crate) is_answered: bool,
    send: SendFlow,
    receive: ReceiveFlow,
    send_errors: Option<Box<SendFlow>>,
    receive_errors: Option<Box<ReceiveFlow>>,
    /// The sending error flow ended, unused.
    pub(crate) send_errors_ended: bool,
    /// The receiving error flow ended, unused.
    pub(crate) receive_errors_ended: bool,
}

impl Stream {
    pub(crate) fn new(id: StreamId, is_local: bool, peer: &Limits, window: u64, now: Time) -> Self {
        Self {
            id,
            class: Class::Normal,
            protocol: Bytes::new(),
            is_local,
            is_known: is_local,
            is_accepted: is_local,
            is_released: false,
            is_answered: is_local,
            send: SendFlow::new(peer.data_window),
            receive: ReceiveFlow::new(window, now),
            send_errors: None,
            receive_errors: None,
            send_errors_ended: false,
            receive_errors_ended: false,
        }
    }

    /// The sending half of a flow; `None` where the error flow ended unused.
    pub(crate) fn send(&mut self, flow: Flow, peer: &Limits) -> Option<&mut SendFlow> {
        match flow {
            Flow::Data => Some(&mut self.send),
            // Its end is promised or known: nothing else can happen to it.
            Flow::Error if self.send_errors_ended || self.promises_no_errors() => None,
            Flow::Error => {
                let new = || Box::new(SendFlow::new(peer.error_window));
                Some(self.send_errors.get_or_insert_with(new))
            }
        }
    }

    /// The receiving half of a flow; `None` where the error flow ended unused.
    pub(crate) fn receive(&mut self, flow: Flow, now: Time) -> Option<&mut ReceiveFlow> {
        match flow {
            Flow::Data => Some(&mut self.receive),
            Flow::Error if self.receive_errors_ended => None,
            Flow::Error => {
                let new = || Box::new(ReceiveFlow::new(ERROR_FLOOR, now));
                Some(self.receive_errors.get_or_insert_with(new))
            }
        }
    }

    /// The sending half, if it exists.
    pub(crate) fn send_ref(&self, flow: Flow) -> Option<&SendFlow> {
        match flow {
            Flow::Data => Some(&self.send),
            Flow::Error => self.send_errors.as_deref(),
        }
    }

    /// The sending half for change, if it exists.
    pub(crate) fn send_existing(&mut self, flow: Flow) -> Option<&mut SendFlow> {
        match flow {
            Flow::Data => Some(&mut self.send),
            Flow::Error => self.send_errors.as_deref_mut(),
        }
    }

    /// The receiving half, if it exists.
    pub(crate) fn receive_ref(&self, flow: Flow) -> Option<&ReceiveFlow> {
        match flow {
            Flow::Data => Some(&self.receive),
            Flow::Error => self.receive_errors.as_deref(),
        }
    }

    /// The receiving half for change, if it exists.
    pub(crate) fn receive_existing(&mut self, flow: Flow) -> Option<&mut ReceiveFlow> {
        match flow {
            Flow::Data => Some(&mut self.receive),
            Flow::Error => self.receive_errors.as_deref_mut(),
        }
    }

    /// Whether the end of the data says that the error flow ended unused.
    fn promises_no_errors(&self) -> bool {
        self.send.fin_errors && self.send_errors.is_none()
    }

    /// Whether this side never used its sending error flow.
    pub(crate) fn has_no_send_errors(&self) -> bool {
        self.send_errors.is_none()
    }

    /// Whether the receiving error flow exists.
    pub(crate) fn has_receive_errors(&self) -> bool {
        self.receive_errors.is_some()
    }

    /// The class a flow is sent in: errors are urgent whatever the data is.
    pub(crate) fn class_of(&self, flow: Flow) -> Class {
        if flow == Flow::Error { Class::Interactive } else { self.class }
    }

    /// Whether all four halves have ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.send.is_ended()
            && self.receive.is_ended()
            && (self.send_errors_ended
                || self.send_errors.as_deref().is_some_and(SendFlow::is_ended))
            && (self.receive_errors_ended
                || self.receive_errors.as_deref().is_some_and(ReceiveFlow::is_ended))
    }

    /// Bytes the peer may still make this side keep for the stream.
    pub(crate) fn granted(&self) -> u64 {
        self.receive.granted() + self.receive_errors.as_deref().map_or(0, ReceiveFlow::granted)
    }

    /// Reads a little of everything that a frame of data or of credit changes.
    pub(crate) fn touch(&self) -> u64 {
        self.send.touch() ^ self.receive.touch() ^ self.id.0
    }

    /// Pieces waiting beyond gaps.
    pub(crate) fn gaps(&self) -> usize {
        self.receive.gaps() + self.receive_errors.as_deref().map_or(0, ReceiveFlow::gaps)
    }
}

/// Which of the peer's stream ids are open, retired or not yet seen.
#[derive(Debug)]
pub(crate) struct RemoteIds {
    /// Every index at or above is new.
    next: u64,
    /// Indexes below `next` that were not seen yet.
    unseen: BTreeSet<u64>,
    /// Indexes below are allowed.
    pub(crate) granted: u64,
    /// Streams that ended.
    retired: u64,
    /// Streams that may be open at once.
    allowance: u64,
}

/// What an id of the peer means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RemoteId {
    /// To be opened now.
    New,
    /// Seen before: open, or ended and to be ignored.
    Seen,
}

impl RemoteIds {
    pub(crate) fn new(allowance: u64) -> Self {
        Self { next: 0, unseen: BTreeSet::new(), granted: allowance, retired: 0, allowance }
    }

    /// Checks an index without changing anything.
    pub(crate) fn check(&self, index: u64) -> Result<RemoteId, Violation> {
        if index >= self.granted {
            return Err(Violation::new(Code::STREAM_LIMIT));
        }
        let skipped = index.saturating_sub(self.next);
        if self.unseen.len() as u64 + skipped > MAX_STREAM_GAPS as u64 {
            return Err(Violation::because(Code::STREAM_LIMIT, "too many stream ids left out"));
        }
        let is_new = index >= self.next || self.unseen.contains(&index);
        Ok(if is_new { RemoteId::New } else { RemoteId::Seen })
    }

    /// Marks a checked index as seen.
    pub(crate) fn see(&mut self, index: u64) {
        if index < self.next {
            self.unseen.remove(&index);
        } else {
            self.unseen.extend(self.next..index);
            self.next = index + 1;
        }
    }

    /// Counts an ended stream. Returns whether announcing more is due.
    pub(crate) fn retire(&mut self, max_allowance: u64) -> bool {
        self.retired += 1;
        let open = self.next - self.retired.min(self.next);
        if open * 2 >= self.allowance {
            self.allowance = (self.allowance * 2).min(max_allowance);
        }
        self.is_due()
    }

    /// Makes room where the peer used more than half of its streams at once. Returns whether
    /// announcing more is due.
    pub(crate) fn grow(&mut self, max_allowance: u64) -> bool {
        let open = self.next - self.retired.min(self.next);
        if open * 2 >= self.allowance {
            self.allowance = (self.allowance * 2).min(max_allowance);
        }
        self.is_due()
    }

    /// Whether what the peer was not told of is a good part of its allowance, or more than what
    /// it was told of and has not used.
    fn is_due(&self) -> bool {
        let untold = (self.retired + self.allowance).saturating_sub(self.granted);
        let unused = self.granted.saturating_sub(self.next);
        untold > 0 && untold >= unused.min(self.allowance / 4)
    }

    /// The limit to announce.
    pub(crate) fn announce(&mut self) -> u64 {
        self.granted = self.granted.max(self.retired + self.allowance);
        self.granted
    }

    /// The highest index seen so far.
    pub(crate) fn last(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_stream_costs_at_most_512_bytes() {
        // Beside its own size: the key, the pointer and a share of the table's node.
        assert!(size_of::<Stream>() + 32 <= 512, "{}", size_of::<Stream>());
    }

    #[test]
    fn ids_left_out_are_bounded_and_count_against_the_limit() {
        let mut ids = RemoteIds::new(4096);
        assert_eq!(ids.check(4096), Err(Violation::new(Code::STREAM_LIMIT)));
        assert!(ids.check(1025).is_err(), "1,025 ids left out at once");
        ids.see(1024);
        assert!(ids.check(1026).is_err(), "one more left out");
        assert_eq!(ids.check(1025), Ok(RemoteId::New));
        ids.see(7);
        assert_eq!(ids.check(7), Ok(RemoteId::Seen));
        assert_eq!(ids.check(1026), Ok(RemoteId::New), "a place became free");
    }

    #[test]
    fn the_limit_of_streams_follows_what_ended_and_grows_with_use() {
        let mut ids = RemoteIds::new(64);
        for index in 0..64 {
            ids.see(index);
        }
        assert!(ids.grow(2048));
        assert_eq!(ids.announce(), 128);
        let due = (0..64).filter(|_| ids.retire(2048)).count();
        assert!(due > 0);
        assert!(ids.announce() >= 128 + 64);
    }

    #[test]
    fn a_peer_that_keeps_its_streams_may_open_all_that_it_is_allowed() {
        for ended in 0..300 {
            let mut ids = RemoteIds::new(64);
            for index in 0..ended {
                ids.see(index);
                if ids.grow(64) | ids.retire(64) {
                    ids.announce();
                }
            }
            let mut granted = ids.granted;
            for index in ended..ended + 64 {
                assert!(index < granted, "{} of 64 after {ended}", index - ended);
                ids.see(index);
                if ids.grow(64) {
                    granted = ids.announce();
                }
            }
            assert!(!ids.grow(64), "and no more than that");
        }
    }
}
