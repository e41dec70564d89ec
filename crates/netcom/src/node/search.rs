//! The race to a node: look, dial the best ones, take the first that proves who it is.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use netcom_discovery::{Finding as News, Found, Lookup, Query};
use netcom_identity::{Multiaddr, NetId, PeerId, RepresentationError, Role, Target};
use netcom_session::LinkKind;
use netcom_transport::{Attempt, DialError, DialOptions, Link};
use tokio::time::{Instant, sleep_until};

use super::{
    candidates::{Candidate, Candidates, Finding},
    connect::{Options, Wanted, timed_out},
    needs::Offer,
    shared::Shared,
};
use crate::error::{ConnectError, reasons};

/// One search for a node.
pub(crate) struct Search<'a> {
    node: &'a Arc<Shared>,
    wanted: &'a Wanted,
    options: &'a Options,
    deadline: Instant,
    candidates: Candidates,
    dials: FuturesUnordered<BoxFuture<'a, (Candidate, Result<Link, Failure>)>>,
    failures: Vec<Failure>,
    /// Before this moment no dial begins, so that the best node can be found first.
    dial_from: Instant,
    /// Before this moment nodes that failed lately wait for better ones.
    failed_from: Instant,
}

/// An authenticated link to a node that is wanted.
pub(crate) struct Won {
    pub(crate) link: Link,
    pub(crate) peer: PeerId,
    /// Why this node.
    pub(crate) reason: String,
}

/// Why a node was not it.
#[derive(Debug)]
enum Failure {
    Dial { peer: PeerId, error: DialError },
    NotRepresented { peer: PeerId, netid: NetId, source: RepresentationError },
}

