//! Dialling for a session that needs a link: because its last one is gone, because none answers, or
//! because it uses several.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{self, Either};
use netcom_discovery::{Found, Query};
use netcom_identity::Multiaddr;
use netcom_session::State;
use netcom_transport::{DialOptions, Link, leads_alike, without_peer};
use tokio::time::{self, Instant};

use super::{
    shared::Shared,
    ways::{further, most_links},
};
use crate::{
    config::Links,
    session::{AttachFailure, SharedSession},
};

/// What a session needs a link for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    /// It has none.
    Any,
    /// None of those it has answers. A new link the same way as one of them would most likely not
    /// answer either, and a peer that is only slow would be slower for it: that is tried after a
    /// while.
    Beside { again: bool },
    /// It uses links in this way, and wants so many.
    Further(Links, usize),
}

/// Dials the peer, at once and then at growing intervals, until the need is met, the session is
/// over, or nobody uses it. Both sides may do so; a session takes as many links as come.
pub(crate) async fn redial(node: &Shared, session: &Arc<SharedSession>, mut need: Need) {
    let mut backoff = Backoff::default();
    let mut moves = node.moves.next();
    let again_at = Instant::now() + AGAIN + share_of(AGAIN);
    tokio::select! {
        () = time::sleep(need.first_wait(session)) => {}
        is_loss = moves.made() => need = need.after_move(is_loss),
        () = need.met(session) => return,
        () = node.closing() => return,
    }
    while need.is_felt(node, session) {
        if Instant::now() >= again_at {
            need = need.by_any_way();
        }
        let dialled = tokio::select! {
            dialled = dial(node, session, need) => dialled,
            is_loss = moves.overtakes(Instant::now()) => {
                (backoff, need) = (Backoff::default(), need.after_move(is_loss));
                continue;
            }
            // The peer came first.
            () = need.met(session) => return,
            () = node.closing() => return,
        };
        match dialled {
            Ok(()) => {}
            Err(AttachFailure::Ended(_)) => return,
            Err(failure) => tracing::debug!(peer = %session.peer(), %failure, "No further link"),
        }
        // The link that was dialled last becomes part of the session meanwhile, or ends.
        tokio::select! {
            () = time::sleep(backoff.next()) => {}
            is_loss = moves.made() => {
                (backoff, need) = (Backoff::default(), need.after_move(is_loss));
            }
            () = need.met(session) => return,
            () = node.closing() => return,
        }
    }
}

/// Dials once in place of a session's first link, which had no answer.
pub(crate) async fn replace_unanswered(node: &Shared, session: &Arc<SharedSession>) {
    let dialled = tokio::select! {
        dialled = dial(node, session, Need::Any) => dialled,
        () = node.closing() => Ok(()),
    };
    if let Err(failure) = dialled {
        tracing::debug!(peer = %session.peer(), %failure, "No link in place of the first");
    }
    session.end_replacing();
}

/// Sees to it that there are as many links as the session uses until it is over.
pub(crate) async fn keep_links(node: Arc<Shared>, session: Arc<SharedSession>) {
    loop {
        tokio::select! {
            () = session.wait_live() => {}
            () = node.closing() => return,
        }
        let policy = session.policy();
        let wanted = most_links(policy, &known_addresses(&node, &session));
        redial(&node, &session, Need::Further(policy, wanted)).await;
        if !session.is_open() || node.is_closing() {
            return;
        }
        tokio::select! {
            () = session.wait_fewer_links(wanted, policy) => {}
            () = node.closing() => return,
        }
        time::sleep(LEAST).await;
    }
}

impl Need {
    /// Any way will do now: it has taken long, or the ways are others.
    fn by_any_way(self) -> Self {
        if matches!(self, Self::Beside { .. }) { Self::Beside { again: true } } else { self }
    }

    /// After a change of addresses. What goes from one that is gone cannot answer by its way.
    fn after_move(self, is_loss: bool) -> Self {
        if is_loss { self.by_any_way() } else { self }
    }

    fn is_felt(self, node: &Shared, session: &Arc<SharedSession>) -> bool {
        let is_used = || session.hold_count() > 0 || session.stats().streams > 0;
        let is_felt = match self {
            Self::Any => session.state() == State::Detached && is_used(),
            Self::Beside { .. } => session.wants_link() && is_used(),
            Self::Further(policy, wanted) => {
                session.state() == State::Live
                    && session.policy() == policy
                    && session.working_links() < wanted
            }
        };
        is_felt && !node.is_closing()
    }

    /// How long to wait before the first dial. Where nothing of the session's is on its way, it is
    /// only known from a question without an answer that no link works, and of a server that
    /// stands still all its peers know it at the same moment.
    fn first_wait(self, session: &SharedSession) -> Duration {
        let carries = || session.links().iter().any(|link| link.stats.bytes_in_flight > 0);
        match self {
            Self::Beside { again: false } if !carries() => share_of(SPREAD),
            _ => Duration::ZERO,
        }
    }

