//! The mDNS machine: packets and time go in, packets and findings come out. No socket, no clock.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use netcom_identity::{Multiaddr, PeerId, UnixTime};

use super::{
    address,
    cache::{Cache, Heard},
    codec::{self, Announcement, Instance, Message},
};
use crate::source::{Found, Query};

/// Speaks libp2p's mDNS on a set of links.
///
/// The caller feeds it with [`State::handle_packet`] and [`State::handle_timeout`] and drains
/// [`State::poll_transmit`], [`State::poll_found`] and [`State::poll_timeout`].
#[derive(Debug)]
pub struct State {
    links: BTreeMap<LinkKey, Link>,
    cache: Cache,
    own: Option<Own>,
    next_query: Option<Instant>,
    last_query: Option<Instant>,
    interval: Duration,
    transmits: VecDeque<Transmit>,
    found: VecDeque<Found>,
    random: Random,
    stats: Stats,
}

/// A moment, on the monotonic clock and on the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub instant: Instant,
    /// For what records say about their validity.
    pub unix: UnixTime,
}

/// One address family on one interface, by a number the caller chooses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LinkKey(pub u128);

/// What the machine has to know of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkSpec {
    /// The interface's own addresses with their prefix lengths; only packets from there, or from
    /// link-local addresses, are believed.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Whether the link leads to this host only.
    pub is_loopback: bool,
}

/// A packet to send to the link's multicast group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// Where to send it.
    pub link: LinkKey,
    /// The whole UDP payload, at most 1,200 bytes.
    pub packet: Vec<u8>,
}

/// What the machine has counted since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets handled.
    pub packets: u64,
    /// Packets that came from another network and were dropped.
    pub off_link: u64,
    /// Packets that could not be read.
    pub malformed: u64,
    /// Signatures that were checked.
    pub checked: u64,
    /// Signed records that were refused: forged, expired, or too many at once.
    pub rejected: u64,
    /// Signed records that were accepted as new.
    pub records: u64,
    /// Questions sent, counted once for all links.
    pub queries: u64,
    /// Answers sent, counted once per link.
    pub answers: u64,
    /// Peers known now.
    pub peers: usize,
}

#[derive(Debug)]
struct Link {
    spec: LinkSpec,
    last_answer: Option<Instant>,
    answer_due: Option<Instant>,
    announcements: u8,
}

/// What this node says about itself.
#[derive(Debug)]
struct Own {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    record: Vec<u8>,
    instance: Instance,
}

/// The shortest time between two answers on a link (RFC 6762 section 6).
pub const ANSWER_INTERVAL: Duration = Duration::from_secs(1);
/// The first pause between questions; each next one is twice as long.
pub const FIRST_QUERY_INTERVAL: Duration = Duration::from_millis(500);
/// The longest pause between questions.
pub const LAST_QUERY_INTERVAL: Duration = Duration::from_secs(300);
/// The most links that are served; more are ignored.
pub const MAX_LINKS: usize = 64;

/// New data is announced twice, lest a lost packet hides it (RFC 6762 section 8.3).
const ANNOUNCEMENTS: u8 = 2;
/// Answers that many nodes may give wait 20 to 120 ms (RFC 6762 section 6).
const ANSWER_DELAY_MILLIS: std::ops::Range<u64> = 20..120;
const MAX_TRANSMITS: usize = 1_024;
const MAX_FOUND: usize = 1_024;
const INSTANCE_LENGTH: usize = 32;

