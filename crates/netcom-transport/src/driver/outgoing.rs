//! Sealed records on their way to the socket.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf as _, BytesMut};

use super::blocks;
use crate::record::sealed_len;

/// Records the socket has not taken. Many share a block of the pool, a few short ones have a
/// buffer of their own length.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    buffers: VecDeque<Buffer>,
}

#[derive(Debug)]
struct Buffer {
    bytes: BytesMut,
    is_block: bool,
}

impl Outgoing {
    /// Whether the socket has taken everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// A buffer with room for one record of `data` bytes at its end, where about `total` bytes
    /// follow each other.
    pub(crate) fn room(&mut self, data: usize, total: usize) -> &mut BytesMut {
        let length = sealed_len(data);
        let room = |buffer: &Buffer| buffer.bytes.capacity() - buffer.bytes.len();
        if self.buffers.back().is_none_or(|last| room(last) < length) {
            let is_block = total > SHORT;
            let bytes = if is_block { blocks::take() } else { BytesMut::with_capacity(length) };
            self.buffers.push_back(Buffer { bytes, is_block });
        }
        let last = self.buffers.len() - 1;
        &mut self.buffers[last].bytes
    }

    /// What to hand to the socket next, and how many of the slices are used.
    pub(crate) fn slices(&self) -> ([IoSlice<'_>; MAX_SLICES], usize) {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let used = self.buffers.len().min(MAX_SLICES);
        for (slice, buffer) in slices.iter_mut().zip(&self.buffers) {
            *slice = IoSlice::new(&buffer.bytes);
        }
        (slices, used)
    }

    /// Forgets what the socket took.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.buffers.front_mut() {
            let taken = count.min(first.bytes.len());
            first.bytes.advance(taken);
            count -= taken;
            if !first.bytes.is_empty() {
                break;
            }
            self.buffers.pop_front();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.is_block {
            blocks::give_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// Batches up to this length get buffers of their own length.
const SHORT: usize = 8 << 10;
/// Buffers handed to the kernel in one call: more than a batch of the largest size fills.
const MAX_SLICES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_leave_in_order_however_much_the_socket_takes() {
        let mut outgoing = Outgoing::default();
        let mut expected = Vec::new();
        for (index, length) in [100, 16_000, 50, 16_384, 16_384, 16_384, 16_384, 16_384, 16_384]
            .into_iter()
            .enumerate()
        {
            let total = if index % 3 == 0 { length } else { 200_000 };
            let record = vec![index as u8; sealed_len(length)];
            outgoing.room(length, total).extend_from_slice(&record);
            expected.extend(record);
        }
        let mut sent = Vec::new();
        for take in (1..).map(|round| round * 997) {
            let (slices, used) = outgoing.slices();
            let offered = slices[..used].concat_all();
            let taken = take.min(offered.len());
            sent.extend_from_slice(&offered[..taken]);
            outgoing.advance(taken);
            if outgoing.is_empty() {
                break;
            }
        }
        assert_eq!(sent, expected);
    }

    trait ConcatAll {
        fn concat_all(&self) -> Vec<u8>;
    }

    impl ConcatAll for [IoSlice<'_>] {
        fn concat_all(&self) -> Vec<u8> {
            self.iter().flat_map(|slice| slice.iter().copied()).collect()
        }
    }
}
