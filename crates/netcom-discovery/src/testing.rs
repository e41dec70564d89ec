//! Nodes and records for the tests.

use netcom_identity::{NodeDescription, NodeRecord, Representation, SecretKey, Terms, UnixTime};

use crate::source::VerifiedRecord;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

pub(crate) fn key(seed: u16) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_bytes(&bytes)
}

/// What the node of `key(seed)` says, valid for an hour from `now`.
pub(crate) fn description(seed: u16, sequence: u64, now: UnixTime) -> NodeDescription {
    let mut description = NodeDescription::new(sequence, now.plus_seconds(3_600));
    let address = format!("/ip4/192.0.2.1/udp/{}/quic-v1", 4_000 + seed % 1_000);
    description.addresses.push(address.parse().unwrap());
    description
}

pub(crate) fn record(seed: u16, sequence: u64, now: UnixTime) -> NodeRecord {
    NodeRecord::sign(&key(seed), description(seed, sequence, now)).unwrap()
}

/// A record of `key(seed)` that speaks for the NetId of `key(entity)`.
pub(crate) fn representing(seed: u16, entity: u16, sequence: u64, now: UnixTime) -> NodeRecord {
    let terms = Terms::new(1, now.minus_seconds(1), now.plus_seconds(3_600));
    let proof = Representation::issue(&key(entity), key(seed).peer_id(), &terms);
    let mut description = description(seed, sequence, now);
    description.representations.push(proof);
    NodeRecord::sign(&key(seed), description).unwrap()
}

pub(crate) fn verified(record: NodeRecord, now: UnixTime) -> VerifiedRecord {
    VerifiedRecord::check(record, now).unwrap()
}
