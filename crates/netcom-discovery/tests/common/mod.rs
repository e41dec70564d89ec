//! Nodes for the tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcom_discovery::{Discovery, Found, Query};
use netcom_identity::{
    NodeDescription, NodeRecord, PeerId, Representation, SecretKey, Terms, UnixTime,
};

/// Longer than anything takes that is going to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

/// The record of `key(seed)`, which speaks for the NetId of `key(entity)`.
pub(crate) fn record(seed: u8, entity: u8) -> NodeRecord {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let now = UnixTime(since.as_secs());
    let terms = Terms::new(1, now.minus_seconds(60), now.plus_seconds(3_600));
    let proof = Representation::issue(&key(entity), key(seed).peer_id(), &terms);
    let mut description = NodeDescription::new(1, now.plus_seconds(3_600));
    let address = "/ip4/192.0.2.1/udp/4001/quic-v1".parse();
    description.addresses.push(address.expect("an address"));
    description.representations.push(proof);
    NodeRecord::sign(&key(seed), description).expect("a proper record")
}

/// The first peer found with a signed record.
pub(crate) async fn find(discovery: &Discovery, query: Query, within: Duration) -> Option<PeerId> {
    let mut lookup = discovery.lookup(query, within);
    while let Some(finding) = lookup.next().await {
        if let Found::Record(record) = finding.found {
            return Some(*record.peer_id());
        }
    }
    None
}
