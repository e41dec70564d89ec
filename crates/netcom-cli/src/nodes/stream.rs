//! A stream to another node, opened here or through the running node.

use bytes::Bytes;
use netcom::{ByteReceiver, ByteSender, XStream};

use crate::{
    control::{FramedSink, FramedSource},
    errors,
    transfer::{self, TransferError},
};

/// What comes.
pub(crate) enum StreamSource {
    Own(ByteReceiver),
    Running(FramedSource),
}

/// What goes.
pub(crate) enum StreamSink {
    Own(ByteSender),
    Running(FramedSink),
}

/// So much is taken at once.
const TAKE: usize = 256 << 10;

/// The two data flows of a stream.
pub(crate) fn split(stream: XStream) -> (StreamSource, StreamSink) {
    let (sender, receiver, _, _) = stream.into_parts();
    (StreamSource::Own(receiver), StreamSink::Own(sender))
}

impl transfer::Source for StreamSource {
    async fn take(&mut self) -> Result<Option<Bytes>, TransferError> {
        match self {
            Self::Own(stream) => {
                stream.read_chunk(TAKE).await.map_err(|error| errors::transfer(&error))
            }
            Self::Running(stream) => stream.take().await,
        }
    }
}

impl transfer::Sink for StreamSink {
    async fn give(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        match self {
            Self::Own(stream) => {
                stream.write_bytes(bytes).await.map_err(|error| errors::transfer(&error))
            }
            Self::Running(stream) => stream.give(bytes).await,
        }
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        match self {
            Self::Own(stream) => stream.finish().await.map_err(|error| errors::transfer(&error)),
            Self::Running(stream) => stream.finish().await,
        }
    }
}
