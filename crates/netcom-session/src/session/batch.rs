//! What the engine hands to a link: frames in wire order, headers in one arena, payloads shared.

use bytes::{Bytes, BytesMut};

use crate::{
    LaneId,
    wire::{self, Frame},
};

/// Frames for one link, filled by [`Session::poll_batch`](crate::Session::poll_batch). Reused
/// between calls, so that its allocations are made once.
#[derive(Debug, Default)]
pub struct Batch {
    heads: BytesMut,
    frames: Vec<Entry>,
    payload_bytes: usize,
}

/// One frame on its way out.
#[derive(Clone, Copy, Debug)]
pub struct OutFrame<'a> {
    /// The lane it travels on.
    pub lane: LaneId,
    /// Type, length and everything before the payload.
    pub head: &'a [u8],
    /// What follows the head: the caller's own bytes of DATA and DATAGRAM, else nothing.
    pub payload: &'a Bytes,
}

#[derive(Debug)]
struct Entry {
    lane: LaneId,
    head_end: usize,
    payload: Bytes,
}

impl Batch {
    /// Makes an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the frames, keeps the allocations.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.frames.clear();
        self.payload_bytes = 0;
    }

    /// Appends a frame.
    pub(crate) fn push(&mut self, lane: LaneId, frame: &Frame) {
        wire::encode_head(frame, &mut self.heads);
        let payload = match frame {
            Frame::Data(data) => data.bytes.clone(),
            Frame::Datagram(datagram) => datagram.bytes.clone(),
            _ => Bytes::new(),
        };
        self.payload_bytes += payload.len();
        self.frames.push(Entry { lane, head_end: self.heads.len(), payload });
    }

    /// The frames in the order in which they go out.
    pub fn frames(&self) -> impl Iterator<Item = OutFrame<'_>> {
        let mut start = 0;
        self.frames.iter().map(move |entry| {
            let head = &self.heads[start..entry.head_end];
            start = entry.head_end;
            OutFrame { lane: entry.lane, head, payload: &entry.payload }
        })
    }

    /// How many frames wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes on the wire before encryption.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.heads.len() + self.payload_bytes
    }
}
