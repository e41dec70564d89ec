//! A stream of bytes each way.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use netcom_session::StreamId;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::{
    ByteReceiver, ByteSender, Delivery, ErrorReceiver, StreamError, StreamErrorMessage, XStream,
};
use crate::session::StreamHandle;

/// A stream of bytes each way, which outlives the links that carry it.
///
/// It is an [`AsyncRead`] and [`AsyncWrite`]; [`read_chunk`](Self::read_chunk) and
/// [`write_bytes`](Self::write_bytes) move owned bytes without a copy. Each direction ends by
/// itself: [`finish`](Self::finish) ends this side's, the other goes on. A stream that is dropped
/// before it was finished is reset, so that the peer never takes a part for the whole.
#[derive(Debug)]
pub struct ByteStream {
    pub(super) sender: ByteSender,
    pub(super) receiver: ByteReceiver,
    pub(super) errors: ErrorReceiver,
}

impl ByteStream {
    pub(crate) fn new(handle: StreamHandle) -> Self {
        Self {
            sender: ByteSender::new(handle.clone()),
            receiver: ByteReceiver::new(handle.clone()),
            errors: ErrorReceiver::new(handle),
        }
    }

    /// The next bytes, at most `max` of them, without a copy; `None` at the end of the data. They
    /// come as they lie in memory: over TCP by 16 KiB at most, over QUIC often packet by packet.
    /// Who wants them in one buffer reads by [`AsyncRead`]. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StreamError`] once everything that arrived was read: the data is not whole.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        self.receiver.read_chunk(max).await
    }

    /// Reads to the end of the data, if that comes within `limit` bytes.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`] if it does not, or as [`read_chunk`](Self::read_chunk).
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, StreamError> {
        self.receiver.read_to_end(limit).await
    }

    /// Writes all of `bytes` without copying them. A call that is cancelled has taken all or
    /// nothing.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the data written before.
    pub async fn write_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), StreamError> {
        self.sender.write_bytes(bytes).await
    }

    /// Ends this side's data; reading goes on. Returns once the peer has all of it in its memory.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the data written before.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.sender.finish().await
    }

    /// Gives the stream up in both directions.
    pub fn reset(&mut self, code: u32) {
        self.sender.reset(code);
        self.receiver.stop(code);
    }

    /// The next error the peer sent beside the data; `None` once it can send no more.
    pub async fn next_error(&mut self) -> Option<StreamErrorMessage> {
        self.errors.next().await
    }

    /// How much of what was written is known to have arrived.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.sender.delivery()
    }

    /// The stream's number in its session.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.sender.id()
    }

    /// Splits the stream into halves for two tasks.
    #[must_use]
    pub fn into_split(self) -> (ByteSender, ByteReceiver) {
        (self.sender, self.receiver)
    }

    /// Splits the stream, with the receiving end of its error side channel.
    #[must_use]
    pub fn into_parts(self) -> (ByteSender, ByteReceiver, ErrorReceiver) {
        (self.sender, self.receiver, self.errors)
    }
}

impl From<XStream> for ByteStream {
    fn from(stream: XStream) -> Self {
        let (sender, receiver, _, errors) = stream.into_parts();
        Self { sender, receiver, errors }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.receiver).poll_read(cx, buf)
    }
}

impl AsyncBufRead for ByteStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().receiver).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.receiver).consume(amount);
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.sender).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sender).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.sender).poll_shutdown(cx)
    }
}
