//! What this node remembers of others: where they were, and who failed lately.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use netcom_identity::{MAX_ADDRESSES, Multiaddr, NetId, PeerId};
use netcom_identity::{NodeRecord, Role};
use tokio::time::Instant;

use super::needs::Offer;
use crate::data_use::DataUse;

/// Nodes heard of, the one not heard of for longest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: BTreeMap<PeerId, Peer>,
    /// By when they were heard of last.
    by_age: BTreeMap<u64, PeerId>,
    clock: u64,
}

/// What is remembered of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Where it was said to be or answered.
    pub(crate) addresses: Vec<Multiaddr>,
    /// The entities it proved to speak for.
    pub(crate) netids: BTreeSet<NetId>,
    /// What it said it is there for.
    pub(crate) role: Role,
    /// What it said it offers; `None` if it said nothing.
    pub(crate) offer: Option<Offer>,
    /// What was exchanged with it in sessions that have ended.
    pub(crate) data_use: DataUse,
    /// When a dial or a session of it failed last.
    failed: Option<Instant>,
    heard: u64,
}

impl Peers {
    /// Remembers what a node says of itself in a verified record.
    pub(crate) fn learn_record(&mut self, record: &NodeRecord, netid: Option<NetId>) {
        let peer = self.entry(*record.peer_id());
        peer.addresses = record.addresses().to_vec();
        peer.netids.extend(netid);
        peer.role = record.role();
        peer.offer = Some(Offer::of(record));
    }

    /// Remembers where a node is said to be.
    pub(crate) fn learn_addresses(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let known = self.entry(peer);
        for address in addresses {
            if !known.addresses.contains(address) && known.addresses.len() < MAX_ADDRESSES {
                known.addresses.push(address.clone());
            }
        }
    }

    /// Remembers for whom a node speaks, as it proved in a handshake.
    pub(crate) fn learn_netids(&mut self, peer: PeerId, netids: &[NetId]) {
        self.entry(peer).netids = netids.iter().copied().collect();
    }

    /// Remembers that a node did not answer or went away.
    pub(crate) fn note_failure(&mut self, peer: PeerId, now: Instant) {
        self.entry(peer).failed = Some(now);
    }

    /// Remembers that a node works.
    pub(crate) fn note_success(&mut self, peer: PeerId) {
        self.entry(peer).failed = None;
    }

    /// Adds what was exchanged with a node in a session that has ended.
    pub(crate) fn add_data_use(&mut self, peer: PeerId, data_use: DataUse) {
        self.entry(peer).data_use += data_use;
    }

    /// Whether a node failed so lately that others are tried first.
    pub(crate) fn has_failed(&self, peer: &PeerId, now: Instant) -> bool {
        let failed = self.known.get(peer).and_then(|known| known.failed);
        failed.is_some_and(|failed| now.duration_since(failed) < FAILURE_MEMORY)
    }

    /// What is remembered of a node.
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.known.get(peer)
    }

    /// The nodes that proved to speak for an entity and may still be there.
    pub(crate) fn of_entity(&self, netid: &NetId) -> Vec<(PeerId, Peer)> {
        let speaks = |(_, peer): &(&PeerId, &Peer)| peer.netids.contains(netid);
        self.known.iter().filter(speaks).map(|(id, peer)| (*id, peer.clone())).collect()
    }

    fn entry(&mut self, peer: PeerId) -> &mut Peer {
        if !self.known.contains_key(&peer)
            && self.known.len() >= MAX_PEERS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.known.remove(&oldest);
        }
        self.clock += 1;
        let entry = self.known.entry(peer).or_default();
        self.by_age.remove(&entry.heard);
        entry.heard = self.clock;
        self.by_age.insert(self.clock, peer);
        entry
    }
}

/// Nodes remembered.
const MAX_PEERS: usize = 4096;
/// How long a node that failed is tried last.
const FAILURE_MEMORY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use netcom_identity::SecretKey;

    use super::*;

    fn peer(number: u32) -> PeerId {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        SecretKey::from_bytes(&seed).peer_id()
    }

    #[test]
    fn who_failed_is_remembered_for_a_minute_or_until_it_works() {
        let mut peers = Peers::default();
        let now = Instant::now();
        peers.note_failure(peer(1), now);
        peers.note_failure(peer(2), now);
        peers.note_success(peer(2));
        assert!(peers.has_failed(&peer(1), now + Duration::from_secs(59)));
        assert!(!peers.has_failed(&peer(1), now + Duration::from_secs(60)));
        assert!(!peers.has_failed(&peer(2), now));
    }

    #[test]
    fn the_table_of_peers_is_bounded_and_forgets_the_oldest() {
        let mut peers = Peers::default();
        let ids: Vec<PeerId> = (0..64).map(peer).collect();
        for id in &ids {
            peers.learn_addresses(*id, &[]);
        }
        peers.learn_addresses(ids[0], &[]);
        let extra = SecretKey::from_bytes(&[9; 32]).net_id();
        for number in 64..=MAX_PEERS as u32 {
            // Any distinct id does; deriving 4,096 keys would take long.
            let mut hash = vec![0x12, 32];
            hash.extend([number.to_le_bytes(); 8].concat());
            peers.learn_netids(PeerId::from_bytes(&hash).unwrap(), &[extra]);
        }
        assert_eq!(peers.known.len(), MAX_PEERS);
        assert!(peers.get(&ids[0]).is_some() && peers.get(&ids[1]).is_none());
    }

    #[test]
    fn addresses_of_a_peer_are_bounded_and_distinct() {
        let mut peers = Peers::default();
        for port in 0..100 {
            let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
            peers.learn_addresses(peer(1), &[address.clone(), address]);
        }
        assert_eq!(peers.get(&peer(1)).unwrap().addresses.len(), MAX_ADDRESSES);
    }
}
