//! Hosts' addresses, the paths between them, and what is wrong with either.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use netcom_session::{LinkKind, Time};

use crate::{Cause, Fate, Loss, Path, PathSpec, Random};

/// A machine of the network, by its number from 0 on.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub usize);

/// Where packets go: one of a host's cards, for as long as it keeps the address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// Whose it is.
    pub host: HostId,
    /// The card's number, from 0 on.
    pub card: usize,
    /// How often the card's address had changed before.
    pub lease: u32,
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing passes between these hosts and all others.
    Apart(BTreeSet<HostId>),
    /// Nothing passes in this direction, while the other one works.
    OneWay {
        /// Whose packets vanish.
        from: HostId,
        /// Whom they do not reach.
        to: HostId,
    },
    /// Nothing of one protocol passes between two hosts.
    Blocked {
        /// One of them.
        one: HostId,
        /// The other.
        other: HostId,
        /// TCP or QUIC.
        kind: LinkKind,
    },
    /// A card's cable is out.
    Unplugged {
        /// Whose card.
        host: HostId,
        /// Which one.
        card: usize,
    },
    /// The path in one direction is another one than usual.
    Poor {
        /// Whose packets take it.
        from: HostId,
        /// Where they go.
        to: HostId,
        /// What it is like.
        spec: PathSpec,
    },
}

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Lost {
    /// The path lost it.
    Path(Cause),
    /// A [`Fault`] stopped it.
    Fault,
    /// The address it was sent from or to is nobody's any more.
    Address,
    /// The host slept.
    Asleep,
    /// Nobody is there: the host is off.
    Off,
}

/// All hosts' addresses and the paths between them.
#[derive(Debug)]
pub struct Network {
    /// The leases of each host's cards.
    leases: Vec<Vec<u32>>,
    usual: PathSpec,
    /// Paths that are not the usual one, by host.
    specs: BTreeMap<(HostId, HostId), PathSpec>,
    /// By host and card, made when they are first used.
    paths: BTreeMap<[(HostId, usize); 2], Path>,
    faults: BTreeMap<u64, Fault>,
    lost: BTreeMap<Lost, u64>,
    carried: u64,
}

impl Network {
    /// Joins hosts with so many cards each by paths of one kind.
    pub(super) fn new(cards: impl IntoIterator<Item = usize>, usual: PathSpec) -> Self {
        Self {
            leases: cards.into_iter().map(|count| vec![0; count]).collect(),
            usual,
            specs: BTreeMap::new(),
            paths: BTreeMap::new(),
            faults: BTreeMap::new(),
            lost: BTreeMap::new(),
            carried: 0,
        }
    }

    /// Sets what the path in one direction is like, over all cards.
    pub fn set_path(&mut self, from: HostId, to: HostId, spec: PathSpec) {
        self.specs.insert((from, to), spec);
        self.renew_paths(from, to);
    }

    /// Starts something that goes wrong, under a number to end it by.
    pub(super) fn begin(&mut self, number: u64, fault: Fault) {
        let poor = fault.poor_path();
        self.faults.insert(number, fault);
        if let Some((from, to)) = poor {
            self.renew_paths(from, to);
        }
    }

    /// Ends it. Returns whether it went on until now.
    pub(super) fn end(&mut self, number: u64) -> bool {
        let ended = self.faults.remove(&number);
        if let Some((from, to)) = ended.as_ref().and_then(Fault::poor_path) {
            self.renew_paths(from, to);
        }
        ended.is_some()
    }

    /// Gives a card another address.
    pub(super) fn change_address(&mut self, host: HostId, card: usize) {
        if let Some(lease) = self.leases.get_mut(host.0).and_then(|cards| cards.get_mut(card)) {
            *lease += 1;
        }
    }

