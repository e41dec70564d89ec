//! For whom nodes speak: checking what peers claim, renewing what this node shows.

use bytes::Bytes;
use netcom_identity::{
    NetId, PeerId, Representation, RepresentationError, Represents, UnixTime, certificate,
};

/// What a peer proved, and what it only claimed.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// Each entity once.
    pub(crate) represents: Vec<Represents>,
    /// Claims that do not hold.
    pub(crate) refused: Vec<(NetId, RepresentationError)>,
}

/// An entity, and the number below which proofs for it were taken back, as far as is known here.
pub(crate) type TakenBack = (NetId, u64);

/// Checks the claims of a peer, whose PeerId the link has proved.
pub(crate) fn check(
    peer: &PeerId,
    claims: &[Representation],
    now: UnixTime,
    taken_back: Option<TakenBack>,
) -> Proven {
    let mut proven = Proven::default();
    for claim in claims {
        let netid = claim.netid();
        let lowest = taken_back.filter(|(of, _)| *of == netid).map(|(_, lowest)| lowest);
        match claim.verify(peer, now, lowest) {
            Ok(represents) => {
                if !proven.speaks_for(&netid) {
                    proven.represents.push(represents);
                }
            }
            Err(error) => proven.refused.push((netid, error)),
        }
    }
    // Another chain for the same entity may hold.
    let Proven { represents, refused } = &mut proven;
    refused.retain(|(netid, _)| represents.iter().all(|proof| proof.netid != *netid));
    proven
}

/// When looking again at claims may show something else than now. What has ended counts for
/// `grace` seconds more.
pub(crate) fn due(
    claims: &[Representation],
    proven: &Proven,
    now: UnixTime,
    grace: u64,
) -> UnixTime {
    let ends = claims.iter().map(Representation::expires);
    let ends = ends.flat_map(|end| [end, end.plus_seconds(grace)]);
    let begins = proven.refused.iter().filter_map(|(_, error)| match error {
        RepresentationError::NotYetValid { not_before, .. } => Some(*not_before),
        _ => None,
    });
    ends.chain(begins).filter(|at| *at > now).min().unwrap_or(UnixTime(u64::MAX))
}

impl Proven {
    /// The entities.
    pub(crate) fn netids(&self) -> Vec<NetId> {
        self.represents.iter().map(|represents| represents.netid).collect()
    }

    /// Whether an entity is among them.
    pub(crate) fn speaks_for(&self, netid: &NetId) -> bool {
        self.represents.iter().any(|represents| represents.netid == *netid)
    }
}

/// The proofs of this node as they travel inside a session; as many as fit.
pub(crate) fn encode(representations: &[Representation]) -> Option<Bytes> {
    (1..=representations.len()).rev().find_map(|count| {
        let encoded = certificate::encode(&representations[..count]).ok()?;
        (encoded.len() <= MAX_PROOFS).then(|| Bytes::from(encoded))
    })
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(proofs: &[u8]) -> Option<Vec<Representation>> {
    Some(certificate::decode(proofs).ok()?.representations)
}

/// A control frame carries at most this much.
const MAX_PROOFS: usize = 2048;

#[cfg(test)]
mod tests {
    use netcom_identity::{SecretKey, Terms};

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32])
    }

    fn claim(netid: u8, subject: u8, expires: u64) -> Representation {
        let terms = Terms::new(1, UnixTime(1000), UnixTime(expires));
        Representation::issue(&key(netid), key(subject).peer_id(), &terms)
    }

    #[test]
    fn a_claim_holds_if_one_of_its_chains_does() {
        let claims = [claim(1, 9, 1400), claim(1, 9, 2000), claim(2, 8, 2000), claim(3, 9, 1600)];
        let proven = check(&key(9).peer_id(), &claims, UnixTime(1500), None);
        assert_eq!(proven.netids(), [key(1).net_id(), key(3).net_id()]);
        let refused: Vec<_> = proven.refused.iter().map(|(netid, _)| *netid).collect();
        assert_eq!(refused, [key(2).net_id()]);
    }

    #[test]
    fn what_was_taken_back_of_one_entity_says_nothing_of_another() {
        let claims = [claim(1, 9, 2000), claim(3, 9, 2000)];
        for (lowest, proves) in [(1, vec![1, 3]), (2, vec![3])] {
            let taken_back = Some((key(1).net_id(), lowest));
            let proven = check(&key(9).peer_id(), &claims, UnixTime(1500), taken_back);
            let expected: Vec<_> = proves.into_iter().map(|seed| key(seed).net_id()).collect();
            assert_eq!(proven.netids(), expected);
        }
    }

    #[test]
    fn claims_are_due_again_when_time_may_change_what_they_show() {
        let claims = [claim(1, 9, 1400), claim(2, 9, 2000), claim(3, 8, 5000)];
        let peer = key(9).peer_id();
        let due_at = |now| due(&claims, &check(&peer, &claims, now, None), now, 60);
        for (now, next) in [(900, 1000), (1000, 1400), (1400, 1460), (1460, 2000), (2060, 5000)] {
            assert_eq!(due_at(UnixTime(now)), UnixTime(next));
        }
        assert_eq!(due_at(UnixTime(5060)), UnixTime(u64::MAX));
    }

    #[test]
    fn proofs_come_back_from_their_encoding() {
        let claims = [claim(1, 9, 1400), claim(2, 9, 2000)];
        assert_eq!(decode(&encode(&claims).unwrap()).unwrap(), claims);
        assert_eq!(encode(&[]), None);
        assert_eq!(decode(&[0xff; 40]), None);
    }
}
