//! The error side channel of a stream: messages that flow beside the data and after it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use netcom_session::{Flow, ReadState};

use super::{StreamError, StreamErrorMessage, message::Framed};
use crate::session::StreamHandle;

/// Sends errors beside a stream's data, whether that flows, is blocked or has ended.
#[derive(Debug)]
pub struct ErrorSender {
    stream: StreamHandle,
    rest: VecDeque<Bytes>,
    is_finished: bool,
}

/// Receives the errors the peer sends beside a stream's data.
#[derive(Debug)]
pub struct ErrorReceiver {
    stream: StreamHandle,
    chunks: VecDeque<Bytes>,
    buffer: BytesMut,
    is_ended: bool,
}

impl ErrorSender {
    pub(crate) fn new(stream: StreamHandle) -> Self {
        Self { stream, rest: VecDeque::new(), is_finished: false }
    }

    /// Sends one error. The data goes on as before. A cancelled call has sent all or nothing.
    ///
    /// # Errors
    /// [`StreamError`]: the peer reads no errors any more, or the session ended.
    pub async fn send(&mut self, message: &StreamErrorMessage) -> Result<(), StreamError> {
        let mut fresh = VecDeque::from([message.to_framed()]);
        poll_fn(|cx| self.poll_send(&mut fresh, cx)).await
    }

    /// Ends the error flow: the peer's `next` returns `None` after what was sent.
    ///
    /// # Errors
    /// [`StreamError`]: the peer reads no errors any more, or the session ended.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| self.poll_rest(cx)).await?;
        if !std::mem::replace(&mut self.is_finished, true) {
            self.stream.finish(Flow::Error)?;
        }
        Ok(())
    }

    fn poll_send(
        &mut self,
        fresh: &mut VecDeque<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_rest(cx))?;
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.is_finished {
            return Poll::Ready(Err(StreamError::Finished));
        }
        let (taken, poll) = self.stream.poll_write(Flow::Error, fresh, cx);
        if taken > 0 && poll.is_pending() {
            self.rest.append(fresh);
        }
        poll
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_write(Flow::Error, &mut self.rest, cx).1
    }
}

impl ErrorReceiver {
    pub(crate) fn new(stream: StreamHandle) -> Self {
        Self { stream, chunks: VecDeque::new(), buffer: BytesMut::new(), is_ended: false }
    }

    /// The next error the peer sent; `None` once it can send no more. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<StreamErrorMessage> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamErrorMessage>> {
        loop {
            match Framed::take(&mut self.buffer) {
                Framed::Message(message) => return Poll::Ready(Some(message)),
                Framed::Malformed => {
                    self.is_ended = true;
                    self.buffer.clear();
                }
                Framed::Incomplete => {}
            }
            if self.is_ended {
                return Poll::Ready(None);
            }
            let read =
                ready!(self.stream.poll_read(Flow::Error, READ_AT_ONCE, &mut self.chunks, cx));
            for chunk in self.chunks.drain(..) {
                self.buffer.extend_from_slice(&chunk);
            }
            // The data tells how the stream failed, if it did.
            self.is_ended = !matches!(read, Ok(ReadState::Open | ReadState::Blocked));
        }
    }
}

/// Bytes of errors taken from the session at once.
const READ_AT_ONCE: usize = 16 << 10;