    /// Decides about a packet that is sent now: when it arrives and, if it does, once more.
    pub(super) fn carry(
        &mut self,
        [from, to]: [Address; 2],
        kind: LinkKind,
        bytes: usize,
        now: Time,
        random: &mut Random,
    ) -> Result<(Time, Option<Time>), Lost> {
        if !self.is_current(from) {
            return Err(Lost::Address);
        }
        if self.faults.values().any(|fault| fault.stops(from, to, kind)) {
            return Err(Lost::Fault);
        }
        let spec = self.spec(from.host, to.host);
        let ends = [(from.host, from.card), (to.host, to.card)];
        let path = self.paths.entry(ends).or_insert_with(|| Path::new(spec));
        match path.pass(bytes, Duration::from_nanos(now.0), random) {
            Fate::Lost(cause) => Err(Lost::Path(cause)),
            Fate::Arrives { at, again } => {
                self.carried += 1;
                Ok((time(at), again.map(time)))
            }
        }
    }

    /// Counts a packet that did not arrive.
    pub(super) fn count_lost(&mut self, cause: Lost) {
        *self.lost.entry(cause).or_default() += 1;
    }

    /// The addresses of a host.
    pub fn addresses(&self, host: HostId) -> impl Iterator<Item = Address> + '_ {
        let leases = self.leases.get(host.0).into_iter().flatten().enumerate();
        leases.map(move |(card, lease)| Address { host, card, lease: *lease })
    }

    /// The address that the card has now.
    pub(super) fn renewed(&self, address: Address) -> Address {
        let lease = self.leases.get(address.host.0).and_then(|cards| cards.get(address.card));
        Address { lease: lease.copied().unwrap_or(address.lease), ..address }
    }

    /// Whether somebody has that address.
    #[must_use]
    pub fn is_current(&self, address: Address) -> bool {
        self.renewed(address) == address
    }

    /// How many packets did not arrive, by cause.
    #[must_use]
    pub fn lost(&self) -> &BTreeMap<Lost, u64> {
        &self.lost
    }

    /// How many packets went on a path and were not lost there.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried
    }

    /// Whether a path between two hosts may lose something again and again when nothing is wrong.
    pub(super) fn is_lossy(&self, one: HostId, other: HostId) -> bool {
        let is_lossy = |from, to| match self.specs.get(&(from, to)).unwrap_or(&self.usual).loss {
            Loss::None => false,
            Loss::Independent(share) => share > HARMLESS,
            // Where little is sent, a burst outlasts whatever is sent again.
            Loss::Bursts { .. } => true,
        };
        is_lossy(one, other) || is_lossy(other, one)
    }

    /// What the path is like at present.
    fn spec(&self, from: HostId, to: HostId) -> PathSpec {
        let poor = self.faults.values().rev().find_map(|fault| match fault {
            Fault::Poor { from: f, to: t, spec } if (*f, *t) == (from, to) => Some(*spec),
            _ => None,
        });
        let usual = || self.specs.get(&(from, to)).copied().unwrap_or(self.usual);
        poor.unwrap_or_else(usual)
    }

    fn renew_paths(&mut self, from: HostId, to: HostId) {
        let spec = self.spec(from, to);
        for ([(f, _), (t, _)], path) in &mut self.paths {
            if (*f, *t) == (from, to) {
                path.set(spec);
            }
        }
    }
}

impl Fault {
    /// Whether packets between the two may be lost or late because of it.
    pub(super) fn concerns(&self, one: HostId, other: HostId) -> bool {
        let is_pair = |a: HostId, b: HostId| (a, b) == (one, other) || (a, b) == (other, one);
        match self {
            Self::Apart(hosts) => hosts.contains(&one) != hosts.contains(&other),
            Self::OneWay { from, to } | Self::Poor { from, to, .. } => is_pair(*from, *to),
            Self::Blocked { one, other, .. } => is_pair(*one, *other),
            Self::Unplugged { host, .. } => [one, other].contains(host),
        }
    }

    fn stops(&self, from: Address, to: Address, kind: LinkKind) -> bool {
        match self {
            Self::Apart(hosts) => hosts.contains(&from.host) != hosts.contains(&to.host),
            Self::OneWay { from: f, to: t } => (*f, *t) == (from.host, to.host),
            Self::Blocked { kind: blocked, .. } => {
                kind == *blocked && self.concerns(from.host, to.host)
            }
            Self::Unplugged { host, card } => {
                [from, to].iter().any(|end| (end.host, end.card) == (*host, *card))
            }
            Self::Poor { .. } => false,
        }
    }

