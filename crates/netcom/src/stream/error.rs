//! How streams fail, and what is known of what was sent.

use std::{fmt, io};

use netcom_session::Code;

/// What is known of data that was written before something failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Delivery {
    /// The peer processed none of it: sending it again, to whomever, repeats nothing.
    NotSent,
    /// All of it is in the peer's memory. Whether it was processed, only the peer can say.
    Delivered,
    /// Part of it may have arrived. Send it again only if doing it twice does no harm.
    Unknown,
}

/// Why a stream could not be opened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The session is over or takes no new streams. Connect again.
    #[error("the connection takes no new streams: {0}")]
    SessionEnded(Code),
    /// This handle was closed.
    #[error("the connection was closed by this side")]
    Closed,
    /// Choose a shorter name.
    #[error("a protocol name has at most 255 bytes, this one has {0}")]
    ProtocolTooLong(usize),
}

/// Why a stream cannot go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer's rules do not admit this node. Nothing was processed.
    #[error("the peer does not admit this node to the service")]
    Denied,
    /// Nothing at the peer serves the protocol. Nothing was processed.
    #[error("the peer serves no such protocol")]
    UnknownProtocol,
    /// The peer has no room for another stream now. Nothing was processed.
    #[error("the peer is too busy: {code}")]
    Overloaded {
        /// What the peer said.
        code: Code,
    },
    /// The peer gave the stream up, or wants no more of it.
    #[error("the peer ended the stream: {code}")]
    Reset {
        /// What the peer said.
        code: Code,
        /// What is known of the data written.
        delivery: Delivery,
    },
    /// The session ended, and all its streams with it. Connect again.
    #[error("the connection ended: {code}")]
    SessionEnded {
        /// How.
        code: Code,
        /// What is known of the data written.
        delivery: Delivery,
    },
    /// This side ended the flow before.
    #[error("the stream was finished by this side")]
    Finished,
    /// This side stopped reading before.
    #[error("this side stopped reading")]
    Stopped,
    /// The message is longer than the stream's limit. Nothing was sent; the stream goes on.
    #[error("a message has at most {limit} bytes here, this one has {length}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// This node has no memory left for a message or body that so much came of. The peer was asked
    /// to send no more.
    #[error("no memory is left for something longer than {length} bytes")]
    NoRoom {
        /// How much of it came.
        length: u64,
    },
    /// The peer sent a message longer than this side's limit, or ended inside one.
    #[error("the peer broke the rules of messages: {0}")]
    Malformed(&'static str),
}

impl OpenError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SessionEnded(_) => "session_ended",
            Self::Closed => "closed",
            Self::ProtocolTooLong(_) => "protocol_too_long",
        }
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SessionEnded(_) | Self::Closed => Some("connect again".into()),
            Self::ProtocolTooLong(_) => None,
        }
    }

    /// Whether doing the same again can work.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::SessionEnded(_))
    }
}

impl StreamError {
    /// A reset by the peer, as the kind of error its code is.
    pub(crate) fn reset(code: Code, delivery: Delivery) -> Self {
        match code {
            Code::DENIED => Self::Denied,
            Code::UNKNOWN_PROTOCOL => Self::UnknownProtocol,
            Code::OVERLOADED | Code::REFUSED | Code::NOT_PROCESSED => Self::Overloaded { code },
            code => Self::Reset { code, delivery },
        }
    }

    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::UnknownProtocol => "unknown_protocol",
            Self::Overloaded { .. } => "overloaded",
            Self::Reset { .. } => "reset",
            Self::SessionEnded { .. } => "session_ended",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::TooLarge { .. } => "too_large",
            Self::NoRoom { .. } => "no_room",
            Self::Malformed(_) => "malformed",
        }
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Denied => "ask the peer's owner to allow this node or its NetId".into(),
            Self::UnknownProtocol => "ask the peer for the services it offers".into(),
            Self::Overloaded { .. } => "try again a little later".into(),
            Self::SessionEnded { .. } => "connect again".into(),
            Self::TooLarge { .. } => "split it, or use a stream of bytes".into(),
            _ => return None,
        })
    }

    /// Whether doing the same again can work and repeats nothing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. } => true,
            Self::SessionEnded { delivery, .. } | Self::Reset { delivery, .. } => {
                *delivery == Delivery::NotSent
            }
            _ => false,
        }
    }

    /// What is known of the data written before.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Denied
            | Self::UnknownProtocol
            | Self::Overloaded { .. }
            | Self::TooLarge { .. } => Delivery::NotSent,
            Self::Reset { delivery, .. } | Self::SessionEnded { delivery, .. } => *delivery,
            Self::Finished | Self::Stopped | Self::NoRoom { .. } | Self::Malformed(_) => {
                Delivery::Unknown
            }
        }
    }

    /// The code both sides know the end by, where there is one.
    #[must_use]
    pub fn wire_code(&self) -> Option<Code> {
        match self {
            Self::Denied => Some(Code::DENIED),
            Self::UnknownProtocol => Some(Code::UNKNOWN_PROTOCOL),
            Self::Overloaded { code }
            | Self::Reset { code, .. }
            | Self::SessionEnded { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Denied => io::ErrorKind::PermissionDenied,
            StreamError::UnknownProtocol => io::ErrorKind::NotFound,
            StreamError::Overloaded { .. } => io::ErrorKind::ResourceBusy,
            StreamError::Reset { .. } => io::ErrorKind::ConnectionReset,
            StreamError::SessionEnded { .. } => io::ErrorKind::ConnectionAborted,
            StreamError::Finished | StreamError::Stopped => io::ErrorKind::BrokenPipe,
            StreamError::TooLarge { .. } => io::ErrorKind::InvalidInput,
            StreamError::NoRoom { .. } => io::ErrorKind::OutOfMemory,
            StreamError::Malformed(_) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::Delivered => "delivered",
            Self::Unknown => "unknown",
        })
    }
}
