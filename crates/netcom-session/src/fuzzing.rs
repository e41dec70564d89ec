//! What the fuzz targets run. A violated rule panics, which is what a fuzzer looks for; nothing
//! else calls this.

use bytes::{BufMut, BytesMut};

use crate::{
    Fault,
    wire::{
        Data, DecodeError, Frame, FrameLimits, begin_data, data_head_len, decode, encode,
        encode_head, encoded_len, kind,
    },
};

/// Reads `input` as the bytes of a lane and returns how many frames it holds.
///
/// # Panics
///
/// When reading makes no progress, takes a part of a frame, depends on how the bytes arrive in
/// pieces, or finds a frame that is not the same after writing and reading it.
#[expect(clippy::must_use_candidate, reason = "a fuzzer has no use for the result")]
pub fn frames(input: &[u8]) -> usize {
    let [frames, _] = [FrameLimits::TLS, FrameLimits::QUIC].map(|limits| {
        let at_once = read_at_once(input, limits);
        assert_eq!(at_once, read_in_pieces(input, limits), "arriving in pieces changes something");
        for frame in &at_once.0 {
            check_round_trip(frame, limits);
        }
        at_once.0.len()
    });
    frames
}

/// Reads `input` as the body of a HELLO and returns whether it is one.
///
/// # Panics
///
/// As [`frames`].
#[expect(clippy::must_use_candidate, reason = "a fuzzer has no use for the result")]
pub fn hello(input: &[u8]) -> bool {
    let mut frame = BytesMut::new();
    frame.put_u8(kind::HELLO);
    frame.put_u64(3 << 62 | input.len() as u64);
    frame.extend_from_slice(input);
    frames(&frame) == 1
}

/// What follows the whole frames: an error or an incomplete frame of so many bytes.
type End = Result<usize, DecodeError>;

fn read_at_once(input: &[u8], limits: FrameLimits) -> (Vec<Frame>, End) {
    let mut buf = BytesMut::from(input);
    let mut frames = Vec::new();
    let end = drain(&mut buf, limits, &mut frames).map(|()| buf.len());
    (frames, end)
}

/// Byte by byte if the input is short; a long one would take longer than that finds.
fn read_in_pieces(input: &[u8], limits: FrameLimits) -> (Vec<Frame>, End) {
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for piece in input.chunks(1 + input.len() / PIECES) {
        buf.extend_from_slice(piece);
        if let Err(error) = drain(&mut buf, limits, &mut frames) {
            return (frames, Err(error));
        }
    }
    (frames, Ok(buf.len()))
}

fn drain(
    buf: &mut BytesMut,
    limits: FrameLimits,
    frames: &mut Vec<Frame>,
) -> Result<(), DecodeError> {
    loop {
        let before = buf.len();
        match decode(buf, limits) {
            Ok(Some(frame)) => {
                assert!(buf.len() < before, "a frame of no bytes");
                frames.push(frame);
            }
            Ok(None) => {
                assert_eq!(buf.len(), before, "a part of a frame is taken");
                return Ok(());
            }
            Err(error) => {
                assert_eq!(buf.len(), before, "a refused frame is taken");
                assert_eq!(error.code().fault(), Fault::Receiver, "{error}");
                return Err(error);
            }
        }
    }
}

fn check_round_trip(frame: &Frame, limits: FrameLimits) {
    let mut whole = BytesMut::new();
    encode(frame, &mut whole);
    assert_eq!(whole.len(), encoded_len(frame), "{frame:?}");
    let mut head = BytesMut::new();
    encode_head(frame, &mut head);
    assert!(whole.starts_with(&head), "{frame:?}");
    if let Frame::Data(data) = frame {
        let open = data.open.as_ref();
        let expected = data_head_len(data.stream, data.offset, open, data.bytes.len());
        assert_eq!(head.len(), expected, "{frame:?}");
        check_begin(data, &whole, limits);
    }
    assert_eq!(decode(&mut whole, limits).as_ref(), Ok(&Some(frame.clone())));
    assert!(whole.is_empty(), "{frame:?}");
}

/// A frame of data whose last byte is missing begins as the whole one, once its head is there.
fn check_begin(data: &Data, whole: &[u8], limits: FrameLimits) {
    let mut there = BytesMut::from(&whole[..whole.len() - 1]);
    let Some((began, payload)) = begin_data(&mut there, limits, 1).expect("valid") else {
        // Without the last byte the head may still go on, as far as the shortest frames tell.
        assert!(data.bytes.len() < LONGEST_HEAD, "{data:?}");
        assert_eq!(there, whole[..whole.len() - 1], "nothing is taken");
        return;
    };
    assert_eq!(payload, data.bytes.len());
    assert_eq!(Data { bytes: data.bytes.clone(), ..began }, *data);
    assert_eq!(there, whole[whole.len() - payload..whole.len() - 1]);
}

/// More than the head of a frame of data takes.
const LONGEST_HEAD: usize = 300;
/// An input arrives in about so many pieces.
const PIECES: usize = 64;
