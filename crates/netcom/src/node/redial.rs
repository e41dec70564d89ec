//! Dialling for a session that needs a link: because its last one is gone, because none answers, or
//! because it uses several.

use std::{sync::Arc, time::Duration};

use netcom_discovery::Query;
use netcom_identity::{Multiaddr, PeerId};
use netcom_session::State;
use netcom_transport::{DialOptions, leads_alike};
use tokio::time;

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
    /// None of those it has answers.
    Beside,
    /// It uses links in this way, and wants so many.
    Further(Links, usize),
}

/// Dials the peer, at once and then at growing intervals, until the need is met, the session is
/// over, or nobody uses it. Both sides may do so; a session takes as many links as come.
pub(crate) async fn redial(node: &Shared, session: &Arc<SharedSession>, need: Need) {
    let mut backoff = Backoff::default();
    while need.is_felt(node, session) {
        let dialled = tokio::select! {
            dialled = dial(node, session, need) => dialled,
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
            () = need.met(session) => return,
            () = node.closing() => return,
        }
    }
}

/// Sees to it that there are as many links as the session uses until it is over.
pub(crate) async fn keep_links(node: Arc<Shared>, session: Arc<SharedSession>) {
    loop {
        tokio::select! {
            _ = session.wait_attached() => {}
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
    fn is_felt(self, node: &Shared, session: &Arc<SharedSession>) -> bool {
        let is_used = || session.hold_count() > 0 || session.stats().streams > 0;
        let is_felt = match self {
            Self::Any => session.state() == State::Detached && is_used(),
            Self::Beside => session.wants_link() && is_used(),
            Self::Further(policy, wanted) => {
                session.state() == State::Live
                    && session.policy() == policy
                    && session.working_links() < wanted
            }
        };
        is_felt && !node.is_closing()
    }

    /// Which addresses to dial: other ways than those in use first, or alone.
    fn choose(self, mut all: Vec<Multiaddr>, session: &SharedSession) -> Vec<Multiaddr> {
        let links = session.links();
        let in_use: Vec<&Multiaddr> =
            links.iter().filter_map(|link| link.info.remote.as_ref()).collect();
        match self {
            Self::Any => {}
            Self::Beside => {
                all.sort_by_key(|address| in_use.iter().any(|used| leads_alike(address, used)));
            }
            Self::Further(policy, _) => all = further(policy, all, &in_use),
        }
        all
    }

    async fn met(self, session: &Arc<SharedSession>) {
        match self {
            Self::Any => drop(session.wait_attached().await),
            Self::Beside => session.wait_answer().await,
            Self::Further(policy, wanted) => session.wait_links(wanted, policy).await,
        }
    }
}

async fn dial(
    node: &Shared,
    session: &Arc<SharedSession>,
    need: Need,
) -> Result<(), AttachFailure> {
    let peer = session.peer();
    let addresses = match need.choose(known_addresses(node, session), session) {
        known if known.is_empty() => need.choose(look_up(node, peer).await, session),
        known => known,
    };
    if addresses.is_empty() {
        return Ok(());
    }
    let options = DialOptions::default().timeout(DIAL_TIMEOUT);
    match node.transport.dial(&peer, &addresses, options).await {
        Ok(link) => node.sessions.attach_dialled_to(session, link),
        Err(error) => {
            tracing::debug!(%peer, %error, "Dialling again failed");
            // It may be elsewhere now.
            let found = look_up(node, peer).await;
            node.peers.lock().learn_addresses(peer, &found);
            Ok(())
        }
    }
}

/// Where the peer may be reached, as far as is known.
fn known_addresses(node: &Shared, session: &SharedSession) -> Vec<Multiaddr> {
    let known = node.peers.lock().get(&session.peer()).map(|peer| peer.addresses.clone());
    let mut all = dialled_before(session);
    for address in known.unwrap_or_default() {
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

async fn look_up(node: &Shared, peer: PeerId) -> Vec<Multiaddr> {
    let mut lookup = node.discovery.lookup(Query::Peer(peer), LOOKUP);
    match lookup.next().await {
        Some(finding) => finding.found.addresses().to_vec(),
        None => Vec::new(),
    }
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
        // Without randomness the longest wait is the safe one.
        let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
        let wait = self.ceiling.mul_f64(share).max(LEAST);
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        wait
    }
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// A dialled link needs a moment to become part of the session.
const LEAST: Duration = Duration::from_millis(20);
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
const LOOKUP: Duration = Duration::from_secs(2);

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
