//! A stream of whole messages each way: a length, then the message.

use std::{collections::VecDeque, future::poll_fn};

use bytes::{Bytes, BytesMut};
use netcom_session::StreamId;

use super::{
    ByteReceiver, ByteSender, StreamError,
    message::{Length, read_length, write_length},
    receiver::Gather,
};
use crate::session::{Kept, StreamHandle};

/// The longest message of a stream unless its ends agree on another: 16 MiB.
pub const MAX_MESSAGE: usize = 16 << 20;

/// A stream of whole messages each way, in order.
#[derive(Debug)]
pub struct MessageStream {
    sender: MessageSender,
    receiver: MessageReceiver,
}

/// The sending half of a [`MessageStream`].
#[derive(Debug)]
pub struct MessageSender {
    sender: ByteSender,
    limit: usize,
}

/// The receiving half of a [`MessageStream`].
#[derive(Debug)]
pub struct MessageReceiver {
    receiver: ByteReceiver,
    limit: usize,
    head: BytesMut,
    /// What is missing of the message under way, and what came of it.
    body: Option<(usize, Gather)>,
    kept: Kept,
}

impl MessageStream {
    pub(crate) fn new(handle: StreamHandle) -> Self {
        let sender = ByteSender::new(handle.clone());
        let kept = Kept::of(&handle);
        let receiver = ByteReceiver::new(handle);
        Self {
            sender: MessageSender { sender, limit: MAX_MESSAGE },
            receiver: MessageReceiver {
                receiver,
                limit: MAX_MESSAGE,
                head: BytesMut::new(),
                body: None,
                kept,
            },
        }
    }

    /// Sets the longest message in both directions, as both ends have to. Default: 16 MiB.
    #[must_use]
    pub fn max_message(mut self, limit: usize) -> Self {
        self.sender.limit = limit;
        self.receiver.limit = limit;
        self
    }

    /// Sends one message without copying it, unless it is short. A call that is cancelled has
    /// taken all of it or nothing.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`] leaves the stream as it was.
    pub async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), StreamError> {
        self.sender.send(message).await
    }

    /// The next message; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StreamError`]: no further message will come, and not because the peer finished.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.receiver.recv().await
    }

    /// Ends this side's messages. Returns once the peer has all of them in its memory.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the messages sent before.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.sender.finish().await
    }

    /// Gives the stream up in both directions.
    pub fn reset(&mut self, code: u32) {
        self.sender.reset(code);
        self.receiver.stop(code);
    }

    /// The stream's number in its session.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.sender.sender.id()
    }

    /// Splits the stream into halves for two tasks.
    #[must_use]
    pub fn into_split(self) -> (MessageSender, MessageReceiver) {
        (self.sender, self.receiver)
    }
}

impl MessageSender {
    /// Sends one message without copying it, unless it is short. A call that is cancelled has
    /// taken all of it or nothing.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`] leaves the stream as it was.
    pub async fn send(&mut self, message: impl Into<Bytes>) -> Result<(), StreamError> {
        let message = message.into();
        if message.len() > self.limit {
            return Err(StreamError::TooLarge { length: message.len(), limit: self.limit });
        }
        let is_short = message.len() < COPY_BELOW;
        let mut head = BytesMut::with_capacity(if is_short { message.len() + 5 } else { 5 });
        write_length(message.len(), &mut head);
        let mut pieces = VecDeque::new();
        if is_short {
            head.extend_from_slice(&message);
            pieces.push_back(head.freeze());
        } else {
            pieces.extend([head.freeze(), message]);
        }
        self.sender.write_all_of(pieces).await
    }

    /// Ends the messages. Returns once the peer has all of them in its memory.
    ///
    /// # Errors
    /// [`StreamError`], with what is known of the messages sent before.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.sender.finish().await
    }

    /// Gives the messages up: the peer sees `code` after what it has received so far.
    pub fn reset(&mut self, code: u32) {
        self.sender.reset(code);
    }
}

impl MessageReceiver {
    /// Tells the peer that nobody reads any more; it sees `code`.
    pub fn stop(&mut self, code: u32) {
        self.receiver.stop(code);
    }

    /// The next message; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StreamError`]: no further message will come, and not because the peer finished.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, StreamError> {
        let length = match &self.body {
            Some((missing, _)) => *missing,
            None => match self.read_head().await? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let (missing, gather) = self.body.get_or_insert_with(|| (length, Gather::default()));
        while *missing > 0 {
            let Some(chunk) = self.receiver.read_chunk(*missing).await? else {
                return Err(StreamError::Malformed("the stream ended inside a message"));
            };
            self.receiver.keep(&mut self.kept, chunk.len())?;
            *missing -= chunk.len();
            gather.push(chunk, usize::MAX)?;
        }
        self.kept.clear();
        Ok(self.body.take().map(|(_, gather)| gather.finish()))
    }

    async fn read_head(&mut self) -> Result<Option<usize>, StreamError> {
        loop {
            match read_length(&self.head) {
                Length::Known { length, .. } if length <= self.limit => {
                    self.head.clear();
                    return Ok(Some(length));
                }
                Length::Incomplete => {}
                Length::Known { .. } => {
                    return Err(StreamError::Malformed("a message is longer than the limit"));
                }
                Length::Malformed => return Err(StreamError::Malformed("a length is too long")),
            }
            let receiver = &mut self.receiver;
            match poll_fn(|cx| receiver.poll_chunk(1, cx)).await? {
                Some(byte) => self.head.extend_from_slice(&byte),
                None if self.head.is_empty() => return Ok(None),
                None => return Err(StreamError::Malformed("the stream ended inside a message")),
            }
        }
    }
}

/// Messages below this length are copied behind their own length, into one buffer.
const COPY_BELOW: usize = 4 << 10;
