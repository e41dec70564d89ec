//! Who may use a node or a service.

use std::collections::BTreeSet;

use netcom_identity::{NetId, PeerId};

/// Says who is let in. What is not allowed is denied.
///
/// A node asks its own rule first and then the rule of the service, before any handler runs; who
/// fails either is refused with [`Code::DENIED`](crate::Code::DENIED).
///
/// ```
/// # use netcom::{Access, SecretKey};
/// let [alice, bob] = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]).net_id());
/// let access = Access::own_entity().netid(alice);
/// assert!(access.admits(&alice.peer_id(), &[alice], &[]));
/// assert!(!access.admits(&bob.peer_id(), &[bob], &[]));
/// assert!(access.admits(&bob.peer_id(), &[bob], &[bob])); // another node of ourselves
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    everyone: bool,
    own_entity: bool,
    netids: BTreeSet<NetId>,
    peers: BTreeSet<PeerId>,
}

impl Access {
    /// Lets everyone in.
    #[must_use]
    pub fn everyone() -> Self {
        Self { everyone: true, ..Self::default() }
    }

    /// Lets nodes in that speak for the same entity as this one.
    #[must_use]
    pub fn own_entity() -> Self {
        Self { own_entity: true, ..Self::default() }
    }

    /// Lets nobody in, to be widened by [`netid`](Self::netid) and [`peer`](Self::peer).
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Lets the nodes of an entity in, too.
    #[must_use]
    pub fn netid(mut self, netid: NetId) -> Self {
        self.netids.insert(netid);
        self
    }

    /// Lets one node in, too.
    #[must_use]
    pub fn peer(mut self, peer: PeerId) -> Self {
        self.peers.insert(peer);
        self
    }

    /// Lets nodes of this node's own entity in, too.
    #[must_use]
    pub fn and_own_entity(mut self) -> Self {
        self.own_entity = true;
        self
    }

    /// Whether a node is let in: `peer` as the link proved it, `proven` the entities it speaks
    /// for, `own` the entities this node speaks for.
    #[must_use]
    pub fn admits(&self, peer: &PeerId, proven: &[NetId], own: &[NetId]) -> bool {
        self.everyone
            || self.peers.contains(peer)
            || proven.iter().any(|netid| self.netids.contains(netid))
            || self.own_entity && proven.iter().any(|netid| own.contains(netid))
    }

    /// Whether everyone is let in.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.everyone
    }
}

impl From<NetId> for Access {
    fn from(netid: NetId) -> Self {
        Self::nobody().netid(netid)
    }
}

impl From<PeerId> for Access {
    fn from(peer: PeerId) -> Self {
        Self::nobody().peer(peer)
    }
}

#[cfg(test)]
mod tests {
    use netcom_identity::SecretKey;

    use super::*;

    fn netid(seed: u8) -> NetId {
        SecretKey::from_bytes(&[seed; 32]).net_id()
    }

    #[test]
    fn nobody_is_let_in_by_default() {
        assert!(!Access::default().admits(&netid(1).peer_id(), &[netid(1)], &[netid(1)]));
        assert!(Access::everyone().admits(&netid(1).peer_id(), &[], &[]));
    }

    #[test]
    fn a_peer_is_let_in_by_its_own_name_or_by_an_entity_it_proved() {
        let peer = netid(9).peer_id();
        let access = Access::from(netid(1)).peer(peer);
        assert!(access.admits(&peer, &[], &[]));
        assert!(access.admits(&netid(8).peer_id(), &[netid(2), netid(1)], &[]));
        assert!(!access.admits(&netid(8).peer_id(), &[netid(2)], &[netid(2)]));
    }

    #[test]
    fn the_own_entity_is_let_in_only_where_both_sides_speak_for_it() {
        let access = Access::own_entity();
        let peer = netid(9).peer_id();
        assert!(access.admits(&peer, &[netid(1)], &[netid(2), netid(1)]));
        assert!(!access.admits(&peer, &[netid(1)], &[netid(2)]));
        assert!(!access.admits(&peer, &[], &[netid(1)]));
    }
}