    /// Which addresses to dial: other ways than those in use first, or alone.
    fn choose(self, mut all: Vec<Multiaddr>, session: &SharedSession) -> Vec<Multiaddr> {
        let links = session.links();
        let in_use: Vec<&Multiaddr> =
            links.iter().filter_map(|link| link.info.remote.as_ref()).collect();
        let is_used = |address: &Multiaddr| in_use.iter().any(|used| leads_alike(address, used));
        match self {
            Self::Any => {}
            Self::Beside { again: true } => all.sort_by_key(is_used),
            Self::Beside { again: false } => all.retain(|address| !is_used(address)),
            Self::Further(policy, _) => all = further(policy, all, &in_use),
        }
        all
    }

    async fn met(self, session: &Arc<SharedSession>) {
        match self {
            Self::Any => drop(session.wait_attached().await),
            Self::Beside { .. } => session.wait_answer().await,
            Self::Further(policy, wanted) => session.wait_links(wanted, policy).await,
        }
    }
}

async fn dial(
    node: &Shared,
    session: &Arc<SharedSession>,
    need: Need,
) -> Result<(), AttachFailure> {
    let known = need.choose(known_addresses(node, session), session);
    let at_known = dial_at(node, session, &known);
    let elsewhere = async {
        let found = look_further(node, session, need, &known).await;
        dial_at(node, session, &found).await
    };
    match first_link(at_known, elsewhere).await {
        Some(link) => node.sessions.attach_dialled_to(session, link),
        None => Ok(()),
    }
}

async fn dial_at(node: &Shared, session: &SharedSession, addresses: &[Multiaddr]) -> Option<Link> {
    if addresses.is_empty() {
        return None;
    }
    let (peer, options) = (session.peer(), DialOptions::default().timeout(DIAL_TIMEOUT));
    let dialled = node.transport.dial(&peer, addresses, options).await;
    dialled.inspect_err(|error| tracing::debug!(%peer, %error, "Dialling again failed")).ok()
}

/// Where else the peer is, asked where what is known of it does not lead there soon.
async fn look_further(
    node: &Shared,
    session: &SharedSession,
    need: Need,
    known: &[Multiaddr],
) -> Vec<Multiaddr> {
    if !known.is_empty() {
        time::sleep(LOOKUP_DELAY).await;
    }
    let peer = session.peer();
    let mut lookup = node.discovery.lookup(Query::Peer(peer), LOOKUP);
    while let Some(finding) = lookup.next().await {
        match &finding.found {
            Found::Record(record) => node.peers.lock().learn_record(record, None),
            other => node.peers.lock().learn_addresses(peer, other.addresses()),
        }
        let mut found = need.choose(known_addresses(node, session), session);
        found.retain(|address| !known.contains(address));
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// The link of whoever has one first.
async fn first_link(
    one: impl Future<Output = Option<Link>>,
    other: impl Future<Output = Option<Link>>,
) -> Option<Link> {
    match future::select(pin!(one), pin!(other)).await {
        Either::Left((Some(link), _)) | Either::Right((Some(link), _)) => Some(link),
        Either::Left((None, other)) => other.await,
        Either::Right((None, one)) => one.await,
    }
}

/// Where the peer may be reached, as far as is known.
fn known_addresses(node: &Shared, session: &SharedSession) -> Vec<Multiaddr> {
    let known = node.peers.lock().get(&session.peer()).map(|peer| peer.addresses.clone());
    let mut all = dialled_before(session);
    for address in known.unwrap_or_default().iter().map(without_peer) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Where this side reached the peer; a port that the peer dialled from is no address.
fn dialled_before(session: &SharedSession) -> Vec<Multiaddr> {
    let links = session.links();
    let dialled = links.iter().filter(|link| link.stats.is_dialer);
    dialled.filter_map(|link| link.info.remote.clone()).collect()
}

/// Waits that grow, each drawn at random from zero on, so that many who lost the same network at
/// once do not come back at once.
#[derive(Debug)]
struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: FIRST }
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = share_of(self.ceiling).max(LEAST);
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        wait
    }
}

/// A part of a wait, drawn at random; without randomness all of it, which is safe.
fn share_of(wait: Duration) -> Duration {
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    wait.mul_f64(share)
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A dialled link needs a moment to become part of the session.
const LEAST: Duration = Duration::from_millis(20);
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long links do not answer, at least and twice that at most, before the same way is dialled
/// again. A server that is busy for a moment would otherwise get handshakes from all of its peers
/// that wait for it, which keep it busy.
const AGAIN: Duration = Duration::from_secs(3);
/// Over how long those who only wait for a peer that does not answer spread their first dials.
const SPREAD: Duration = Duration::from_secs(1);
const LOOKUP: Duration = Duration::from_secs(2);
/// How long the addresses that are known are dialled before others are asked for.
const LOOKUP_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_are_spread() {
        let mut backoff = Backoff::default();
        let mut ceiling = FIRST;
        let mut waits = Vec::new();
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(wait >= LEAST && wait <= ceiling, "{wait:?} of {ceiling:?}");
            ceiling = (ceiling * 2).min(LONGEST);
            waits.push(wait);
        }
        assert_eq!(ceiling, LONGEST);
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 10, "{waits:?}");
    }
}
