//! Unreliable messages: bounded queues, oldest dropped, duplicates removed.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{Time, wire::Datagram};

/// Both directions of a session's datagrams.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    outgoing: VecDeque<(Time, Datagram)>,
    outgoing_bytes: usize,
    next_sequence: u64,
    incoming: VecDeque<(u64, Bytes)>,
    incoming_bytes: usize,
    seen: Window,
    /// Dropped on either way: late, too many, or repeated.
    pub(crate) dropped: u64,
}

impl Datagrams {
    /// Queues a message to be sent before `now + ttl`, dropping the oldest where there are too
    /// many.
    pub(crate) fn send(&mut self, flow: u64, bytes: Bytes, ttl: Duration, now: Time) {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(MAX_TTL_MS);
        self.outgoing_bytes += bytes.len();
        let message = Datagram { flow, sequence: self.next_sequence, ttl_ms, bytes };
        self.next_sequence += 1;
        self.outgoing.push_back((now + Duration::from_millis(ttl_ms), message));
        while self.outgoing.len() > MAX_QUEUED || self.outgoing_bytes > MAX_QUEUED_BYTES {
            self.take_outgoing();
            self.dropped += 1;
        }
    }

    /// The next message that is not late.
    pub(crate) fn poll(&mut self, now: Time) -> Option<Datagram> {
        while let Some((deadline, message)) = self.take_outgoing() {
            if deadline >= now {
                return Some(message);
            }
            self.dropped += 1;
        }
        None
    }

    /// Whether a message waits to be sent.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Takes a message from the peer. Returns whether it is new.
    pub(crate) fn receive(&mut self, message: &Datagram) -> bool {
        if !self.seen.insert(message.sequence) {
            self.dropped += 1;
            return false;
        }
        self.incoming_bytes += message.bytes.len();
        // The message must not pin the large buffer it was read into.
        self.incoming.push_back((message.flow, Bytes::copy_from_slice(&message.bytes)));
        while self.incoming.len() > MAX_QUEUED || self.incoming_bytes > MAX_QUEUED_BYTES {
            self.recv();
            self.dropped += 1;
        }
        true
    }

    /// Hands the oldest message to the application.
    pub(crate) fn recv(&mut self) -> Option<(u64, Bytes)> {
        let (flow, bytes) = self.incoming.pop_front()?;
        self.incoming_bytes -= bytes.len();
        Some((flow, bytes))
    }

    fn take_outgoing(&mut self) -> Option<(Time, Datagram)> {
        let taken = self.outgoing.pop_front()?;
        self.outgoing_bytes -= taken.1.bytes.len();
        Some(taken)
    }
}

/// Which of the latest 1,024 sequence numbers came.
#[derive(Debug, Default)]
struct Window {
    /// Every number at or above is new.
    next: u64,
    /// One bit for each of the numbers before `next`, by number modulo 1,024.
    bits: Option<Box<[u64; WORDS]>>,
}

impl Window {
    /// Returns whether the number is new.
    fn insert(&mut self, number: u64) -> bool {
        let bits = self.bits.get_or_insert_default();
        if number >= self.next {
            let skipped = (number - self.next).min(64 * WORDS as u64);
            (0..skipped).for_each(|n| *word(bits, self.next + n) &= !mask(self.next + n));
            self.next = number.saturating_add(1);
        } else if self.next - number > 64 * WORDS as u64 || *word(bits, number) & mask(number) != 0
        {
            return false;
        }
        *word(bits, number) |= mask(number);
        true
    }
}

fn word(bits: &mut [u64; WORDS], number: u64) -> &mut u64 {
    &mut bits[usize::try_from(number / 64 % WORDS as u64).unwrap_or(0)]
}

fn mask(number: u64) -> u64 {
    1 << (number % 64)
}

const WORDS: usize = 16;
/// Messages that may wait, each way.
const MAX_QUEUED: usize = 128;
/// Bytes of messages that may wait, each way.
const MAX_QUEUED_BYTES: usize = 64 << 10;
/// No message is worth sending a minute late.
const MAX_TTL_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u64) -> Datagram {
        Datagram { flow: 1, sequence, ttl_ms: 200, bytes: Bytes::from_static(b"x") }
    }

    #[test]
    fn a_repeated_message_comes_once_within_the_window() {
        let mut datagrams = Datagrams::default();
        for sequence in [0, 5, 3, 1500, 1499, 600] {
            assert!(datagrams.receive(&message(sequence)), "{sequence}");
            assert!(!datagrams.receive(&message(sequence)), "{sequence} again");
        }
        assert!(!datagrams.receive(&message(4)), "too old to tell");
        assert_eq!(datagrams.dropped, 7);
    }

    #[test]
    fn late_messages_and_those_beyond_the_bound_are_dropped_oldest_first() {
        let mut datagrams = Datagrams::default();
        let ttl = Duration::from_millis(200);
        for n in 0..200u8 {
            datagrams.send(0, Bytes::from(vec![n]), ttl, Time(0));
        }
        let first = datagrams.poll(Time(0)).expect("messages wait");
        assert_eq!(first.bytes[0], 72);
        assert_eq!(datagrams.poll(Time(0) + ttl * 2), None);
        assert_eq!(datagrams.dropped, 199);
    }
}
