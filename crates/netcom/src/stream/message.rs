//! An error as it travels: a length, then `netcom.stream.v1.ErrorMessage`.

use std::{collections::BTreeMap, fmt};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use crate::proto;

/// What went wrong, for a program and for a person.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StreamErrorMessage {
    code: String,
    message: String,
    context: BTreeMap<String, String>,
}

impl StreamErrorMessage {
    /// Makes an error of a stable code, at most 64 bytes, and a sentence, at most 4 KiB; what is
    /// longer is cut.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: cut(code.into(), MAX_CODE),
            message: cut(message.into(), MAX_TEXT),
            context: BTreeMap::new(),
        }
    }

    /// Adds a fact: at most 16, with a name of 64 bytes and a value of 512 at most; what is longer
    /// is cut, and further ones are left out.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = cut(name.into(), MAX_CODE);
        if self.context.len() < MAX_FACTS || self.context.contains_key(&name) {
            self.context.insert(name, cut(value.into(), MAX_VALUE));
        }
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The facts.
    #[must_use]
    pub fn context(&self) -> &BTreeMap<String, String> {
        &self.context
    }

    pub(super) fn to_framed(&self) -> Bytes {
        let facts = self.context.iter();
        let message = proto::ErrorMessage {
            code: self.code.clone(),
            message: self.message.clone(),
            context: facts
                .map(|(name, value)| proto::Fact { name: name.clone(), value: value.clone() })
                .collect(),
        };
        message.encode_length_delimited_to_vec().into()
    }

    fn from_proto(message: proto::ErrorMessage) -> Self {
        let facts = message.context.into_iter();
        let made = Self::new(message.code, message.message);
        facts.fold(made, |made, fact| made.with(fact.name, fact.value))
    }
}

impl fmt::Display for StreamErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// What the front of a buffer holds.
pub(super) enum Framed {
    Message(StreamErrorMessage),
    Incomplete,
    Malformed,
}

impl Framed {
    /// Takes one message off the front.
    pub(super) fn take(buffer: &mut BytesMut) -> Self {
        let (length, head) = match read_length(buffer) {
            Length::Incomplete => return Self::Incomplete,
            Length::Known { length, head } if length <= MAX_ENCODED => (length, head),
            Length::Known { .. } | Length::Malformed => return Self::Malformed,
        };
        if buffer.len() - head < length {
            return Self::Incomplete;
        }
        buffer.advance(head);
        let body = buffer.split_to(length);
        match proto::ErrorMessage::decode(body) {
            Ok(message) => Self::Message(StreamErrorMessage::from_proto(message)),
            Err(_) => Self::Malformed,
        }
    }
}

/// A length in front of a message: seven bits a byte, the lowest first, the top bit for more.
pub(super) enum Length {
    Known { length: usize, head: usize },
    Incomplete,
    Malformed,
}

/// Reads the length at the front of `bytes`.
pub(super) fn read_length(bytes: &[u8]) -> Length {
    let mut length = 0u64;
    for (at, byte) in bytes.iter().take(MAX_LENGTH_BYTES).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return match usize::try_from(length) {
                Ok(length) => Length::Known { length, head: at + 1 },
                Err(_) => Length::Malformed,
            };
        }
    }
    if bytes.len() < MAX_LENGTH_BYTES { Length::Incomplete } else { Length::Malformed }
}

/// Writes a length.
pub(super) fn write_length(mut length: usize, out: &mut BytesMut) {
    while length >= 0x80 {
        out.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// Bytes of a length: enough for 2^35.
const MAX_LENGTH_BYTES: usize = 5;
const MAX_CODE: usize = 64;
const MAX_TEXT: usize = 4 << 10;
const MAX_VALUE: usize = 512;
const MAX_FACTS: usize = 16;
/// Bytes of a message the peer may send.
const MAX_ENCODED: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way_in_any_pieces() {
        let sent = StreamErrorMessage::new("disk_full", "no room").with("path", "/tmp/ü");
        let bytes = [sent.to_framed(), sent.to_framed()].concat();
        let mut buffer = BytesMut::new();
        let mut got = Vec::new();
        for byte in bytes {
            buffer.put_u8(byte);
            if let Framed::Message(message) = Framed::take(&mut buffer) {
                got.push(message);
            }
        }
        assert_eq!(got, [sent.clone(), sent]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_claimed_length_is_never_waited_for_beyond_the_limit() {
        let mut claim = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, 0x7f][..]);
        assert!(matches!(Framed::take(&mut claim), Framed::Malformed));
        let mut endless = BytesMut::from(&[0xff; 5][..]);
        assert!(matches!(Framed::take(&mut endless), Framed::Malformed));
        let mut garbage = BytesMut::from(&[2, 0xff, 0xff][..]);
        assert!(matches!(Framed::take(&mut garbage), Framed::Malformed));
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        let message = StreamErrorMessage::new("é".repeat(100), "x".repeat(10_000));
        assert_eq!(message.code(), "é".repeat(32));
        assert_eq!(message.message().len(), MAX_TEXT);
        let facts = (0..100).fold(message, |m, n| m.with(n.to_string(), "v".repeat(1000)));
        assert_eq!(facts.context().len(), MAX_FACTS);
        assert!(facts.to_framed().len() < MAX_ENCODED);
    }

    #[test]
    fn lengths_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 24, (1 << 35) - 1] {
            let mut bytes = BytesMut::new();
            write_length(length, &mut bytes);
            let Length::Known { length: read, head } = read_length(&bytes) else {
                panic!("{length} was written whole")
            };
            assert_eq!((read, head), (length, bytes.len()));
        }
    }
}
