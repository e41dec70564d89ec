//! The lanes a QUIC link writes on.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use netcom_session::{Batch, LinkLoss};
use quinn::{Connection, SendStream, StoppedError, VarInt, WriteError};

use super::quic::loss;

/// Queues frames by lane, so that a lane that is blocked holds up no other.
#[derive(Debug)]
pub(super) struct Lanes {
    connection: Connection,
    lanes: Vec<Lane>,
    queued: usize,
}

/// One lane: opened with its first frame, never ended by being dropped.
#[derive(Debug, Default)]
struct Lane {
    stream: Option<SendStream>,
    queue: VecDeque<Bytes>,
    /// Heads and short payloads on their way to becoming one chunk.
    joined: BytesMut,
    is_finished: bool,
}

impl Lanes {
    /// Starts with lane 0, which exists.
    pub(super) fn new(connection: Connection, first: SendStream) -> Self {
        let mut lane = Lane::default();
        lane.stream = Some(first);
        Self { connection, lanes: vec![lane], queued: 0 }
    }

    /// Bytes no lane has taken.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether a lane takes no more now.
    pub(super) fn is_blocked(&self) -> bool {
        self.queued > 0
    }

    /// Queues a batch.
    pub(super) fn queue(&mut self, batch: &Batch) -> Result<(), LinkLoss> {
        for frame in batch.frames() {
            let number = usize::try_from(frame.lane.0).unwrap_or(usize::MAX);
            if number > MAX_LANES {
                tracing::error!(lane = frame.lane.0, "The session named a lane no link has");
                return Err(LinkLoss::Local);
            }
            if number >= self.lanes.len() {
                self.lanes.resize_with(number + 1, Lane::default);
            }
            self.lanes[number].push(frame.head, frame.payload);
        }
        self.queued += batch.len_bytes();
        for lane in &mut self.lanes {
            lane.join();
        }
        Ok(())
    }

    /// Gives the lanes what they take. Ready when nothing is left.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkLoss>> {
        let mut may_open = true;
        for lane in &mut self.lanes {
            // Lanes are numbered by the order of opening, so one that must wait holds up the
            // unopened ones behind it.
            if lane.stream.is_none() && may_open {
                match pin!(self.connection.open_uni()).poll(cx) {
                    Poll::Ready(Ok(stream)) => lane.stream = Some(stream),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(loss(&error))),
                    Poll::Pending => may_open = false,
                }
            }
            self.queued -= lane.flush(cx)?;
        }
        if self.queued == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Ends every lane after its last byte. The futures end when the peer has it all.
    pub(super) fn finish(
        &mut self,
    ) -> Vec<impl Future<Output = Result<Option<VarInt>, StoppedError>> + use<>> {
        self.lanes.iter_mut().filter_map(Lane::finish).collect()
    }
}

impl Lane {
    fn push(&mut self, head: &[u8], payload: &[Bytes]) {
        self.joined.extend_from_slice(head);
        for part in payload {
            if part.len() < JOINED_BELOW {
                self.joined.extend_from_slice(part);
            } else {
                self.join();
                self.queue.push_back(part.clone());
            }
        }
    }

    fn join(&mut self) {
        if !self.joined.is_empty() {
            self.queue.push_back(self.joined.split().freeze());
        }
    }

    /// Returns how many bytes the lane took.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<usize, LinkLoss> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        let mut count = 0;
        while !self.queue.is_empty() {
            let written = pin!(stream.write_chunks(self.queue.make_contiguous())).poll(cx);
            match written {
                Poll::Ready(Ok(written)) => {
                    self.queue.drain(..written.chunks);
                    count += written.bytes;
                }
                Poll::Ready(Err(WriteError::ConnectionLost(error))) => return Err(loss(&error)),
                // The peer drains every lane, so nobody stops one.
                Poll::Ready(Err(_)) => return Err(LinkLoss::Reset),
                Poll::Pending => break,
            }
        }
        Ok(count)
    }

    fn finish(
        &mut self,
    ) -> Option<impl Future<Output = Result<Option<VarInt>, StoppedError>> + use<>> {
        let stream = self.stream.as_mut()?;
        stream.finish().ok()?;
        self.is_finished = true;
        Some(stream.stopped())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // quinn would end the stream as if everything had been said.
        if let Some(stream) = &mut self.stream
            && !self.is_finished
        {
            let _ = stream.reset(ABANDONED);
        }
    }
}

/// Unidirectional lanes of one direction.
const MAX_LANES: usize = 64;
/// Payloads shorter than this travel in one chunk with their neighbours: quinn searches the
/// chunks of a stream one by one for each packet.
const JOINED_BELOW: usize = 4096;
/// Tells the peer's QUIC that a lane was given up.
const ABANDONED: VarInt = VarInt::from_u32(1);