    fn poor_path(&self) -> Option<(HostId, HostId)> {
        match self {
            Self::Poor { from, to, .. } => Some((*from, *to)),
            _ => None,
        }
    }
}

fn time(at: Duration) -> Time {
    Time(0) + at
}

/// The share of losses at which nobody will ever see as many in a row as end a link.
const HARMLESS: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);
    const DELAY: Duration = Duration::from_millis(20);

    fn network() -> Network {
        Network::new([1, 2], PathSpec::new(DELAY))
    }

    fn address(network: &Network, host: HostId, card: usize) -> Address {
        network.addresses(host).nth(card).expect("the card is there")
    }

    /// Whether a packet passes each way, from A's only card to a card of B.
    fn passes(network: &mut Network, card: usize, kind: LinkKind) -> [bool; 2] {
        let ends = [address(network, A, 0), address(network, B, card)];
        [ends, [ends[1], ends[0]]]
            .map(|ends| network.carry(ends, kind, 100, Time(0), &mut Random::new(1)).is_ok())
    }

    #[test]
    fn faults_stop_what_they_are_about_until_they_end() {
        let (tcp, quic) = (LinkKind::Tcp, LinkKind::Quic);
        let none = [false, false];
        for (fault, over_tcp, over_quic, over_the_other_card) in [
            (Fault::Apart(BTreeSet::from([B])), none, none, none),
            (Fault::OneWay { from: A, to: B }, [false, true], [false, true], [false, true]),
            (Fault::Blocked { one: B, other: A, kind: tcp }, none, [true; 2], none),
            (Fault::Unplugged { host: B, card: 0 }, none, none, [true; 2]),
        ] {
            let mut network = network();
            network.begin(7, fault.clone());
            assert_eq!(passes(&mut network, 0, tcp), over_tcp, "{fault:?}");
            assert_eq!(passes(&mut network, 0, quic), over_quic, "{fault:?}");
            assert_eq!(passes(&mut network, 1, tcp), over_the_other_card, "{fault:?}");
            assert!(fault.concerns(A, B) && fault.concerns(B, A));
            assert!(network.end(7) && !network.end(7));
            assert_eq!(passes(&mut network, 0, tcp), [true; 2], "{fault:?}");
        }
    }

    #[test]
    fn a_poor_path_is_poor_in_its_direction_and_ends_as_it_was() {
        let mut network = network();
        let ends = [address(&network, A, 0), address(&network, B, 0)];
        let mut sent = Time(0);
        let mut delays = |network: &mut Network| {
            // Later than whatever is on its way, which is not overtaken.
            sent = sent + DELAY * 10;
            [ends, [ends[1], ends[0]]].map(|ends| {
                let carried = network.carry(ends, LinkKind::Tcp, 100, sent, &mut Random::new(1));
                carried.expect("nothing is lost").0 - sent
            })
        };
        assert_eq!(delays(&mut network), [DELAY; 2]);
        network.begin(1, Fault::Poor { from: A, to: B, spec: PathSpec::new(DELAY * 3) });
        assert_eq!(delays(&mut network), [DELAY * 3, DELAY]);
        network.set_path(A, B, PathSpec::new(DELAY * 2));
        assert_eq!(delays(&mut network), [DELAY * 3, DELAY]);
        network.end(1);
        assert_eq!(delays(&mut network), [DELAY * 2, DELAY]);
    }

    #[test]
    fn an_address_that_changed_sends_and_is_nobodys() {
        let mut network = network();
        let (old, other) = (address(&network, B, 1), address(&network, A, 0));
        network.change_address(B, 1);
        assert!(!network.is_current(old) && network.is_current(network.renewed(old)));
        let mut carry = |ends| network.carry(ends, LinkKind::Tcp, 9, Time(0), &mut Random::new(1));
        assert_eq!(carry([old, other]), Err(Lost::Address));
        assert_eq!(carry([other, old]), Ok((Time(0) + DELAY, None)), "it is lost on arrival");
    }
}
