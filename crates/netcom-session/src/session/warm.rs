//! Streams that a batch is about to use, brought into the processor's caches together.

use super::core::Core;
use crate::{StreamId, wire::Frame};

impl Core {
    /// Touches streams before they are used one after another. With many streams each is far from
    /// the processor: used in turn they are waited for in turn, touched in a loop that needs
    /// nothing from them the waits overlap.
    pub(crate) fn warm(&self, ids: impl Iterator<Item = StreamId>) {
        if self.streams.len() < MANY_STREAMS {
            return;
        }
        let touched = ids.filter_map(|id| self.streams.get(&id)).map(|stream| stream.touch());
        std::hint::black_box(touched.fold(0, |sum, value| sum ^ value));
    }
}

/// The stream a frame is for, where frames of many streams follow each other.
pub(crate) fn stream_of(frame: &Frame) -> Option<StreamId> {
    match frame {
        Frame::Data(data) => Some(data.stream),
        Frame::Credit(credit) => Some(credit.stream),
        _ => None,
    }
}

/// Fewer streams stay in the caches by themselves.
const MANY_STREAMS: usize = 64;
