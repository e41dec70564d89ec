//! What the engine tells the shell, and how its operations fail.

use std::time::Duration;

use bytes::Bytes;

use crate::{Class, Code, Flow, LinkId, StreamId};

/// Something the shell should act on; drained by
/// [`Session::poll_event`](crate::Session::poll_event).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A link belongs to the session now. The first one makes the session live, one after
    /// [`Event::Detached`] resumes it.
    Attached {
        /// The link.
        link: LinkId,
    },
    /// A link is gone.
    LinkEnded {
        /// The link.
        link: LinkId,
        /// Why.
        code: Code,
    },
    /// A link does not answer. What it carries goes on over another that does.
    LinkSuspect {
        /// The link.
        link: LinkId,
    },
    /// A link that was suspect answers again.
    LinkAnswers {
        /// The link.
        link: LinkId,
    },
    /// No link answers. Dial another one beside them while
    /// [`Session::wants_link`](crate::Session::wants_link) says so.
    LinkWanted,
    /// No link is left; the session waits for one until its window closes. Dial again.
    Detached,
    /// Streams may wait for [`Session::accept`](crate::Session::accept).
    Incoming,
    /// A read that found nothing may find something now.
    Readable(StreamId, Flow),
    /// A write that found no room may find some now.
    Writable(StreamId, Flow),
    /// Everything written to the flow, and its end, was acknowledged.
    Finished(StreamId, Flow),
    /// The peer asked to stop writing to the flow, which was reset in answer.
    Stopped(StreamId, Flow, Code),
    /// More streams may be opened than before.
    StreamsAvailable,
    /// A datagram waits.
    Datagram,
    /// A ping was answered.
    Pong {
        /// The link that was measured.
        link: LinkId,
        /// The ping's number.
        nonce: u64,
        /// The round trip.
        rtt: Duration,
    },
    /// A proof of representation from the peer, to be verified by the shell.
    Auth(Bytes),
    /// The peer will serve no further streams.
    Draining,
    /// The session ended. No event follows.
    Closed(Closed),
}

/// How a session ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed {
    /// Why.
    pub code: Code,
    /// For a person; may be empty.
    pub reason: String,
    /// Whether the peer said so.
    pub by_peer: bool,
}

/// A stream the peer opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IncomingStream {
    /// The stream.
    pub id: StreamId,
    /// The class the peer wished.
    pub class: Class,
    /// The protocol's name.
    pub protocol: Bytes,
}

/// What a read found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadState {
    /// Bytes were read, more may follow.
    Open,
    /// Nothing there; [`Event::Readable`] follows.
    Blocked,
    /// All bytes up to the end were read, in this call or before.
    Finished,
}

/// How much of what was written arrived. "Acknowledged" means: in the peer's session memory,
/// neither read nor processed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Bytes taken from the writer.
    pub written: u64,
    /// Bytes ever sent on a link.
    pub sent: u64,
    /// Bytes acknowledged, without a gap.
    pub acked: u64,
    /// The end was acknowledged too.
    pub is_finished: bool,
}

/// Why a stream could not be opened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer allows no further stream now. [`Event::StreamsAvailable`] follows.
    #[error("the peer allows no further stream now")]
    Blocked,
    /// The protocol's name is longer than 255 bytes.
    #[error("a protocol name has at most 255 bytes, this one has {0}")]
    ProtocolTooLong(usize),
    /// The session is closing or the peer is draining. Open it on another session.
    #[error("the session takes no new streams: {0}")]
    Ending(Code),
}

/// Why nothing could be written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// This side ended the flow, or the stream is over.
    #[error("the flow was ended by this side")]
    Finished,
    /// The flow was reset, by this side or at the peer's request.
    #[error("the flow was reset: {0}")]
    Reset(Code),
    /// The session is over.
    #[error("the session ended: {0}")]
    SessionEnded(Code),
}

/// Why nothing more can be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer gave the flow up. What came before was read.
    #[error("the peer reset the flow: {0}")]
    Reset(Code),
    /// This side asked the peer to stop.
    #[error("this side stopped reading")]
    Stopped,
    /// The session is over. What came before was read.
    #[error("the session ended: {0}")]
    SessionEnded(Code),
}

/// Why a datagram was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Longer than every link carries. Use a stream.
    #[error("a datagram has at most {max} bytes, this one has {length}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The flow's number does not fit the wire. Choose one below 2^62.
    #[error("a datagram's flow is a number below 2^62, not {0}")]
    FlowTooLarge(u64),
    /// The session is over.
    #[error("the session ended: {0}")]
    SessionEnded(Code),
}

/// Why a link was not taken into the session.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The session has as many links as it may. Close one, or keep the ones it has.
    #[error("the session has {0} links already")]
    TooManyLinks(usize),
    /// The link's dialer is another process than the session's peer. Use another session.
    #[error("the link belongs to another process of the peer")]
    OtherInstance,
    /// The link's dialer means another session than this one, which is no longer known. Answer
    /// that.
    #[error("the link belongs to a session that is unknown")]
    UnknownSession,
    /// The link's name was used before or has the wrong parity.
    #[error("the link's name is not new")]
    BadLinkId,
    /// More links came within a second than a session takes. Answer that the dialer may come back
    /// after a second.
    #[error("too many links come to the session")]
    TooOften,
    /// The session is over; answer with the code.
    #[error("the session ended: {0}")]
    SessionEnded(Code),
}

impl AttachError {
    /// The code that tells the link's dialer of it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooManyLinks(_) => Code::OVERLOADED,
            Self::OtherInstance => Code::INSTANCE_CHANGED,
            Self::UnknownSession => Code::UNKNOWN_SESSION,
            Self::TooOften => Code::REFUSED,
            Self::BadLinkId => Code::PROTOCOL_VIOLATION,
            Self::SessionEnded(code) => *code,
        }
    }
}

/// The peer broke a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    pub(crate) code: Code,
    pub(crate) what: &'static str,
}

impl Violation {
    pub(crate) const fn new(code: Code) -> Self {
        Self { code, what: "" }
    }

    pub(crate) const fn because(code: Code, what: &'static str) -> Self {
        Self { code, what }
    }
}
