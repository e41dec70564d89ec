//! What has to happen once a session's lock is gone.

use std::task::Waker;

use bytes::Bytes;
use netcom_session::{Closed, IncomingStream, InstanceId, LinkId, SessionId, Time};
use netcom_transport::LinkDriver;

use crate::events::NodeEvent;

/// Collected under the lock, done after it.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Tasks that can go on.
    pub(crate) wakers: Vec<Waker>,
    /// Links that have something to send.
    pub(crate) drivers: Vec<LinkDriver>,
    /// Links that are given up, whose sockets may take nothing any more.
    pub(crate) given_up: Vec<LinkDriver>,
    /// Whether the caller may send from its own thread.
    pub(crate) is_inline: bool,
    /// The link that asks for its batch just now and need not be told.
    pub(crate) except: Option<LinkId>,
    /// The deadline the timer knows, and the engine's, which is earlier.
    pub(crate) deadline: Option<(Option<Time>, Time)>,
    /// Whether the engine's deadline can have come closer.
    pub(crate) may_delay: bool,
    /// What the node should know.
    pub(crate) news: Vec<News>,
}

/// Something the node acts on.
#[derive(Debug)]
pub(crate) enum News {
    /// A link became part of the session.
    Attached { is_new: bool, by_dial: bool, bound: Option<(InstanceId, SessionId)> },
    /// No link is left.
    Detached,
    /// No link answers: another one is needed beside them.
    LinkWanted,
    /// The first link had no answer, and another one may.
    Unanswered,
    /// Dialling led to another process of the peer.
    Elsewhere,
    /// Something about a link that the node's listeners are told.
    Link(NodeEvent),
    /// The peer opened a stream.
    Incoming(IncomingStream),
    /// The peer sent a proof of representation.
    Auth(Bytes),
    /// The session is over.
    Ended(Closed),
}

impl Effects {
    /// For a call of the application that makes something to send.
    pub(crate) fn inline() -> Self {
        Self { is_inline: true, ..Self::default() }
    }

    /// For a call after which no deadline can be earlier than before.
    pub(crate) fn delaying() -> Self {
        Self { may_delay: true, ..Self::default() }
    }
}
