//! Frames that end too early, and frames with flipped bits.

use bytes::BytesMut;
use netcom_session::{
    fuzzing,
    wire::{DecodeError, Flaw, Frame, FrameLimits, decode},
};
use proptest::prelude::*;

use crate::samples::{any_frame, body, encoded, every_frame, framed, read};

#[test]
fn every_truncation_of_every_frame_waits_for_more_and_takes_nothing() {
    for frame in every_frame() {
        let whole = encoded(&frame);
        for cut in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..cut]);
            assert_eq!(decode(&mut part, FrameLimits::TLS), Ok(None), "{frame:?} cut at {cut}");
            assert_eq!(part, whole[..cut]);
        }
    }
}

#[test]
fn every_truncation_of_every_body_is_refused_or_another_valid_frame() {
    for frame in every_frame() {
        let body = body(&frame);
        for cut in 0..body.len() {
            let short = framed(encoded(&frame)[0], &body[..cut]);
            fuzzing::frames(&short);
            let refused = matches!(
                read(&short),
                Err(DecodeError::Malformed { flaw: Flaw::Short | Flaw::Missing, .. })
            );
            assert!(refused || may_end_early(&frame, cut), "{frame:?} cut at {cut}");
        }
    }
}

/// Whether the frame's last field fills its body, or was absent in a shorter one.
fn may_end_early(frame: &Frame, cut: usize) -> bool {
    match frame {
        Frame::Data(_)
        | Frame::Datagram(_)
        | Frame::Auth(_)
        | Frame::Hello(_)
        | Frame::Ignored { .. } => true,
        Frame::Drain { .. } => cut == 0,
        Frame::Close(_) => cut >= 2,
        _ => false,
    }
}

#[test]
fn every_flipped_bit_of_every_frame_is_survived() {
    for frame in every_frame() {
        let whole = encoded(&frame);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fuzzing::frames(&flipped);
        }
    }
}

proptest! {
    #[test]
    fn frames_with_bytes_changed_removed_and_added_are_survived(
        frames in prop::collection::vec(any_frame(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..6),
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(encoded).collect();
        for (index, byte, change) in changes {
            let at = index.index(bytes.len());
            match change {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        fuzzing::frames(&bytes);
    }

    #[test]
    fn any_bytes_are_survived_and_reading_them_ends(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        fuzzing::frames(&bytes);
        fuzzing::hello(&bytes);
    }

    #[test]
    fn any_small_bytes_are_survived_and_reading_them_ends(
        bytes in prop::collection::vec(0u8..20, 0..80),
    ) {
        fuzzing::frames(&bytes);
        fuzzing::hello(&bytes);
    }
}