impl Failure {
    /// Whether nobody answered for that node, which refuses nothing.
    fn is_silence_of(&self, peer: &PeerId) -> bool {
        matches!(self, Self::Dial { peer: of, error: DialError::Timeout { .. } } if of == peer)
    }
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        node: &'a Arc<Shared>,
        wanted: &'a Wanted,
        options: &'a Options,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        Self {
            node,
            wanted,
            options,
            deadline,
            candidates: Candidates::default(),
            dials: FuturesUnordered::new(),
            failures: Vec::new(),
            dial_from: now,
            failed_from: now + FAILED_DELAY,
        }
    }

    pub(crate) async fn run(mut self) -> Result<Won, ConnectError> {
        let node = self.node;
        let mut lookup = self.query().map(|query| {
            let left = self.deadline.saturating_duration_since(Instant::now());
            node.discovery.lookup(query, self.options.lookup.min(left))
        });
        self.offer_known();
        loop {
            self.dial_more(lookup.is_none());
            if lookup.is_none() && self.dials.is_empty() {
                return Err(self.judge());
            }
            let next_dial = self.next_dial();
            tokio::select! {
                biased;
                news = next_news(&mut lookup) => match news {
                    Some(news) => self.take_news(&news),
                    None => lookup = None,
                },
                Some((candidate, dialled)) = self.dials.next(), if !self.dials.is_empty() => {
                    match dialled {
                        Ok(link) => return Ok(self.won(candidate, link)),
                        Err(failure) => self.failed(&candidate, failure),
                    }
                }
                () = sleep_until(next_dial) => {}
                () = sleep_until(self.deadline) => return Err(self.judge_late()),
            }
        }
    }

    fn query(&self) -> Option<Query> {
        match (self.wanted.peer, self.wanted.netid) {
            (Some(peer), _) => Some(Query::Peer(peer)),
            (None, Some(netid)) => Some(Query::NetId(netid)),
            (None, None) => None,
        }
    }

    /// Offers what is known without asking.
    fn offer_known(&mut self) {
        for (peer, addresses) in &self.wanted.hints {
            self.offer(*peer, addresses, "the address given");
        }
        let known = {
            let peers = self.node.peers.lock();
            match (self.wanted.peer, &self.wanted.netid) {
                (Some(peer), _) => {
                    peers.get(&peer).map(|known| (peer, known.clone())).into_iter().collect()
                }
                (None, Some(netid)) => peers.of_entity(netid),
                (None, None) => Vec::new(),
            }
        };
        for (peer, known) in known {
            let finding = Finding {
                peer,
                addresses: &known.addresses,
                role: known.role,
                offer: known.offer.as_ref(),
                has_failed: self.node.peers.lock().has_failed(&peer, Instant::now()),
                source: "memory",
            };
            self.offer_finding(&finding);
        }
        if self.candidates.len() == 0 && self.wanted.peer.is_none() {
            // Nothing is known: the first answers are compared before the first dial.
            self.dial_from = self.deadline;
        }
    }

    fn take_news(&mut self, news: &News) {
        if self.dial_from == self.deadline {
            self.dial_from = Instant::now() + GATHER;
        }
        match &news.found {
            Found::Record(record) => {
                self.node.peers.lock().learn_record(record, self.wanted.netid);
                let finding = Finding {
                    peer: *record.peer_id(),
                    addresses: record.addresses(),
                    role: record.role(),
                    offer: Some(&Offer::of(record)),
                    has_failed: self.has_failed(record.peer_id()),
                    source: news.source,
                };
                self.offer_finding(&finding);
            }
            Found::Hint { peer, addresses } => self.offer(*peer, addresses, news.source),
            _ => {}
        }
    }

    fn offer(&mut self, peer: PeerId, addresses: &[Multiaddr], source: &'static str) {
        let finding = Finding {
            peer,
            addresses,
            role: Role::default(),
            offer: None,
            has_failed: self.has_failed(&peer),
            source,
        };
        self.offer_finding(&finding);
    }

    fn offer_finding(&mut self, finding: &Finding<'_>) {
        // This node is never the one that is meant.
        if finding.peer != self.node.peer {
            self.candidates.offer(finding, &self.options.needs);
        }
    }

    fn has_failed(&self, peer: &PeerId) -> bool {
        self.node.peers.lock().has_failed(peer, Instant::now())
    }

    /// Begins what may begin now: the next node each time a while passed, or a dial failed.
    fn dial_more(&mut self, is_lookup_over: bool) {
        let now = Instant::now();
        if is_lookup_over {
            self.dial_from = self.dial_from.min(now);
        }
        while self.dials.len() < MAX_DIALS && (now >= self.dial_from || self.may_hurry(now)) {
            let failed_too = self.dials.is_empty() && (is_lookup_over || now >= self.failed_from);
            let Some(candidate) = self.candidates.next(failed_too) else { return };
            self.dial_from = now + STAGGER;
            let dial = dial(self.node, self.wanted, self.options, self.deadline, candidate);
            self.dials.push(dial.boxed());
        }
    }

    /// With nothing under way there is nothing to be gained by waiting.
    fn may_hurry(&self, now: Instant) -> bool {
        self.dials.is_empty() && !self.failures.is_empty() && self.dial_from <= now + STAGGER
    }

    fn next_dial(&self) -> Instant {
        let now = Instant::now();
        let waits = [self.dial_from, self.failed_from].into_iter().filter(|at| *at > now);
        waits.min().unwrap_or(self.deadline)
    }

    fn failed(&mut self, candidate: &Candidate, failure: Failure) {
        let peer = &candidate.peer;
        tracing::debug!(%peer, ?failure, "Node not reached");
        self.node.peers.lock().note_failure(*peer, Instant::now());
        self.candidates.failed(peer);
        if failure.is_silence_of(peer) && Instant::now() < self.deadline {
            // A bad network answers the next time, perhaps; once is enough to tell of it.
            self.candidates.offer_again(candidate);
            self.failures.retain(|earlier| !earlier.is_silence_of(peer));
        }
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(failure);
        }
    }

    fn won(&self, candidate: Candidate, link: Link) -> Won {
        let Candidate { peer, addresses, source } = candidate;
        let mut peers = self.node.peers.lock();
        peers.note_success(peer);
        peers.learn_addresses(peer, &addresses);
        let nodes = self.candidates.len();
        let reason = match (self.wanted.peer, nodes) {
            (Some(_), _) => format!("found by {source}"),
            (None, 1) => format!("found by {source}, the only node of the entity found till then"),
            (None, _) => {
                format!("found by {source}, the first of {nodes} nodes to prove who it is")
            }
        };
        Won { link, peer, reason }
    }

    /// What the failures come to once the time is up.
    fn judge_late(self) -> ConnectError {
        let late = timed_out(self.wanted, self.options);
        if self.failures.is_empty() && self.dials.is_empty() && self.candidates.len() == 0 {
            return self.judge();
        }
        match self.judge() {
            ConnectError::Unreachable { .. } | ConnectError::NotFound { .. } => late,
            error => error,
        }
    }

    /// What the failures come to: somebody at fault first, then what is missing.
    fn judge(self) -> ConnectError {
        let target = self.wanted.target.clone();
        let scope = self.node.scope;
        let offered = self.candidates.turned_down();
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut told: Option<ConnectError> = None;
        for failure in self.failures {
            let error = match failure {
                Failure::NotRepresented { peer, netid, source } => {
                    return ConnectError::NotRepresented { peer, netid, source };
                }
                Failure::Dial { peer, error } => judge_dial(peer, error, &mut attempts),
            };
            told = told.or(error);
        }
        if let Some(told) = told {
            return told;
        }
        if let (Some(offered), false) = (offered, self.options.needs.is_empty()) {
            let service = self.options.needs.to_string();
            return ConnectError::NoSuchService { target, service, offered };
        }
        if self.candidates.len() > 0 {
            let reason = reasons(&attempts);
            return ConnectError::Unreachable { target, reason, attempts };
        }
        match self.wanted.netid.filter(|netid| self.node.netids().contains(netid)) {
            Some(netid) if self.wanted.peer.is_none() => ConnectError::NoOtherNode { netid, scope },
            _ => ConnectError::NotFound { target: not_secret(target), scope },
        }
    }
}

