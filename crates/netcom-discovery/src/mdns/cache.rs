//! What was heard on the links: signed records, unsigned hints, and records still in pieces.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use netcom_identity::{Multiaddr, NodeRecord, PeerId};

use super::{
    codec::{Chunk, Instance, MAX_ADDRESSES, TTL},
    lru::Lru,
    state::{LinkKey, Now},
};
use crate::source::{Found, Query, VerifiedRecord};

/// Records and hints in separate tables, so that a flood of unsigned hints, which cost nothing to
/// make, cannot push out what was proven.
#[derive(Debug)]
pub(crate) struct Cache {
    records: Lru<PeerId, Signed>,
    hints: Lru<PeerId, Hint>,
    pieces: Lru<(LinkKey, Instance), Pieces>,
    budget: Budget,
    rejected: u64,
}

/// Where and when something was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) link: LinkKey,
    pub(crate) source: IpAddr,
    pub(crate) now: Now,
}

#[derive(Debug)]
struct Signed {
    record: VerifiedRecord,
    encoded: Vec<u8>,
    instance: Instance,
    source: IpAddr,
    expires: Instant,
}

#[derive(Debug)]
struct Hint {
    source: IpAddr,
    addresses: Vec<(Multiaddr, Instant)>,
}

#[derive(Debug)]
struct Pieces {
    chunks: Vec<Option<Vec<u8>>>,
    expires: Instant,
}

/// Limits the signatures checked per second, so that a flood of forgeries costs little.
#[derive(Debug)]
struct Budget {
    left: f64,
    since: Option<Instant>,
    spent: u64,
}

pub(crate) const MAX_PEERS: usize = 1_024;
pub(crate) const MAX_PIECES: usize = 64;