impl State {
    /// Makes a machine without links. The seed has to differ between nodes; it is no secret.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            cache: Cache::new(),
            own: None,
            next_query: None,
            last_query: None,
            interval: FIRST_QUERY_INTERVAL,
            transmits: VecDeque::new(),
            found: VecDeque::new(),
            random: Random(seed),
            stats: Stats::default(),
        }
    }

    /// Replaces the set of links. A new link is asked and told at once, changed ones keep their
    /// rate limits. Links beyond [`MAX_LINKS`] are ignored.
    pub fn set_links(&mut self, links: impl IntoIterator<Item = (LinkKey, LinkSpec)>, now: Now) {
        let mut old = std::mem::take(&mut self.links);
        let mut is_new = false;
        for (key, spec) in links.into_iter().take(MAX_LINKS) {
            let link = match old.remove(&key) {
                Some(link) => Link { spec, ..link },
                None => {
                    is_new = true;
                    Link { spec, last_answer: None, answer_due: None, announcements: 0 }
                }
            };
            self.links.insert(key, link);
        }
        if is_new {
            self.restart_queries(now);
            self.announce(now);
        }
    }

    /// Starts to present this node, or replaces what was presented before. Only addresses that
    /// mean something on a link are told there, and the encoded `record` to everyone.
    pub fn publish(&mut self, peer: PeerId, addresses: &[Multiaddr], record: Vec<u8>, now: Now) {
        let instance = Instance::new(&self.random.label(INSTANCE_LENGTH));
        self.own = Some(Own { peer, addresses: addresses.to_vec(), record, instance });
        self.announce(now);
    }

    /// Stops presenting this node and says goodbye.
    pub fn withdraw(&mut self) {
        let keys: Vec<_> = self.links.keys().copied().collect();
        for key in keys {
            self.answer(key, 0);
        }
        self.own = None;
        for link in self.links.values_mut() {
            link.answer_due = None;
            link.announcements = 0;
        }
    }

    /// Begins a lookup: returns what is known already and asks all links, at once unless that was
    /// done a moment ago.
    pub fn start_lookup(&mut self, query: &Query, now: Now) -> Vec<Found> {
        self.restart_queries(now);
        self.cache.answers(query, now)
    }

    /// Takes a packet from the link's multicast group.
    pub fn handle_packet(&mut self, key: LinkKey, source: IpAddr, packet: &[u8], now: Now) {
        self.stats.packets += 1;
        let Some(link) = self.links.get(&key) else { return };
        if !address::is_on_link(source, &link.spec.prefixes) {
            self.stats.off_link += 1;
            return;
        }
        match codec::decode(packet) {
            Ok(None) => {}
            Ok(Some(Message::Query { known })) => self.handle_query(key, &known, now),
            Ok(Some(Message::Response(announcements))) => {
                let is_loopback = link.spec.is_loopback;
                for announcement in announcements {
                    self.handle_announcement(key, source, is_loopback, announcement, now);
                }
            }
            Err(_) => self.stats.malformed += 1,
        }
    }

    /// Does what is due: questions, answers, announcements.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.next_query.is_some_and(|due| due <= now.instant) {
            self.send_query(now);
        }
        let due: Vec<_> = self.links.iter().filter(|(_, link)| link.is_due(now.instant)).collect();
        let due: Vec<_> = due.into_iter().map(|(key, _)| *key).collect();
        for key in due {
            self.answer(key, codec::TTL);
            if let Some(link) = self.links.get_mut(&key) {
                link.answered(now.instant);
            }
        }
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next piece of news about a peer.
    pub fn poll_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// When [`State::handle_timeout`] has to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.links.values().filter_map(|link| link.answer_due);
        answers.chain(self.next_query).min()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            checked: self.cache.checked(),
            rejected: self.cache.rejected(),
            peers: self.cache.peers(),
            ..self.stats
        }
    }

    fn handle_query(&mut self, key: LinkKey, known: &[Instance], now: Now) {
        if self.own.as_ref().is_none_or(|own| known.contains(&own.instance)) {
            return;
        }
        let delay = Duration::from_millis(self.random.within(ANSWER_DELAY_MILLIS));
        if let Some(link) = self.links.get_mut(&key) {
            link.schedule(now.instant + delay);
        }
    }

    fn handle_announcement(
        &mut self,
        key: LinkKey,
        source: IpAddr,
        is_loopback: bool,
        announcement: Announcement,
        now: Now,
    ) {
        if self.own.as_ref().is_some_and(|own| own.instance == announcement.instance) {
            return;
        }
        let heard = Heard { link: key, source, now };
        let Announcement { instance, ttl, hint, chunks } = announcement;
        if ttl == 0 {
            self.cache.forget(&instance, hint.map(|(peer, _)| peer).as_ref(), source);
            return;
        }
        if let Some(record) = self.cache.take_chunks(&instance, ttl, chunks, &heard)
            && !self.is_own(record.peer_id())
        {
            self.stats.records += 1;
            self.report(Found::Record(record));
        }
        if let Some((peer, mut addresses)) = hint
            && !self.is_own(&peer)
        {
            addresses.retain(|address| address::fits_link(address, is_loopback));
            if let Some(hint) = self.cache.take_hint(peer, addresses, ttl, &heard) {
                self.report(hint);
            }
        }
    }

    fn is_own(&self, peer: &PeerId) -> bool {
        self.own.as_ref().is_some_and(|own| own.peer == *peer)
    }

    fn report(&mut self, found: Found) {
        if self.found.len() == MAX_FOUND {
            self.found.pop_front();
        }
        self.found.push_back(found);
    }

    /// Asks at once and then ever less often. Two lookups in quick succession share a question.
    fn restart_queries(&mut self, now: Now) {
        self.interval = FIRST_QUERY_INTERVAL;
        let earliest = self.last_query.map_or(now.instant, |last| last + FIRST_QUERY_INTERVAL);
        self.next_query = Some(earliest.max(now.instant));
    }

    fn send_query(&mut self, now: Now) {
        let packet = codec::encode_query(self.cache.known_answers(now));
        let keys: Vec<_> = self.links.keys().copied().collect();
        for link in keys {
            self.transmit(Transmit { link, packet: packet.clone() });
        }
        self.stats.queries += 1;
        self.last_query = Some(now.instant);
        self.next_query = Some(now.instant + self.interval);
        self.interval = (self.interval * 2).min(LAST_QUERY_INTERVAL);
    }

    fn announce(&mut self, now: Now) {
        if self.own.is_none() {
            return;
        }
        for link in self.links.values_mut() {
            link.announcements = ANNOUNCEMENTS;
            link.schedule(now.instant);
        }
    }

    fn answer(&mut self, key: LinkKey, ttl: u32) {
        let (Some(own), Some(link)) = (&self.own, self.links.get(&key)) else { return };
        let fits = |address: &&Multiaddr| address::fits_link(address, link.spec.is_loopback);
        let addresses: Vec<_> = own.addresses.iter().filter(fits).cloned().collect();
        let packets = codec::encode_answer(&own.instance, ttl, &own.peer, &addresses, &own.record);
        self.stats.answers += 1;
        for packet in packets {
            self.transmit(Transmit { link: key, packet });
        }
    }

    /// Queues a packet. Where the caller does not drain, the oldest packets go.
    fn transmit(&mut self, transmit: Transmit) {
        if self.transmits.len() == MAX_TRANSMITS {
            self.transmits.pop_front();
        }
        self.transmits.push_back(transmit);
    }
}

impl Link {
    fn schedule(&mut self, wanted: Instant) {
        let earliest = self.last_answer.map_or(wanted, |last| wanted.max(last + ANSWER_INTERVAL));
        self.answer_due = Some(self.answer_due.map_or(earliest, |due| due.min(earliest)));
    }

    fn is_due(&self, now: Instant) -> bool {
        self.answer_due.is_some_and(|due| due <= now)
    }

    fn answered(&mut self, now: Instant) {
        self.last_answer = Some(now);
        self.announcements = self.announcements.saturating_sub(1);
        self.answer_due = (self.announcements > 0).then(|| now + ANSWER_INTERVAL);
    }
}

/// SplitMix64: spreads answers in time and names instances; nothing here is a secret.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    fn label(&mut self, length: usize) -> String {
        let digit = |number: u64| char::from_digit((number % 36) as u32, 36).unwrap_or('0');
        (0..length).map(|_| digit(self.next() >> 8)).collect()
    }
}

#[cfg(test)]
mod tests;
