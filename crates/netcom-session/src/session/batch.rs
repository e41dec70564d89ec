//! What the engine hands to a link: frames in wire order, headers in one arena, payloads shared.

use bytes::{Bytes, BytesMut};

use crate::{
    LaneId,
    wire::{self, Data, Frame},
};

/// Frames for one link, filled by [`Session::poll_batch`](crate::Session::poll_batch). Reused
/// between calls, so that its allocations are made once.
#[derive(Debug, Default)]
pub struct Batch {
    heads: BytesMut,
    payloads: Vec<Bytes>,
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
    /// What follows the head, one after the other: the caller's own bytes of DATA and DATAGRAM,
    /// else nothing.
    pub payload: &'a [Bytes],
}

impl OutFrame<'_> {
    /// Bytes on the wire before encryption.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.head.len() + self.payload.iter().map(Bytes::len).sum::<usize>()
    }
}

#[derive(Debug)]
struct Entry {
    lane: LaneId,
    head_end: usize,
    payload_end: usize,
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
        self.payloads.clear();
        self.frames.clear();
        self.payload_bytes = 0;
    }

    /// Appends a frame.
    pub(crate) fn push(&mut self, lane: LaneId, frame: &Frame) {
        wire::encode_head(frame, &mut self.heads);
        match frame {
            Frame::Data(data) => self.payloads.extend_from_slice(data.bytes.parts()),
            Frame::Datagram(datagram) => self.payloads.push(datagram.bytes.clone()),
            _ => {}
        }
        self.enter(lane);
    }

    /// Appends a DATA frame whose payload `add` puts together; `data` itself has none.
    pub(crate) fn push_data(
        &mut self,
        lane: LaneId,
        data: &Data,
        length: usize,
        add: impl FnOnce(&mut Vec<Bytes>),
    ) {
        debug_assert!(data.bytes.is_empty());
        wire::encode_data_head(data, length, &mut self.heads);
        let start = self.payloads.len();
        add(&mut self.payloads);
        debug_assert_eq!(self.payloads[start..].iter().map(Bytes::len).sum::<usize>(), length);
        self.enter(lane);
    }

    /// The frames in the order in which they go out.
    pub fn frames(&self) -> impl Iterator<Item = OutFrame<'_>> {
        let (mut head, mut payload) = (0, 0);
        self.frames.iter().map(move |entry| {
            let frame = OutFrame {
                lane: entry.lane,
                head: &self.heads[head..entry.head_end],
                payload: &self.payloads[payload..entry.payload_end],
            };
            (head, payload) = (entry.head_end, entry.payload_end);
            frame
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

    /// Counts what was appended to heads and payloads as a frame.
    fn enter(&mut self, lane: LaneId) {
        let before = self.frames.last().map_or(0, |entry| entry.payload_end);
        self.payload_bytes += self.payloads[before..].iter().map(Bytes::len).sum::<usize>();
        let (head_end, payload_end) = (self.heads.len(), self.payloads.len());
        self.frames.push(Entry { lane, head_end, payload_end });
    }
}
