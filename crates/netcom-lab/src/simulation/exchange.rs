//! What two hosts do with one stream, and which bytes that is.

use std::{fmt, ops::Range, sync::LazyLock, time::Duration};

use bytes::Bytes;
use netcom_session::{Class, Flow};

use super::network::HostId;

/// Something that one host asks of another over a stream: bytes there, bytes back.
///
/// Both hosts know from the stream's protocol which exchange it is, and so each byte that must
/// come. One that fails though the network is to blame is begun again on another stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Who opens the stream.
    pub from: HostId,
    /// Who accepts it.
    pub to: HostId,
    /// Bytes there.
    pub up: u64,
    /// Bytes back.
    pub down: u64,
    /// Bytes back on the flow of errors.
    pub errors: u64,
    /// How urgent it is.
    pub class: Class,
    /// Whether the answer waits for the end of the question.
    pub is_request: bool,
    /// Readers that take their time.
    pub appetite: Option<Appetite>,
    /// Somebody who loses interest, in the first attempt.
    pub gives_up: Option<GiveUp>,
}

/// How fast a slow reader reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Appetite {
    /// Bytes at a time.
    pub bytes: usize,
    /// Between two times.
    pub pause: Duration,
}

/// How somebody loses interest in an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GiveUp {
    /// Whether it is who opened the stream.
    pub is_opener: bool,
    /// Bytes it has read and written by then.
    pub after: u64,
    /// What it does.
    pub how: How,
}

/// What somebody does who loses interest in a stream, before dropping it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// Gives up what it sends.
    Reset,
    /// Asks for no more.
    Stop,
    /// Nothing.
    Drop,
}

/// One attempt of an exchange.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Attempt {
    pub(super) exchange: u64,
    pub(super) number: u32,
}

/// One direction of one flow of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) flow: Flow,
    /// Sent by who opened the stream.
    pub(super) is_up: bool,
    pub(super) length: u64,
}

impl Exchange {
    /// A question and its answer.
    #[must_use]
    pub fn request([from, to]: [HostId; 2], up: u64, down: u64) -> Self {
        Self {
            from,
            to,
            up,
            down,
            errors: 0,
            class: Class::Normal,
            is_request: true,
            appetite: None,
            gives_up: None,
        }
    }

    /// What one side sends.
    pub(super) fn sends(&self, is_opener: bool) -> Vec<Line> {
        self.lines().into_iter().filter(|line| line.is_up == is_opener).collect()
    }

    /// What one side reads.
    pub(super) fn reads(&self, is_opener: bool) -> Vec<Line> {
        self.sends(!is_opener)
    }

    fn lines(&self) -> Vec<Line> {
        let line = |flow, is_up, length| Line { flow, is_up, length };
        let mut lines = vec![line(Flow::Data, true, self.up), line(Flow::Data, false, self.down)];
        if self.errors > 0 {
            lines.push(line(Flow::Error, false, self.errors));
        }
        lines
    }
}

impl Line {
    /// Some bytes of the line: as many as asked for, or fewer, but not none where there are any.
    pub(super) fn bytes(self, attempt: Attempt, range: Range<u64>) -> Bytes {
        let flow = u64::from(self.flow == Flow::Error) * 2 + u64::from(self.is_up);
        let salt = attempt.exchange * 16 + u64::from(attempt.number) * 4 + flow;
        let start = (range.start + salt.wrapping_mul(4_099)) % PERIOD;
        let length = (range.end.min(self.length) - range.start).min(LONGEST_PIECE);
        NOISE.slice(start as usize..(start + length) as usize)
    }
}

impl Attempt {
    /// The name by which both sides know it.
    pub(super) fn protocol(self) -> Bytes {
        Bytes::from(self.to_string())
    }

    /// Reads the name.
    pub(super) fn of_protocol(name: &[u8]) -> Option<Self> {
        let (exchange, number) = std::str::from_utf8(name).ok()?.split_once('/')?;
        Some(Self { exchange: exchange.parse().ok()?, number: number.parse().ok()? })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.exchange, self.number)
    }
}

/// Bytes that tell where they belong: made once, because copies would take most of the time.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    (0..PERIOD + LONGEST_PIECE).map(|at| byte(at % PERIOD)).collect()
});

/// What [`NOISE`] repeats after: a prime, so that no length of pieces hides a repetition.
const PERIOD: u64 = 65_521;
const LONGEST_PIECE: u64 = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_line_are_the_same_however_they_are_cut() {
        let line = Line { flow: Flow::Data, is_up: true, length: 300_000 };
        let attempt = Attempt { exchange: 12, number: 1 };
        let cut = |most: u64| {
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < line.length {
                let from = bytes.len() as u64;
                bytes.extend(line.bytes(attempt, from..from + most));
            }
            bytes
        };
        assert!(cut(1 << 20) == cut(777) && cut(777).len() == 300_000);
        let other = Attempt { number: 2, ..attempt };
        assert_ne!(line.bytes(other, 0..100), line.bytes(attempt, 0..100));
    }

    #[test]
    fn an_attempt_is_known_by_its_protocol() {
        let attempt = Attempt { exchange: 7, number: 3 };
        assert_eq!(Attempt::of_protocol(&attempt.protocol()), Some(attempt));
        assert_eq!(Attempt::of_protocol(b"chat/x"), None);
    }
}