/// A ticket's text is long, and its node is what was looked for.
pub(crate) fn not_secret(target: Target) -> Target {
    match target {
        Target::Ticket(ticket) => Target::PeerId(*ticket.peer_id()),
        target => target,
    }
}

/// Dials a node and checks that it speaks for the entity, before a byte of ours is sent.
async fn dial(
    node: &Shared,
    wanted: &Wanted,
    options: &Options,
    deadline: Instant,
    candidate: Candidate,
) -> (Candidate, Result<Link, Failure>) {
    let peer = candidate.peer;
    let fits = |address: &&Multiaddr| options.link.is_none_or(|kind| is_of(address, kind));
    let addresses: Vec<Multiaddr> = candidate.addresses.iter().filter(fits).cloned().collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let dial = DialOptions::default().timeout(left.min(DIAL_TIMEOUT));
    let link = match node.transport.dial(&peer, &addresses, dial).await {
        Ok(link) => link,
        Err(error) => return (candidate, Err(Failure::Dial { peer, error })),
    };
    match wanted.unproven(&link) {
        None => (candidate, Ok(link)),
        Some((netid, source)) => {
            tokio::spawn(link.close());
            (candidate, Err(Failure::NotRepresented { peer, netid, source }))
        }
    }
}

/// Whether a link to an address would be of that kind.
fn is_of(address: &Multiaddr, kind: LinkKind) -> bool {
    let text = address.to_string();
    match kind {
        LinkKind::Quic => text.contains("/quic-v1"),
        LinkKind::Tcp => text.contains("/tcp/"),
        LinkKind::Memory => text.starts_with("/memory/"),
        _ => false,
    }
}

/// What one node's failure says if somebody is at fault; else its attempts are kept.
fn judge_dial(peer: PeerId, error: DialError, attempts: &mut Vec<Attempt>) -> Option<ConnectError> {
    match error {
        DialError::WrongPeer { expected, found } => {
            Some(ConnectError::WrongPeer { expected: *expected, found: *found })
        }
        DialError::Denied { peer, alert } => Some(ConnectError::Denied { peer, reason: alert }),
        DialError::SelfDial => Some(ConnectError::SelfDial { peer }),
        DialError::Unreachable { attempts: made, .. }
        | DialError::Timeout { attempts: made, .. }
        | DialError::NoUsableAddress { attempts: made, .. } => {
            attempts.extend(made);
            None
        }
        _ => None,
    }
}

async fn next_news(lookup: &mut Option<Lookup>) -> Option<News> {
    match lookup {
        Some(lookup) => lookup.next().await,
        None => std::future::pending().await,
    }
}

/// Nodes of an entity dialled at once.
const MAX_DIALS: usize = 4;
/// Nodes whose failure is told.
const MAX_FAILURES: usize = 64;
/// How long the first answers may take to arrive before the best of them is dialled.
const GATHER: Duration = Duration::from_millis(10);
/// How long a node is dialled alone before the next one is dialled beside it.
const STAGGER: Duration = Duration::from_millis(100);
/// How long nodes that failed lately wait for others to be found.
const FAILED_DELAY: Duration = Duration::from_millis(500);
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
