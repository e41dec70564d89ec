//! Integers of variable length, as QUIC has them ([RFC 9000 section 16]).
//!
//! [RFC 9000 section 16]: https://www.rfc-editor.org/rfc/rfc9000#section-16
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

/// The largest number a frame can carry: 2^62 − 1.
pub const MAX_VARINT: u64 = (1 << 62) - 1;

/// How many bytes the shortest encoding of `value` takes: 1, 2, 4 or 8.
pub(super) const fn len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Reads a number off the front and returns what follows it; `None` where bytes are missing.
/// Encodings longer than necessary are fine, as in QUIC.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first >> 6 {
        0 => Some((u64::from(first), rest)),
        1 => {
            let (number, rest) = bytes.split_first_chunk()?;
            Some((u64::from(u16::from_be_bytes(*number)) & 0x3fff, rest))
        }
        2 => {
            let (number, rest) = bytes.split_first_chunk()?;
            Some((u64::from(u32::from_be_bytes(*number)) & 0x3fff_ffff, rest))
        }
        _ => {
            let (number, rest) = bytes.split_first_chunk()?;
            Some((u64::from_be_bytes(*number) & MAX_VARINT, rest))
        }
    }
}

/// Writes the shortest encoding of `value` to the front of the returned array and tells its
/// length. What does not fit is written as [`MAX_VARINT`].
#[inline]
pub(super) fn write(value: u64) -> ([u8; 8], usize) {
    let value = value.min(MAX_VARINT);
    let length = len(value);
    // The number moves to the front of the array, and the length's tag (0, 1, 2, 3 for 1, 2, 4,
    // 8 bytes) into its two highest bits.
    let shifted = match length {
        1 => value << 56,
        2 => value << 48 | 1 << 62,
        4 => value << 32 | 2 << 62,
        _ => value | 3 << 62,
    };
    (shifted.to_be_bytes(), length)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_9000_appendix_a_hold() {
        let examples: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in examples {
            assert_eq!(read(bytes), Some((value, &[][..])));
        }
    }

    #[test]
    fn numbers_at_each_boundary_survive_the_round_trip_in_the_fewest_bytes() {
        let boundaries = [0, 1, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, MAX_VARINT];
        let lengths = [1, 1, 1, 2, 2, 4, 4, 8, 8];
        for (value, expected) in boundaries.into_iter().zip(lengths) {
            let (bytes, length) = write(value);
            assert_eq!((length, len(value)), (expected, expected), "{value}");
            assert_eq!(read(&bytes[..length]), Some((value, &[][..])));
        }
    }

    #[test]
    fn a_number_without_all_its_bytes_is_none() {
        for value in [0, 64, 16_384, 1 << 30] {
            let (bytes, length) = write(value);
            for cut in 0..length {
                assert_eq!(read(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn numbers_beyond_the_largest_are_written_as_the_largest() {
        for value in [MAX_VARINT + 1, u64::MAX] {
            assert_eq!(write(value), write(MAX_VARINT));
        }
    }
}
