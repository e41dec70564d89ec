//! Looking for nodes without connecting to them.

use std::{collections::BTreeMap, time::Duration};

use netcom_discovery::{Found, Query};
use netcom_identity::{Metadata, Multiaddr, NetId, NodeRecord, PeerId, Role, Service};
use tokio::time::{Instant, timeout_at};

use super::shared::Shared;
use crate::error::DiscoverError;

/// What a node says about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Where it is reached; each address ends in `/p2p` and its PeerId.
    pub addresses: Vec<Multiaddr>,
    /// What else it says.
    pub metadata: Metadata,
    /// What it serves.
    pub services: Vec<Service>,
    /// What it is there for.
    pub role: Role,
}

impl NodeInfo {
    fn of(record: &NodeRecord) -> Self {
        Self {
            addresses: record.addresses().to_vec(),
            metadata: record.metadata().clone(),
            services: record.services().to_vec(),
            role: record.role(),
        }
    }
}

impl Shared {
    pub(crate) async fn discover_peer_id(
        &self,
        peer: PeerId,
    ) -> Result<Vec<Multiaddr>, DiscoverError> {
        let mut addresses: Vec<Multiaddr> = Vec::new();
        self.discover(Query::Peer(peer), |found| {
            for address in found.addresses() {
                if !addresses.contains(address) {
                    addresses.push(address.clone());
                }
            }
        })
        .await?;
        if addresses.is_empty() {
            let target = peer.to_string();
            return Err(DiscoverError::NotFound { target, scope: self.scope });
        }
        Ok(addresses)
    }

    pub(crate) async fn discover_netid(
        &self,
        netid: NetId,
    ) -> Result<BTreeMap<PeerId, NodeInfo>, DiscoverError> {
        let mut nodes = BTreeMap::new();
        self.discover(Query::NetId(netid), |found| {
            if let Found::Record(record) = found
                && *record.peer_id() != self.peer
            {
                self.peers.lock().learn_record(record, Some(netid));
                nodes.insert(*record.peer_id(), NodeInfo::of(record));
            }
        })
        .await?;
        if nodes.is_empty() {
            let target = netid.to_string();
            return Err(DiscoverError::NotFound { target, scope: self.scope });
        }
        Ok(nodes)
    }

    /// Takes what comes until nothing new came for a while.
    async fn discover(
        &self,
        query: Query,
        mut take: impl FnMut(&Found),
    ) -> Result<(), DiscoverError> {
        if self.is_closing() {
            return Err(DiscoverError::Closed);
        }
        let mut lookup = self.discovery.lookup(query, PATIENCE);
        let mut until = Instant::now() + PATIENCE;
        while let Ok(Some(finding)) = timeout_at(until, lookup.next()).await {
            take(&finding.found);
            until = until.min(Instant::now() + QUIET);
        }
        Ok(())
    }
}

/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after the last news no more are expected. Answers by mDNS are spread over 120 ms.
const QUIET: Duration = Duration::from_millis(500);
