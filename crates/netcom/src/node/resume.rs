//! Bringing back a session whose last link is gone.

use std::{sync::Arc, time::Duration};

use netcom_discovery::Query;
use netcom_identity::{Multiaddr, PeerId};
use netcom_session::State;
use netcom_transport::DialOptions;
use tokio::time;

use super::shared::Shared;
use crate::session::{AttachFailure, SharedSession};

/// Dials the peer again, at once and then at growing intervals, until the session has a link, is
/// over, or nobody needs it. Both sides may do so; a session takes as many links as come.
pub(crate) async fn bring_back(node: Arc<Shared>, session: Arc<SharedSession>) {
    let mut backoff = Backoff::default();
    while is_waiting(&node, &session) {
        let dialled = tokio::select! {
            dialled = dial(&node, &session) => dialled,
            // The peer came first.
            _ = session.wait_attached() => return,
            () = node.closing() => return,
        };
        match dialled {
            Ok(()) => {}
            Err(AttachFailure::Ended(_)) => return,
            Err(failure) => tracing::debug!(peer = %session.peer(), %failure, "Not brought back"),
        }
        // The link that was dialled last becomes part of the session meanwhile, or ends.
        tokio::select! {
            () = time::sleep(backoff.next()) => {}
            _ = session.wait_attached() => return,
            () = node.closing() => return,
        }
    }
}

async fn dial(node: &Shared, session: &Arc<SharedSession>) -> Result<(), AttachFailure> {
    let peer = session.peer();
    let known = node.peers.lock().get(&peer).map(|peer| peer.addresses.clone());
    let mut addresses = dialled_before(session);
    addresses.extend(known.unwrap_or_default());
    if addresses.is_empty() {
        addresses = look_up(node, peer).await;
    }
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

/// Whether the session waits for a link and somebody would use it.
fn is_waiting(node: &Shared, session: &Arc<SharedSession>) -> bool {
    let is_needed = session.hold_count() > 0 || session.stats().streams > 0;
    session.state() == State::Detached && is_needed && !node.is_closing()
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
