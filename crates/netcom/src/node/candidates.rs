//! Which nodes of an entity are tried, in which order.

use std::{cmp::Reverse, collections::BTreeMap};

use netcom_identity::{Multiaddr, PeerId, Role};

use super::needs::{Needs, Offer};

/// The nodes found so far, and what became of each.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    nodes: BTreeMap<PeerId, Node>,
    /// What nodes offer that lack what is needed.
    offered: Vec<String>,
    found: usize,
}

/// A node to dial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    /// Where it was found.
    pub(crate) source: &'static str,
}

/// What is known of a node when it is found.
#[derive(Clone, Debug)]
pub(crate) struct Finding<'a> {
    pub(crate) peer: PeerId,
    pub(crate) addresses: &'a [Multiaddr],
    pub(crate) role: Role,
    /// What it offers; `None` if it has not said.
    pub(crate) offer: Option<&'a Offer>,
    /// Whether it failed lately.
    pub(crate) has_failed: bool,
    pub(crate) source: &'static str,
}

#[derive(Debug)]
struct Node {
    addresses: Vec<Multiaddr>,
    tried: Vec<Multiaddr>,
    role: Role,
    has_failed: bool,
    is_in_flight: bool,
    source: &'static str,
    place: usize,
}

impl Candidates {
    /// Takes news of a node; one that does not offer what is needed is only remembered for the
    /// error, and one that has not said is waited for where metadata is needed.
    pub(crate) fn offer(&mut self, finding: &Finding<'_>, needs: &Needs) {
        match finding.offer {
            Some(offer) if !needs.are_met_by(offer) => {
                self.nodes.remove(&finding.peer);
                for line in offer.lines() {
                    if !self.offered.contains(&line) && self.offered.len() < MAX_OFFERED {
                        self.offered.push(line);
                    }
                }
                self.found += 1;
                return;
            }
            None if !needs.metadata.is_empty() => return,
            _ => {}
        }
        let place = self.found;
        self.found += 1;
        let node = self.nodes.entry(finding.peer).or_insert(Node {
            addresses: Vec::new(),
            tried: Vec::new(),
            role: finding.role,
            has_failed: finding.has_failed,
            is_in_flight: false,
            source: finding.source,
            place,
        });
        node.role = finding.role;
        for address in finding.addresses {
            if !node.addresses.contains(address) && !node.tried.contains(address) {
                node.addresses.push(address.clone());
            }
        }
    }

    /// The node to dial next, which counts as in flight from now on. Servers come first, then
    /// who was found first; who failed lately only with `failed_too`.
    pub(crate) fn next(&mut self, failed_too: bool) -> Option<Candidate> {
        let ready = |(_, node): &(&PeerId, &mut Node)| {
            !node.addresses.is_empty() && !node.is_in_flight && (failed_too || !node.has_failed)
        };
        let rank = |(_, node): &(&PeerId, &mut Node)| {
            (node.has_failed, Reverse(node.role == Role::Server), node.place)
        };
        let (peer, node) = self.nodes.iter_mut().filter(ready).min_by_key(rank)?;
        node.is_in_flight = true;
        let addresses = std::mem::take(&mut node.addresses);
        node.tried.extend(addresses.iter().cloned());
        Some(Candidate { peer: *peer, addresses, source: node.source })
    }

    /// A dial ended without success: the node may be tried again at other addresses.
    pub(crate) fn failed(&mut self, peer: &PeerId) {
        if let Some(node) = self.nodes.get_mut(peer) {
            node.is_in_flight = false;
            node.has_failed = true;
        }
    }

