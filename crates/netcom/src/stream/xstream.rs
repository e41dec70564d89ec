//! A stream with an error side channel.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use netcom_session::StreamId;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::{
    ByteReceiver, ByteSender, Delivery, ErrorReceiver, ErrorSender, StreamError, StreamErrorMessage,
};
use crate::session::StreamHandle;

/// A stream of bytes each way with errors beside it: what goes wrong is told at once, while data
/// is blocked and after it ended, and the data goes on.
#[derive(Debug)]
pub struct XStream {
    sender: ByteSender,
    receiver: ByteReceiver,
    error_sender: ErrorSender,
    error_receiver: ErrorReceiver,
}

impl XStream {
    pub(crate) fn new(handle: StreamHandle) -> Self {
        Self {
            sender: ByteSender::new(handle.clone()),
            receiver: ByteReceiver::new(handle.clone()),
            error_sender: ErrorSender::new(handle.clone()),
            error_receiver: ErrorReceiver::new(handle),
        }
    }

    /// The next bytes, at most `max` of them, without a copy; `None` at the end of the data.
    ///
    /// # Errors
    /// [`StreamError`] once everything that arrived was read: the data is not whole.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        self.receiver.read_chunk(max).await
    }

    /// Writes all of `bytes` without copying them. A call that is cancelled has taken all or
    /// nothing.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the data written before.
    pub async fn write_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), StreamError> {
        self.sender.write_bytes(bytes).await
    }

    /// Ends this side's data; reading, and errors in both directions, go on. Returns once the peer
    /// has all of the data in its memory.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the data written before.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| {
            ready!(self.sender.poll_end(false, cx))?;
            self.sender.poll_acknowledged(cx)
        })
        .await
    }

    /// Sends an error to the peer beside the data.
    ///
    /// # Errors
    /// [`StreamError`]: the peer reads no errors any more, or the session ended.
    pub async fn send_error(&mut self, error: &StreamErrorMessage) -> Result<(), StreamError> {
        self.error_sender.send(error).await
    }

    /// The next error the peer sent; `None` once it can send no more.
    pub async fn next_error(&mut self) -> Option<StreamErrorMessage> {
        self.error_receiver.next().await
    }

    /// Gives the stream up in both directions.
    pub fn reset(&mut self, code: u32) {
        self.sender.reset(code);
        self.receiver.stop(code);
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

    /// Splits the stream into its four flows.
    #[must_use]
    pub fn into_parts(self) -> (ByteSender, ByteReceiver, ErrorSender, ErrorReceiver) {
        (self.sender, self.receiver, self.error_sender, self.error_receiver)
    }
}

impl AsyncRead for XStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.receiver).poll_read(cx, buf)
    }
}

impl AsyncBufRead for XStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().receiver).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.receiver).consume(amount);
    }
}

impl AsyncWrite for XStream {
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
        self.sender.poll_end(false, cx).map_err(io::Error::from)
    }
}
