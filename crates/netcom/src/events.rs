//! What happens at a node, for whoever wants to know.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use netcom_identity::{Multiaddr, NetId, PeerId};
use netcom_session::{Code, LinkKind};
use tokio::sync::broadcast;

/// Something that happened at a node.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The node accepts links at an address.
    Listening {
        /// The address, with the port it got.
        address: Multiaddr,
    },
    /// The node made itself known.
    Published {
        /// Which of its records this is; later ones have higher numbers.
        sequence: u64,
        /// Where it said it is.
        addresses: Vec<Multiaddr>,
    },
    /// The machine's addresses changed. Links from those that are gone are replaced.
    AddressesChanged {
        /// Those the machine has no more.
        gone: Vec<IpAddr>,
        /// Those it did not have.
        come: Vec<IpAddr>,
    },
    /// A session with a peer began.
    Connected {
        /// The peer.
        peer: PeerId,
        /// The entities it proved to speak for.
        netids: Vec<NetId>,
        /// Whether the peer dialled.
        is_inbound: bool,
    },
    /// A session has no link left. It waits, and this node dials again.
    Detached {
        /// The peer.
        peer: PeerId,
    },
    /// A session that had no link has one again; its streams go on.
    Resumed {
        /// The peer.
        peer: PeerId,
    },
    /// A link became part of a session.
    LinkUp {
        /// The peer.
        peer: PeerId,
        /// The link's number in the session.
        link: u64,
        /// What carries it.
        kind: LinkKind,
        /// The peer's address.
        remote: Option<Multiaddr>,
    },
    /// A link does not answer. Another one that does carries what it carried, or is dialled.
    LinkSuspect {
        /// The peer.
        peer: PeerId,
        /// The link's number in the session.
        link: u64,
    },
    /// A link that did not answer does again.
    LinkAnswers {
        /// The peer.
        peer: PeerId,
        /// The link's number in the session.
        link: u64,
    },
    /// A link ended, or never became part of its session.
    LinkDown {
        /// The peer.
        peer: PeerId,
        /// The link's number in the session.
        link: u64,
        /// Why.
        code: Code,
    },
    /// A session ended.
    Disconnected {
        /// The peer.
        peer: PeerId,
        /// Why.
        code: Code,
        /// The same for a person; may be empty.
        reason: String,
        /// Whether the peer said so.
        is_by_peer: bool,
    },
    /// A peer claims to speak for an entity and does not prove it. It is treated as a stranger.
    ClaimRefused {
        /// The peer.
        peer: PeerId,
        /// Whom it claims to speak for.
        netid: NetId,
        /// What is wrong with the proof.
        reason: String,
    },
    /// The node takes no new work.
    Draining,
    /// The node is over. No event follows.
    Closed,
    /// The listener was too slow: so many events before this one were dropped.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl NodeEvent {
    /// The names of what happens; a listener that misses events is no event of the node's.
    pub(crate) const NAMES: [&str; 14] = [
        "listening",
        "published",
        "connected",
        "detached",
        "resumed",
        "link_up",
        "link_suspect",
        "link_answers",
        "link_down",
        "disconnected",
        "claim_refused",
        "addresses_changed",
        "draining",
        "closed",
    ];

    /// The event's name, which does not change.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Listening { .. } => "listening",
            Self::Published { .. } => "published",
            Self::Connected { .. } => "connected",
            Self::Detached { .. } => "detached",
            Self::Resumed { .. } => "resumed",
            Self::LinkUp { .. } => "link_up",
            Self::LinkSuspect { .. } => "link_suspect",
            Self::LinkAnswers { .. } => "link_answers",
            Self::LinkDown { .. } => "link_down",
            Self::Disconnected { .. } => "disconnected",
            Self::ClaimRefused { .. } => "claim_refused",
            Self::AddressesChanged { .. } => "addresses_changed",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Lagged { .. } => "lagged",
        }
    }
}

/// The events of a node from the moment on at which it was asked for them. A slow listener misses
/// the oldest ones, and is told how many, so that it costs the node nothing.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<NodeEvent>,
    is_over: bool,
}

impl Events {
    /// The next event; `None` after [`NodeEvent::Closed`], or when the node is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        if self.is_over {
            return None;
        }
        match self.receiver.recv().await {
            Ok(event) => {
                self.is_over = event == NodeEvent::Closed;
                Some(event)
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(NodeEvent::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Where a node tells its events, and counts them.
#[derive(Debug)]
pub(crate) struct EventSender {
    sender: broadcast::Sender<NodeEvent>,
    /// In the order of [`NodeEvent::NAMES`].
    counts: [AtomicU64; NodeEvent::NAMES.len()],
}

impl EventSender {
    pub(crate) fn new() -> Self {
        let counts = [const { AtomicU64::new(0) }; NodeEvent::NAMES.len()];
        Self { sender: broadcast::Sender::new(EVENTS), counts }
    }

    pub(crate) fn tell(&self, event: NodeEvent) {
        let mut named = NodeEvent::NAMES.iter().zip(&self.counts);
        if let Some((_, count)) = named.find(|(name, _)| **name == event.name()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Nobody listening is the usual case.
        drop(self.sender.send(event));
    }

    pub(crate) fn listen(&self) -> Events {
        Events { receiver: self.sender.subscribe(), is_over: false }
    }

    /// How often each kind of event was told.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        NodeEvent::NAMES.into_iter().zip(counts)
    }
}

/// Events kept for listeners that are behind.
const EVENTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_addresses_is_counted_like_other_events() {
        let sender = EventSender::new();
        let (gone, come) = (Vec::new(), Vec::new());
        let event = NodeEvent::AddressesChanged { gone, come };
        sender.tell(event.clone());
        let counted = sender.counts().find(|(name, _)| *name == event.name());
        assert_eq!(counted, Some((event.name(), 1)));
    }

    #[tokio::test]
    async fn no_event_follows_the_end_of_the_node() {
        let sender = EventSender::new();
        let mut events = sender.listen();
        sender.tell(NodeEvent::Closed);
        sender.tell(NodeEvent::Draining);
        assert_eq!(events.next().await, Some(NodeEvent::Closed));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_events_it_missed() {
        let sender = EventSender::new();
        let mut events = sender.listen();
        for _ in 0..EVENTS + 7 {
            sender.tell(NodeEvent::Draining);
        }
        sender.tell(NodeEvent::Closed);
        assert_eq!(events.next().await, Some(NodeEvent::Lagged { missed: 8 }));
        for _ in 0..EVENTS - 1 {
            assert_eq!(events.next().await, Some(NodeEvent::Draining));
        }
        assert_eq!(events.next().await, Some(NodeEvent::Closed));
        drop(sender);
        assert_eq!(events.next().await, None);
    }
}
