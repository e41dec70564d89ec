//! Read buffers, shared by all links and held by one only while bytes are ready.

use std::{collections::VecDeque, sync::LazyLock, thread};

use bytes::BytesMut;
use parking_lot::Mutex;

/// Takes an empty read buffer of [`BLOCK`] bytes, an old one if all slices of it are dropped: the
/// one given back last, which is the likeliest to be in the processor's caches still.
pub(crate) fn take() -> BytesMut {
    let free = first_free(&mut POOL.blocks.lock());
    free.unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
}

fn first_free(blocks: &mut VecDeque<BytesMut>) -> Option<BytesMut> {
    for _ in 0..blocks.len() {
        let mut block = blocks.pop_back()?;
        if block.try_reclaim(BLOCK) {
            return Some(block);
        }
        blocks.push_front(block);
    }
    None
}

/// Gives a read buffer back, whose slices may still be in use. Beyond the pool's bound one whose
/// slices were in use when last tried, or the one given back longest ago, is forgotten, and freed
/// with its last slice.
pub(crate) fn give_back(mut block: BytesMut) {
    block.clear();
    let mut blocks = POOL.blocks.lock();
    blocks.push_back(block);
    if blocks.len() > POOL.bound {
        blocks.pop_front();
    }
}

/// Whether a slice of a block is so short that keeping it would pin more than eight times its
/// size: then it is copied.
pub(crate) fn pins_too_much(slice: usize) -> bool {
    slice < BLOCK / 8
}

/// The size of a read buffer: seven full records, so that a full frame pins less than eight times
/// its size, and below the allocator's threshold for mapping pages anew.
pub(crate) const BLOCK: usize = 112 * 1024;

struct Pool {
    blocks: Mutex<VecDeque<BytesMut>>,
    bound: usize,
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    Pool { blocks: Mutex::new(VecDeque::new()), bound: (2 * cores).max(8) }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_when_its_last_slice_is_dropped() {
        let mut block = take();
        block.extend_from_slice(b"pinned");
        let start = block.as_ptr();
        let slice = block.split_to(6).freeze();
        let mut anchor = block;
        assert!(!anchor.try_reclaim(BLOCK), "the slice pins it");
        drop(slice);
        assert!(anchor.try_reclaim(BLOCK));
        anchor.extend_from_slice(b"again");
        assert_eq!(anchor.as_ptr(), start, "no new allocation");
        give_back(anchor);
    }

    #[test]
    fn a_block_that_is_in_use_goes_behind_the_others() {
        let mut blocks = VecDeque::from([BytesMut::with_capacity(BLOCK)]);
        let mut pinned = BytesMut::with_capacity(BLOCK);
        pinned.extend_from_slice(b"pinned");
        let _slice = pinned.split_to(6).freeze();
        blocks.push_back(pinned);
        let free = blocks[0].as_ptr();
        assert_eq!(first_free(&mut blocks).expect("one is free").as_ptr(), free);
        assert!(first_free(&mut blocks).is_none());
        assert_eq!(blocks.len(), 1, "and is tried again");
    }

    #[test]
    fn the_pool_stays_bounded() {
        for _ in 0..100 {
            give_back(BytesMut::with_capacity(BLOCK));
        }
        assert!(POOL.blocks.lock().len() <= POOL.bound);
    }
}