/// The longest validity that is believed of others, who may be less modest than we are.
const MAX_TTL: u32 = 600;
const PIECES_TIMEOUT: Duration = Duration::from_secs(5);
const CHECKS_PER_SECOND: f64 = 256.0;
const CHECKS_AT_ONCE: f64 = 1_024.0;

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            records: Lru::new(MAX_PEERS),
            hints: Lru::new(MAX_PEERS),
            pieces: Lru::new(MAX_PIECES),
            budget: Budget { left: CHECKS_AT_ONCE, since: None, spent: 0 },
            rejected: 0,
        }
    }

    /// Adds pieces of a record and returns it once it is complete, proven and news.
    pub(crate) fn take_chunks(
        &mut self,
        instance: &Instance,
        ttl: u32,
        chunks: Vec<Chunk>,
        heard: &Heard,
    ) -> Option<VerifiedRecord> {
        let count = usize::from(chunks.first()?.count);
        let now = heard.now.instant;
        let key = (heard.link, instance.clone());
        let expires = now + PIECES_TIMEOUT;
        let pieces = self.pieces.touch(&key, || Pieces::new(count, expires));
        if pieces.chunks.len() != count || pieces.expires <= now {
            *pieces = Pieces::new(count, expires);
        }
        for chunk in chunks {
            if let Some(slot) = pieces.chunks.get_mut(usize::from(chunk.index)) {
                *slot = Some(chunk.bytes);
            }
        }
        let encoded = pieces.chunks.iter().cloned().collect::<Option<Vec<_>>>()?.concat();
        self.pieces.remove(&key);
        self.take_record(instance, ttl, encoded, heard)
    }

    /// Takes unsigned addresses, which are returned where they are news and nothing better is
    /// known.
    pub(crate) fn take_hint(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        ttl: u32,
        heard: &Heard,
    ) -> Option<Found> {
        let now = heard.now.instant;
        if addresses.is_empty() || self.records.get(&peer).is_some_and(|known| known.expires > now)
        {
            return None;
        }
        let hint = self.hints.touch(&peer, || Hint { source: heard.source, addresses: Vec::new() });
        hint.source = heard.source;
        hint.addresses.retain(|(_, expires)| *expires > now);
        let expires = now + lifetime(ttl);
        let mut is_news = false;
        for address in addresses {
            if let Some((_, known)) = hint.addresses.iter_mut().find(|(a, _)| *a == address) {
                *known = expires;
                continue;
            }
            is_news = true;
            if hint.addresses.len() == MAX_ADDRESSES {
                hint.addresses.remove(0);
            }
            hint.addresses.push((address, expires));
        }
        is_news.then(|| hint.found(peer, now))
    }

    /// Forgets a peer that said goodbye, if the goodbye comes from where the peer was heard.
    pub(crate) fn forget(&mut self, instance: &Instance, peer: Option<&PeerId>, source: IpAddr) {
        self.records.retain(|_, known| known.instance != *instance || known.source != source);
        if let Some(peer) = peer
            && self.hints.get(peer).is_some_and(|known| known.source == source)
        {
            self.hints.remove(peer);
        }
    }

    /// Everything known that answers a query.
    pub(crate) fn answers(&self, query: &Query, now: Now) -> Vec<Found> {
        let alive = |known: &&Signed| known.expires > now.instant;
        let answers = |found: &Found| found.answers(query, now.unix);
        let signed = |known: &Signed| Found::Record(known.record.clone());
        match query {
            Query::Peer(peer) => {
                let record = self.records.get(peer).filter(alive).map(signed);
                let hint = || self.hints.get(peer).map(|hint| hint.found(*peer, now.instant));
                record.or_else(hint).into_iter().filter(answers).collect()
            }
            Query::NetId(_) => {
                let known = self.records.iter().map(|(_, known)| known).filter(alive);
                known.map(signed).filter(answers).collect()
            }
        }
    }

    /// The instances that need not answer a question, with the seconds they stay known.
    pub(crate) fn known_answers(&self, now: Now) -> impl Iterator<Item = (&Instance, u32)> {
        self.records.iter().filter_map(move |(_, known)| {
            let left = known.expires.saturating_duration_since(now.instant).as_secs();
            let left = u32::try_from(left).ok()?.min(TTL);
            (left > TTL / 2 && known.record.is_valid(now.unix)).then_some((&known.instance, left))
        })
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The signatures that were checked.
    pub(crate) fn checked(&self) -> u64 {
        self.budget.spent
    }

    pub(crate) fn peers(&self) -> usize {
        self.records.len() + self.hints.len()
    }

    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.records.len(), self.hints.len(), self.pieces.len())
    }

    fn take_record(
        &mut self,
        instance: &Instance,
        ttl: u32,
        encoded: Vec<u8>,
        heard: &Heard,
    ) -> Option<VerifiedRecord> {
        let now = heard.now;
        let expires = now.instant + lifetime(ttl);
        let known = self.records.iter().find(|(_, known)| known.encoded == encoded);
        if let Some(peer) = known.map(|(peer, _)| *peer) {
            if let Some(known) = self.records.refresh(&peer) {
                known.expires = expires;
            }
            return None;
        }
        let decoded = self.budget.spend(now.instant).then(|| NodeRecord::decode(&encoded).ok());
        let checked =
            decoded.flatten().and_then(|record| VerifiedRecord::check(record, now.unix).ok());
        let Some(record) = checked else {
            self.rejected += 1;
            return None;
        };
        let peer = *record.peer_id();
        let known = self.records.get(&peer).filter(|known| known.expires > now.instant);
        if known.is_some_and(|known| !record.is_newer_than(&known.record)) {
            return None;
        }
        let signed = Signed {
            record: record.clone(),
            encoded,
            instance: instance.clone(),
            source: heard.source,
            expires,
        };
        self.records.insert(&peer, signed);
        self.hints.remove(&peer);
        Some(record)
    }
}

impl Pieces {
    fn new(count: usize, expires: Instant) -> Self {
        Self { chunks: vec![None; count], expires }
    }
}

impl Hint {
    fn found(&self, peer: PeerId, now: Instant) -> Found {
        let alive = self.addresses.iter().filter(|(_, expires)| *expires > now);
        Found::Hint { peer, addresses: alive.map(|(address, _)| address.clone()).collect() }
    }
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        let passed =
            self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.since = Some(now);
        self.left = (self.left + passed.as_secs_f64() * CHECKS_PER_SECOND).min(CHECKS_AT_ONCE);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
            self.spent += 1;
        }
        may
    }
}

fn lifetime(ttl: u32) -> Duration {
    Duration::from_secs(u64::from(ttl.min(MAX_TTL)))
}
