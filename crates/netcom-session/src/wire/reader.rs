//! Takes fields off the front of a frame's body.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use crate::{
    LaneId,
    wire::{Flaw, LaneCounts, MAX_LANES_PER_FRAME, varint},
};

/// What is left of a body. Every call consumes bytes or fails.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Flaw> {
        let (value, rest) = varint::read(self.0).ok_or(Flaw::Short)?;
        self.0 = rest;
        Ok(value)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Flaw> {
        let (&byte, rest) = self.0.split_first().ok_or(Flaw::Short)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Flaw::Short)?;
        self.0 = rest;
        Ok(*array)
    }

    /// Takes `length` bytes, however large the number.
    pub(super) fn bytes(&mut self, length: u64) -> Result<&'a [u8], Flaw> {
        let length = usize::try_from(length).map_err(|_| Flaw::Short)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Flaw::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Takes `n × (lane, frames)` with `n` in front. Allocates for entries that can be there, not
    /// for those that are claimed.
    pub(super) fn lanes(&mut self) -> Result<LaneCounts, Flaw> {
        let count = self.varint()?;
        let count = usize::try_from(count).map_err(|_| Flaw::TooMany)?;
        if count > MAX_LANES_PER_FRAME {
            return Err(Flaw::TooMany);
        }
        let mut lanes = LaneCounts::with_capacity(count.min(self.0.len().div_ceil(2)));
        for _ in 0..count {
            lanes.push((LaneId(self.varint()?), self.varint()?));
        }
        Ok(lanes)
    }

    /// What was not taken.
    #[inline]
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Accepts that everything was taken.
    pub(super) fn finish(self) -> Result<(), Flaw> {
        if self.is_empty() { Ok(()) } else { Err(Flaw::Trailing) }
    }
}
