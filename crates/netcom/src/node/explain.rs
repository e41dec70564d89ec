//! What a target means, where it was found and how it is reached: what connecting finds out, told.

use std::{sync::Arc, time::Duration};

use futures_util::future;
use netcom_discovery::{Found, Query};
use netcom_identity::{Multiaddr, NetId, PeerId, Target};
use netcom_session::LinkKind;
use netcom_transport::{DialError, DialOptions};
use tokio::time::{Instant, timeout_at};

use super::{
    connect::{Options, Wanted},
    peers::Peer,
    search::not_secret,
    shared::Shared,
};
use crate::{
    connection::{Connection, Path},
    error::ConnectError,
    links::LinkSummary,
};

/// What [`Node::explain`](crate::Node::explain) found out.
#[derive(Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The target; of a ticket its node.
    pub target: String,
    /// What kind of name that is: `netid`, `peer_id`, `address`, `ticket`, `petname` or `name`.
    pub kind: &'static str,
    /// The entity that is meant.
    pub netid: Option<NetId>,
    /// The node that is meant, or was reached.
    pub peer_id: Option<PeerId>,
    /// Whom was asked where it is, and what each answered.
    pub sources: Vec<SourceAnswer>,
    /// Each address that was found, dialled alone.
    pub dials: Vec<DialOutcome>,
    /// How the node is reached; `None` if it is not.
    pub path: Option<Path>,
    /// The links of the session with it.
    pub links: Vec<LinkSummary>,
    /// Why it is not reached.
    pub error: Option<ConnectError>,
}

/// What a source answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SourceAnswer {
    /// Its name: `given` for what the target itself says, `memory` for what this node knew.
    pub source: &'static str,
    /// Nodes, and where each is said to be; none if it did not answer.
    pub nodes: Vec<(PeerId, Vec<Multiaddr>)>,
}

/// What came of dialling one address.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DialOutcome {
    /// The node that is said to be there.
    pub peer_id: PeerId,
    /// The address.
    pub address: Multiaddr,
    /// Who said so first.
    pub source: &'static str,
    /// What carries a link to it; `None` if there was none.
    pub kind: Option<LinkKind>,
    /// How long it took until the node had proven who it is.
    pub took: Option<Duration>,
    /// Why it is of no use.
    pub failure: Option<String>,
}

impl Shared {
    /// Finds out all that connecting would, and connects.
    pub(crate) async fn explain(self: &Arc<Self>, target: Target, within: Duration) -> Explanation {
        let deadline = Instant::now() + within;
        let mut told = Explanation::of(&target);
        let wanted = match timeout_at(deadline, self.resolve(target.clone())).await {
            Ok(Ok(wanted)) => wanted,
            Ok(Err(error)) => return told.failed(error),
            Err(_) => return told.failed(ConnectError::Timeout { target, after: within }),
        };
        (told.netid, told.peer_id) = (wanted.netid, wanted.peer);
        told.sources = self.ask_sources(&wanted, deadline).await;
        told.dials = self.try_addresses(&wanted, &told.sources, deadline).await;
        let timeout = deadline.saturating_duration_since(Instant::now()).max(LEAST);
        let options = Options { timeout, ..Options::default() };
        match self.connect(&wanted, &options).await {
            Ok((hold, reason)) => {
                // A new session has its link with the peer's answer.
                drop(timeout_at(Instant::now() + timeout, hold.wait_attached()).await);
                let connection = Connection::new(hold, wanted.netid, reason);
                told.peer_id = Some(connection.peer_id());
                (told.path, told.links) = (Some(connection.path()), connection.links());
                told
            }
            Err(error) => told.failed(error),
        }
    }

    /// What is known without asking, and what each source of discovery answers.
    async fn ask_sources(&self, wanted: &Wanted, deadline: Instant) -> Vec<SourceAnswer> {
        let (query, known): (_, Vec<(PeerId, Peer)>) = match (wanted.peer, wanted.netid) {
            (Some(peer), _) => {
                let known = self.peers.lock().get(&peer).map(|known| (peer, known.clone()));
                (Some(Query::Peer(peer)), known.into_iter().collect())
            }
            (None, Some(netid)) => (Some(Query::NetId(netid)), self.peers.lock().of_entity(&netid)),
            (None, None) => (None, Vec::new()),
        };
        let known = known.into_iter().map(|(peer, known)| (peer, known.addresses));
        let known = known.filter(|(_, addresses)| !addresses.is_empty()).take(MAX_NODES);
        let mut answers = vec![
            SourceAnswer { source: "given", nodes: wanted.hints.clone() },
            SourceAnswer { source: "memory", nodes: known.collect() },
        ];
        answers.retain(|answer| !answer.nodes.is_empty());
        let sources = self.discovery.sources().into_iter();
        answers.extend(sources.map(|source| SourceAnswer { source, nodes: Vec::new() }));
        let Some(query) = query else { return answers };
        let mut lookup = self.discovery.lookup(query, PATIENCE);
        let mut until = deadline.min(Instant::now() + PATIENCE);
        while let Ok(Some(finding)) = timeout_at(until, lookup.next()).await {
            if let Some(answer) = answers.iter_mut().find(|known| known.source == finding.source) {
                answer.add(&finding.found);
            }
            until = until.min(Instant::now() + QUIET);
        }
        answers
    }