    /// A node that did not answer may be tried once more at the same addresses.
    pub(crate) fn offer_again(&mut self, candidate: &Candidate) {
        if let Some(node) = self.nodes.get_mut(&candidate.peer) {
            node.tried.retain(|address| !candidate.addresses.contains(address));
            node.addresses.extend(candidate.addresses.iter().cloned());
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What was offered in place of what is needed; `None` if nobody was turned down.
    pub(crate) fn turned_down(&self) -> Option<Vec<String>> {
        (self.nodes.is_empty() && self.found > 0).then(|| self.offered.clone())
    }
}

const MAX_OFFERED: usize = 32;

#[cfg(test)]
mod tests {
    use netcom_identity::{SecretKey, Service};

    use super::*;

    fn peer(seed: u8) -> PeerId {
        SecretKey::from_bytes(&[seed; 32]).peer_id()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn finding<'a>(seed: u8, addresses: &'a [Multiaddr]) -> Finding<'a> {
        Finding {
            peer: peer(seed),
            addresses,
            role: Role::Peer,
            offer: None,
            has_failed: false,
            source: "host",
        }
    }

    fn order(candidates: &mut Candidates, failed_too: bool) -> Vec<PeerId> {
        std::iter::from_fn(|| candidates.next(failed_too)).map(|c| c.peer).collect()
    }

    #[test]
    fn servers_come_first_and_who_failed_lately_last() {
        let mut candidates = Candidates::default();
        let at = [address(1)];
        candidates.offer(&Finding { has_failed: true, ..finding(1, &at) }, &Needs::default());
        candidates.offer(&finding(2, &at), &Needs::default());
        candidates.offer(&finding(3, &at), &Needs::default());
        candidates.offer(&Finding { role: Role::Server, ..finding(4, &at) }, &Needs::default());
        assert_eq!(order(&mut candidates, false), [peer(4), peer(2), peer(3)]);
        assert_eq!(order(&mut candidates, true), [peer(1)]);
        assert_eq!(candidates.len(), 4);
    }

    #[test]
    fn a_node_is_dialled_once_at_a_time_and_at_no_address_twice() {
        let mut candidates = Candidates::default();
        candidates.offer(&finding(1, &[address(1)]), &Needs::default());
        assert_eq!(candidates.next(true).unwrap().addresses, [address(1)]);
        candidates.offer(&finding(1, &[address(1), address(2)]), &Needs::default());
        assert_eq!(candidates.next(true), None, "in flight");
        candidates.failed(&peer(1));
        assert_eq!(candidates.next(false), None, "it failed just now");
        assert_eq!(candidates.next(true).unwrap().addresses, [address(2)]);
        candidates.failed(&peer(1));
        assert_eq!(candidates.next(true), None, "nothing left");
        let again = Candidate { peer: peer(1), addresses: vec![address(2)], source: "host" };
        candidates.offer_again(&again);
        assert_eq!(candidates.next(true), Some(again));
    }

    #[test]
    fn nodes_without_what_is_needed_are_not_dialled_and_what_they_offer_is_told() {
        let mut candidates = Candidates::default();
        let at = [address(1)];
        let offer = |name, region| {
            let mut offer = Offer::default();
            offer.services.push(Service::new(name, ["1"]).unwrap());
            offer.metadata.insert("region", region).unwrap();
            offer
        };
        let (chat, mail, far) = (offer("chat", "eu"), offer("mail", "eu"), offer("mail", "us"));
        let mut needs = Needs { service: Some("mail".to_owned()), ..Needs::default() };
        candidates.offer(&Finding { offer: Some(&chat), ..finding(1, &at) }, &needs);
        assert_eq!(candidates.turned_down().unwrap(), ["chat (1)", "region=eu"]);
        assert_eq!(candidates.next(true), None);
        needs.metadata.push(("region".to_owned(), "eu".to_owned()));
        candidates.offer(&Finding { offer: Some(&far), ..finding(2, &at) }, &needs);
        candidates.offer(&finding(3, &at), &needs);
        assert_eq!(candidates.next(true), None, "elsewhere, or not said");
        candidates.offer(&Finding { offer: Some(&mail), ..finding(3, &at) }, &needs);
        assert_eq!(candidates.turned_down(), None);
        assert_eq!(order(&mut candidates, true), [peer(3)]);
    }
}
