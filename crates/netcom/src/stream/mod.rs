//! Streams as applications hold them: bytes, messages, and data with an error side channel.

mod bytes_stream;
mod error;
mod errors;
pub(crate) mod fuzzing;
mod message;
mod messages;
mod receiver;
mod sender;
mod xstream;

use bytes::Bytes;
use netcom_session::Code;

use crate::session::StreamHandle;

pub(crate) use self::receiver::Gather;
pub use self::{
    bytes_stream::ByteStream,
    error::{Delivery, OpenError, StreamError},
    errors::{ErrorReceiver, ErrorSender},
    message::StreamErrorMessage,
    messages::{MAX_MESSAGE, MessageReceiver, MessageSender, MessageStream},
    receiver::ByteReceiver,
    sender::ByteSender,
    xstream::XStream,
};

/// Names of the protocols every node knows.
pub(crate) mod protocol {
    pub(crate) const REQUEST: &str = "netcom/request/1";
    pub(crate) const BYTES: &str = "netcom/bytes/1";
    pub(crate) const MESSAGES: &str = "netcom/messages/1";
    pub(crate) const XSTREAM: &str = "netcom/xstream/1";
}

/// A stream the peer opened for the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum IncomingStream {
    /// Opened by the peer's `bytes_stream`.
    Bytes(ByteStream),
    /// Opened by the peer's `msg_stream`.
    Messages(MessageStream),
    /// Opened by the peer's `x_stream`.
    X(XStream),
}

impl IncomingStream {
    pub(crate) fn new(handle: StreamHandle, protocol: &Bytes) -> Self {
        match &protocol[..] {
            name if name == protocol::BYTES.as_bytes() => Self::Bytes(ByteStream::new(handle)),
            name if name == protocol::MESSAGES.as_bytes() => {
                Self::Messages(MessageStream::new(handle))
            }
            _ => Self::X(XStream::new(handle)),
        }
    }

    /// The stream as one of bytes, whatever the peer meant it to be; `None` for messages.
    #[must_use]
    pub fn into_bytes(self) -> Option<ByteStream> {
        match self {
            Self::Bytes(stream) => Some(stream),
            Self::X(stream) => Some(ByteStream::from(stream)),
            Self::Messages(_) => None,
        }
    }
}

/// What a half that was dropped before its end tells the peer.
const DROPPED: Code = Code::ABANDONED;
