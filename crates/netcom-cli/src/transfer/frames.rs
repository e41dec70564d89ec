//! Frames over any pair of byte pipes.

use std::future::Future;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    TransferError,
    message::{DATA, HEAD_BYTES, Message, check_head, put_head},
};

/// Bytes that come. Taking is cancel-safe.
pub(crate) trait Source: Send {
    /// The next bytes; `None` at the end.
    fn take(&mut self) -> impl Future<Output = Result<Option<Bytes>, TransferError>> + Send;
}

/// Bytes that go.
pub(crate) trait Sink: Send {
    /// Gives all the bytes away, waiting where there is no room.
    fn give(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), TransferError>> + Send;
    /// Ends the direction.
    fn finish(&mut self) -> impl Future<Output = Result<(), TransferError>> + Send;
}

/// What a frame holds, or a piece of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    /// Some bytes of a file.
    Data(Bytes),
    Message(Message),
}

/// Reads frames. Data is passed on without a copy.
pub(crate) struct FrameReader<S> {
    source: S,
    /// What came and was not used.
    chunk: Bytes,
    head: BytesMut,
    body: Option<Body>,
}

struct Body {
    kind: u8,
    left: usize,
    /// Of anything but data. Grows with what came, never by what was claimed.
    bytes: BytesMut,
}

impl<S: Source> FrameReader<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, chunk: Bytes::new(), head: BytesMut::new(), body: None }
    }

    /// The next frame; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, TransferError> {
        loop {
            if let Some(frame) = self.advance()? {
                return Ok(Some(frame));
            }
            match self.source.take().await? {
                Some(chunk) => self.chunk = chunk,
                None if self.head.is_empty() && self.body.is_none() => return Ok(None),
                None => return Err(TransferError::protocol("the stream ended inside a frame")),
            }
        }
    }

    /// A frame from what came; uses up the chunk if there is none.
    fn advance(&mut self) -> Result<Option<Frame>, TransferError> {
        while !self.chunk.is_empty() {
            let Some(body) = &mut self.body else {
                self.take_head()?;
                if let Some(message) = self.take_message()? {
                    return Ok(Some(message));
                }
                continue;
            };
            let piece = self.chunk.split_to(body.left.min(self.chunk.len()));
            body.left -= piece.len();
            if body.kind == DATA {
                if body.left == 0 {
                    self.body = None;
                }
                return Ok(Some(Frame::Data(piece)));
            }
            body.bytes.extend_from_slice(&piece);
            if let Some(message) = self.take_message()? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn take_head(&mut self) -> Result<(), TransferError> {
        let missing = HEAD_BYTES - self.head.len();
        let piece = self.chunk.split_to(missing.min(self.chunk.len()));
        self.head.extend_from_slice(&piece);
        if let Ok(head) = <[u8; HEAD_BYTES]>::try_from(&self.head[..]) {
            self.head.advance(HEAD_BYTES);
            let (kind, left) = check_head(head)?;
            // An empty frame with data changes nothing and is nothing.
            if kind != DATA || left > 0 {
                self.body = Some(Body { kind, left, bytes: BytesMut::new() });
            }
        }
        Ok(())
    }

    /// A message that is complete.
    fn take_message(&mut self) -> Result<Option<Frame>, TransferError> {
        match self.body.take_if(|body| body.left == 0) {
            Some(body) => {
                Ok(Some(Frame::Message(Message::decode(body.kind, body.bytes.freeze())?)))
            }
            None => Ok(None),
        }
    }
}

/// Writes frames; small ones are gathered.
pub(crate) struct FrameWriter<S> {
    sink: S,
    gathered: BytesMut,
}

impl<S: Sink> FrameWriter<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self { sink, gathered: BytesMut::new() }
    }

    /// Adds a message to what is gathered.
    pub(crate) fn add(&mut self, message: &Message) {
        message.encode(&mut self.gathered);
    }

    /// Sends a message and what was gathered.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<(), TransferError> {
        self.add(message);
        self.flush().await
    }

    /// Sends what was gathered, if it is worth it.
    pub(crate) async fn flush_if_large(&mut self) -> Result<(), TransferError> {
        if self.gathered.len() >= GATHER { self.flush().await } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), TransferError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.sink.give(self.gathered.split().freeze()).await
    }

    /// Sends bytes of a file, small ones when there are more.
    pub(crate) async fn data(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        put_head(DATA, bytes.len(), &mut self.gathered);
        if bytes.len() < SMALL {
            self.gathered.extend_from_slice(&bytes);
            return self.flush_if_large().await;
        }
        self.flush().await?;
        self.sink.give(bytes).await
    }

    pub(crate) async fn finish(&mut self) -> Result<(), TransferError> {
        self.flush().await?;
        self.sink.finish().await
    }
}

/// Data below this is copied, because another write would cost more.
const SMALL: usize = 16 << 10;
/// So much is gathered at least before it is sent.
const GATHER: usize = 64 << 10;