    /// Dials each address that was found by itself: a race would not tell what became of those
    /// that lost it.
    async fn try_addresses(
        &self,
        wanted: &Wanted,
        sources: &[SourceAnswer],
        deadline: Instant,
    ) -> Vec<DialOutcome> {
        let mut outcomes: Vec<DialOutcome> = Vec::new();
        for answer in sources {
            for (peer, address) in answer.addresses() {
                let is_known =
                    outcomes.iter().any(|known| known.peer_id == peer && known.address == *address);
                // This node is never the one that is meant.
                if !is_known && peer != self.peer && outcomes.len() < MAX_TRIED {
                    outcomes.push(DialOutcome::begun(peer, address, answer.source));
                }
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let options = DialOptions::default().timeout(left.min(DIAL_TIMEOUT));
        let dials: Vec<_> = outcomes
            .into_iter()
            .map(|begun| self.try_address(wanted, begun, options.clone()))
            .collect();
        future::join_all(dials).await
    }

    async fn try_address(
        &self,
        wanted: &Wanted,
        mut outcome: DialOutcome,
        options: DialOptions,
    ) -> DialOutcome {
        let addresses = std::slice::from_ref(&outcome.address);
        let dialled = self.transport.dial(&outcome.peer_id, addresses, options).await;
        match dialled {
            Ok(link) => {
                outcome.kind = Some(link.kind());
                outcome.took = Some(link.handshake_duration());
                outcome.failure = wanted.unproven(&link).map(|(netid, error)| {
                    format!("the node does not prove that it speaks for {netid}: {error}")
                });
                tokio::spawn(link.close());
            }
            Err(error) => outcome.failure = Some(reason(&error)),
        }
        outcome
    }
}

impl Explanation {
    fn of(target: &Target) -> Self {
        let kind = match target {
            Target::NetId(_) => "netid",
            Target::PeerId(_) => "peer_id",
            Target::Address(..) => "address",
            Target::Ticket(_) => "ticket",
            Target::Petname(_) => "petname",
            _ => "name",
        };
        Self {
            target: not_secret(target.clone()).to_string(),
            kind,
            netid: None,
            peer_id: None,
            sources: Vec::new(),
            dials: Vec::new(),
            path: None,
            links: Vec::new(),
            error: None,
        }
    }

    fn failed(mut self, error: ConnectError) -> Self {
        self.error = Some(error);
        self
    }

    /// Whether links over TCP come about where those over UDP do not: something on the way blocks
    /// UDP, most likely. `None` where either was not tried or nothing works at all.
    #[must_use]
    pub fn is_udp_blocked(&self) -> Option<bool> {
        let is_of = |dial: &DialOutcome, part: &str| dial.address.to_string().contains(part);
        let works = |part: &str| {
            let mut tried = self.dials.iter().filter(|dial| is_of(dial, part)).peekable();
            tried.peek()?;
            Some(tried.any(|dial| dial.took.is_some()))
        };
        let (tcp, udp) = (works("/tcp/")?, works("/udp/")?);
        (tcp || udp).then_some(tcp && !udp)
    }
}

impl SourceAnswer {
    fn add(&mut self, found: &Found) {
        let (peer, addresses) = match found {
            Found::Record(record) => (*record.peer_id(), record.addresses()),
            Found::Hint { peer, addresses } => (*peer, addresses.as_slice()),
            _ => return,
        };
        let has_room = self.nodes.len() < MAX_NODES;
        match self.nodes.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, known)) => {
                let news = addresses.iter().filter(|address| !known.contains(address));
                let news: Vec<Multiaddr> = news.cloned().collect();
                known.extend(news);
            }
            None if has_room => self.nodes.push((peer, addresses.to_vec())),
            None => {}
        }
    }

    fn addresses(&self) -> impl Iterator<Item = (PeerId, &Multiaddr)> {
        let nodes = self.nodes.iter();
        nodes.flat_map(|(peer, addresses)| addresses.iter().map(move |address| (*peer, address)))
    }
}

impl DialOutcome {
    fn begun(peer_id: PeerId, address: &Multiaddr, source: &'static str) -> Self {
        let address = address.clone();
        Self { peer_id, address, source, kind: None, took: None, failure: None }
    }
}

/// What went wrong at the one address that was dialled.
fn reason(error: &DialError) -> String {
    match error {
        DialError::Unreachable { attempts, .. }
        | DialError::Timeout { attempts, .. }
        | DialError::NoUsableAddress { attempts, .. } => match attempts.first() {
            Some(attempt) => attempt.error.to_string(),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// Nodes told of each source.
const MAX_NODES: usize = 16;
/// Addresses dialled.
const MAX_TRIED: usize = 32;
/// How long one address may take to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first answer of a source may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after the last news no more are expected.
const QUIET: Duration = Duration::from_millis(500);
/// Connecting is tried for this long, though finding out took all the time there was.
const LEAST: Duration = Duration::from_secs(1);
