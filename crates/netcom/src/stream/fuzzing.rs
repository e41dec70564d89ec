//! What the fuzz target of a stream's framing runs.

use bytes::BytesMut;

use super::{
    StreamErrorMessage,
    message::{Framed, Length, read_length, write_length},
};

/// Reads `input` as what comes on a stream's error flow, and its front as a message's length.
///
/// # Panics
///
/// When it depends on how the bytes arrive, or an error changes when it is written and read.
#[must_use]
pub fn stream(input: &[u8]) -> bool {
    check_length(input);
    let mut whole = BytesMut::from(input);
    let at_once = drain(&mut whole);
    let mut buffer = BytesMut::new();
    let mut pieced = (Vec::new(), true);
    // Byte by byte if it is short; a long one would take longer than it finds.
    for piece in input.chunks(1 + input.len() / PIECES) {
        buffer.extend_from_slice(piece);
        let (messages, is_sound) = drain(&mut buffer);
        pieced.0.extend(messages);
        pieced.1 = is_sound;
        if !is_sound {
            break;
        }
    }
    assert_eq!(pieced, at_once, "arriving in pieces changes something");
    for message in &at_once.0 {
        let mut framed = BytesMut::from(&message.to_framed()[..]);
        assert_eq!(drain(&mut framed), (vec![message.clone()], true));
        assert!(framed.is_empty());
    }
    !at_once.0.is_empty()
}

/// Errors as they travel, alone and in a row, and lengths.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let plain = StreamErrorMessage::new("disk_full", "no room");
    let facts = plain.clone().with("path", "/tmp/ü").with("free", "0");
    let (plain, facts) = (plain.to_framed(), facts.to_framed());
    let row = [&plain[..], &facts, &plain].concat();
    let lengths = [&[0x80, 1][..], &[0xff, 0xff, 0x7f], &[0xff; 5]];
    let inputs = [&plain[..], &facts, &row].into_iter().chain(lengths);
    inputs.map(|input| ("stream", input.to_vec())).collect()
}

/// All messages at the front, and whether more may follow.
fn drain(buffer: &mut BytesMut) -> (Vec<StreamErrorMessage>, bool) {
    let mut messages = Vec::new();
    loop {
        let before = buffer.len();
        match Framed::take(buffer) {
            Framed::Message(message) => messages.push(message),
            Framed::Incomplete => {
                assert_eq!(buffer.len(), before, "a part of a message is taken");
                assert!(before < MAX_WAITING, "{before} bytes wait for more");
                return (messages, true);
            }
            Framed::Malformed => return (messages, false),
        }
        assert!(buffer.len() < before, "a message of no bytes");
    }
}

fn check_length(input: &[u8]) {
    if let Length::Known { length, head } = read_length(input) {
        assert!(head <= input.len());
        let mut written = BytesMut::new();
        write_length(length, &mut written);
        assert!(written.len() <= head);
        let again = read_length(&written);
        assert!(matches!(again, Length::Known { length: known, head } if known == length
            && head == written.len()));
    }
}

/// An input arrives in about so many pieces.
const PIECES: usize = 64;
/// The longest error with its length.
const MAX_WAITING: usize = (32 << 10) + 5;
