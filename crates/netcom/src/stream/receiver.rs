//! The receiving half of a stream of bytes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use netcom_session::{Code, Flow, ReadState, StreamId};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::{DROPPED, StreamError};
use crate::session::{Kept, StreamHandle};

/// The receiving half of a stream. Dropped before the end, it asks the peer to stop.
#[derive(Debug)]
pub struct ByteReceiver {
    stream: StreamHandle,
    /// Taken from the session and not from here.
    chunks: VecDeque<Bytes>,
    end: Option<Result<(), StreamError>>,
}

impl ByteReceiver {
    pub(crate) fn new(stream: StreamHandle) -> Self {
        Self { stream, chunks: VecDeque::new(), end: None }
    }

    /// The next bytes, at most `max` of them, without a copy; `None` at the end of the data. They
    /// come as they lie in memory: over TCP by 16 KiB at most, over QUIC often packet by packet.
    /// Who wants them in one buffer reads by [`AsyncRead`]. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StreamError`] once everything that arrived was read: the data is not whole.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|cx| self.poll_chunk(max, cx)).await
    }

    /// Reads to the end of the data, if that comes within `limit` bytes.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`] if it does not, or as [`read_chunk`](Self::read_chunk).
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, StreamError> {
        let mut whole = Gather::default();
        while let Some(chunk) = self.read_chunk(READ_AHEAD).await? {
            whole.push(chunk, limit)?;
        }
        Ok(whole.finish())
    }

    /// Like [`read_to_end`](Self::read_to_end), at the expense of the node's memory.
    pub(crate) async fn read_kept(
        &mut self,
        limit: usize,
        kept: &mut Kept,
    ) -> Result<Bytes, StreamError> {
        let mut whole = Gather::default();
        while let Some(chunk) = self.read_chunk(READ_AHEAD).await? {
            self.keep(kept, chunk.len())?;
            whole.push(chunk, limit)?;
        }
        Ok(whole.finish())
    }

    /// Charges bytes that were read; without room for them, reads no more.
    pub(crate) fn keep(&mut self, kept: &mut Kept, bytes: usize) -> Result<(), StreamError> {
        kept.add(bytes).inspect_err(|_| self.stop_with(Code::OVERLOADED))
    }

    /// Reads no more and asks the peer to stop writing.
    pub fn stop(&mut self, code: u32) {
        self.stop_with(Code::application(code));
    }

    /// The stream's number in its session.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    pub(crate) fn stop_with(&mut self, code: Code) {
        if self.end.is_none() {
            self.chunks.clear();
            self.end = Some(Err(StreamError::Stopped));
            self.stream.stop(Flow::Data, code);
        }
    }

    pub(crate) fn poll_chunk(
        &mut self,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        if max == 0 {
            return Poll::Ready(Ok(Some(Bytes::new())));
        }
        ready!(self.poll_fill(max.max(READ_AHEAD), cx))?;
        let Some(front) = self.chunks.front_mut() else { return Poll::Ready(Ok(None)) };
        if front.len() > max {
            return Poll::Ready(Ok(Some(front.split_to(max))));
        }
        Poll::Ready(Ok(self.chunks.pop_front()))
    }

    /// Sees to it that there is a chunk, or the end.
    fn poll_fill(&mut self, max: usize, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if !self.chunks.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = &self.end {
            return Poll::Ready(end.clone());
        }
        match ready!(self.stream.poll_read(Flow::Data, max, &mut self.chunks, cx)) {
            Ok(ReadState::Finished) => self.end = Some(Ok(())),
            Ok(_) => {}
            Err(error) => {
                self.end = Some(Err(error.clone()));
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ByteReceiver {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_fill(buf.remaining().max(READ_AHEAD), cx))?;
        while buf.remaining() > 0
            && let Some(front) = self.chunks.front_mut()
        {
            let length = front.len().min(buf.remaining());
            buf.put_slice(&front.split_to(length));
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for ByteReceiver {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_fill(READ_AHEAD, cx))?;
        Poll::Ready(Ok(this.chunks.front().map_or(&[][..], |front| &front[..])))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        if let Some(front) = self.chunks.front_mut() {
            front.advance(amount.min(front.len()));
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

impl Drop for ByteReceiver {
    fn drop(&mut self) {
        self.stop_with(DROPPED);
    }
}

/// Chunks on their way to one buffer. A single one is not copied; the first of several are held as
/// they are, and what is longer is copied as it comes, so that it does not pin the buffers that it
/// was read into, nor exists twice at its end.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    first: Bytes,
    /// After the first.
    chunks: Vec<Bytes>,
    whole: BytesMut,
    length: usize,
}

impl Gather {
    pub(crate) fn push(&mut self, chunk: Bytes, limit: usize) -> Result<(), StreamError> {
        self.length += chunk.len();
        if self.length > limit {
            return Err(StreamError::TooLarge { length: self.length, limit });
        }
        if self.length == chunk.len() {
            self.first = chunk;
        } else if self.length <= COPY_BEYOND {
            self.chunks.push(chunk);
        } else {
            self.join();
            self.whole.extend_from_slice(&chunk);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Bytes {
        if self.length == self.first.len() {
            return self.first;
        }
        self.whole.reserve(self.length - self.whole.len());
        self.join();
        self.whole.freeze()
    }

    fn join(&mut self) {
        self.whole.extend_from_slice(&std::mem::take(&mut self.first));
        self.chunks.drain(..).for_each(|chunk| self.whole.extend_from_slice(&chunk));
    }
}

/// Bytes that are held as they came.
const COPY_BEYOND: usize = 1 << 20;
/// Bytes taken from the session at once where the caller asks for fewer.
const READ_AHEAD: usize = 64 << 10;
