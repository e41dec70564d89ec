//! The sending half of a stream of bytes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use netcom_session::{Code, Flow, StreamId};
use tokio::io::AsyncWrite;

use super::{DROPPED, Delivery, StreamError};
use crate::session::StreamHandle;

/// The sending half of a stream. Dropped before [`finish`](Self::finish) or `shutdown`, it resets
/// the stream: the peer never takes what arrived for the whole.
#[derive(Debug)]
pub struct ByteSender {
    stream: StreamHandle,
    /// What the flow had no room for yet of what was taken.
    rest: VecDeque<Bytes>,
    state: State,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// The end waits for nothing but its acknowledgement.
    Finished,
    Failed(StreamError),
}

impl ByteSender {
    pub(crate) fn new(stream: StreamHandle) -> Self {
        Self { stream, rest: VecDeque::new(), state: State::Open }
    }

    /// For a stream whose first bytes were written when it was opened; `rest` is what had no room,
    /// and if there is none and `finished` is set, the end was queued too.
    pub(crate) fn begun(stream: StreamHandle, rest: Bytes, finished: bool) -> Self {
        let mut sender = Self::new(stream);
        if !rest.is_empty() {
            sender.rest.push_back(rest);
        } else if finished {
            sender.state = State::Finished;
        }
        sender
    }

    /// Writes all of `bytes` without copying them. Returns once the session has taken them.
    ///
    /// A call that is cancelled has taken all or nothing: what it took is sent before anything
    /// that is written later.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the data written before.
    pub async fn write_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), StreamError> {
        self.write_all_of([bytes.into()].into()).await
    }

    pub(crate) async fn write_all_of(
        &mut self,
        mut fresh: VecDeque<Bytes>,
    ) -> Result<(), StreamError> {
        fresh.retain(|bytes| !bytes.is_empty());
        poll_fn(|cx| self.poll_write_all(&mut fresh, cx)).await
    }

    /// Ends the data. Returns once the peer has all of it in its memory; what it makes of it, only
    /// an answer tells. May be called again after it was cancelled.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the data written before.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        poll_fn(|cx| {
            ready!(self.poll_end(true, cx))?;
            self.poll_acknowledged(cx)
        })
        .await
    }

    /// Gives the data up: the peer sees `code` after what it has received so far.
    pub fn reset(&mut self, code: u32) {
        self.reset_with(Code::application(code));
    }

    /// How much of what was written is known to have arrived.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.stream.delivery(Flow::Data)
    }

    /// Bytes the peer has in its memory without a gap, of those written.
    #[must_use]
    pub fn acknowledged_bytes(&self) -> Option<u64> {
        self.stream.progress(Flow::Data).map(|progress| progress.acked)
    }

    /// Returns once the peer wants no more of the data, with its code.
    pub async fn stopped(&mut self) -> Code {
        poll_fn(|cx| self.stream.poll_stopped(cx)).await
    }

    /// The stream's number in its session.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.stream.id()
    }

    pub(crate) fn reset_with(&mut self, code: Code) {
        if self.state == State::Open {
            self.rest.clear();
            // Nobody acknowledges the end of what was given up.
            self.state = State::Failed(StreamError::Finished);
            self.stream.reset(Flow::Data, code);
        }
    }

    /// Queues the end after all that was written; `with_errors` ends the error flow too.
    pub(crate) fn poll_end(
        &mut self,
        with_errors: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_rest(cx))?;
        if self.state == State::Open {
            let ended =
                if with_errors { self.stream.finish_all() } else { self.stream.finish(Flow::Data) };
            self.note(ended)?;
            self.state = State::Finished;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_acknowledged(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        self.stream.poll_finished(Flow::Data, cx)
    }

    fn poll_write_all(
        &mut self,
        fresh: &mut VecDeque<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_rest(cx))?;
        if fresh.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.check_open()?;
        let (taken, poll) = self.stream.poll_write(Flow::Data, fresh, cx);
        if taken > 0 && poll.is_pending() {
            self.rest.append(fresh);
        }
        self.note(ready!(poll)).into()
    }

    /// Moves what was taken before to the flow.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if let State::Failed(error) = &self.state {
            return Poll::Ready(Err(error.clone()));
        }
        if self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let (_, poll) = self.stream.poll_write(Flow::Data, &mut self.rest, cx);
        self.note(ready!(poll)).into()
    }

    fn check_open(&self) -> Result<(), StreamError> {
        match &self.state {
            State::Open => Ok(()),
            State::Finished => Err(StreamError::Finished),
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn note(&mut self, result: Result<(), StreamError>) -> Result<(), StreamError> {
        if let Err(error) = &result {
            self.rest.clear();
            self.state = State::Failed(error.clone());
        }
        result
    }
}

impl AsyncWrite for ByteSender {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        self.check_open()?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let copy = Bytes::copy_from_slice(&buf[..buf.len().min(MAX_COPY)]);
        let mut queue = VecDeque::from([copy]);
        let (taken, poll) = self.stream.poll_write(Flow::Data, &mut queue, cx);
        if taken > 0 {
            return Poll::Ready(Ok(taken));
        }
        let written = ready!(poll);
        self.note(written)?;
        Poll::Ready(Ok(0))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_rest(cx).map_err(io::Error::from)
    }

    /// Queues the end; [`ByteSender::finish`] waits for its acknowledgement too.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(true, cx).map_err(io::Error::from)
    }
}

impl Drop for ByteSender {
    fn drop(&mut self) {
        self.reset_with(DROPPED);
    }
}

/// Bytes one write of a slice copies at most.
const MAX_COPY: usize = 64 << 10;
