//! What a node does when something happens to its sessions.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use netcom_identity::{NetId, Representation, UnixTime};
use netcom_session::{Closed, Code};
use tokio::time::Instant;

use super::{
    proofs::{self, Proven},
    redial::{self, Need},
    shared::Shared,
};
use crate::{
    clock::unix_now,
    config::Links,
    data_use::DataUse,
    events::NodeEvent,
    session::{SessionHooks, SharedSession},
};

/// Leads from the sessions to their node, which is made after them.
#[derive(Default)]
pub(crate) struct Hooks(OnceLock<Weak<Shared>>);

impl Hooks {
    /// Says which node it is, once.
    pub(crate) fn set(&self, node: &Arc<Shared>) {
        let is_first = self.0.set(Arc::downgrade(node)).is_ok();
        debug_assert!(is_first, "hooks lead to one node");
    }

    fn node(&self) -> Option<Arc<Shared>> {
        self.0.get()?.upgrade()
    }
}

impl SessionHooks for Hooks {
    fn attached(&self, session: &Arc<SharedSession>, is_new: bool, by_dial: bool) {
        let Some(node) = self.node() else { return };
        let peer = session.peer();
        let proven = node.judge(session);
        node.peers.lock().note_success(peer);
        if is_new {
            if node.links.are_kept() {
                node.keep_links(session, node.links);
            }
            let netids = proven.netids();
            node.events.tell(NodeEvent::Connected { peer, netids, is_inbound: !by_dial });
            if !by_dial {
                node.incoming.push(Arc::clone(session));
            }
        } else if node.detached.lock().remove(&session.key()) {
            node.events.tell(NodeEvent::Resumed { peer });
        }
    }

    fn detached(&self, session: &Arc<SharedSession>) {
        let Some(node) = self.node() else { return };
        let peer = session.peer();
        node.peers.lock().note_failure(peer, Instant::now());
        node.detached.lock().insert(session.key());
        node.events.tell(NodeEvent::Detached { peer });
        if !node.is_closing() {
            dial(node, session, Need::Any);
        }
    }

    fn link_wanted(&self, session: &Arc<SharedSession>) {
        let may_dial = |node: &Arc<Shared>| !node.is_closing() && node.links != Links::Single;
        if let Some(node) = self.node().filter(may_dial) {
            // From another address the same way may be open.
            let again = node.moves.are_recent();
            dial(node, session, Need::Beside { again });
        }
    }

    fn unanswered(&self, session: &Arc<SharedSession>) -> bool {
        let Some(node) = self.node().filter(|node| !node.is_closing()) else { return false };
        let (runtime, session) = (node.runtime.clone(), Arc::clone(session));
        runtime.spawn(async move { redial::replace_unanswered(&node, &session).await });
        true
    }

    fn happened(&self, event: NodeEvent) {
        if let Some(node) = self.node() {
            node.events.tell(event);
        }
    }

    fn ended(&self, session: &Arc<SharedSession>, closed: &Closed) {
        let Some(node) = self.node() else { return };
        let peer = session.peer();
        node.detached.lock().remove(&session.key());
        node.renewed.lock().remove(&session.key());
        node.peers.lock().add_data_use(peer, DataUse::of(session));
        node.totals.add_ended(session);
        if is_about_the_node(closed) {
            node.peers.lock().note_failure(peer, Instant::now());
        }
        node.events.tell(NodeEvent::Disconnected {
            peer,
            code: closed.code,
            reason: closed.reason.clone(),
            is_by_peer: closed.by_peer,
        });
    }

    fn auth(&self, session: &Arc<SharedSession>, proof: Bytes) {
        let Some(node) = self.node() else { return };
        match proofs::decode(&proof) {
            Some(claims) => {
                node.renewed.lock().insert(session.key(), claims);
                node.judge(session);
            }
            None => tracing::debug!(peer = %session.peer(), "Proof of representation unreadable"),
        }
    }
}

impl Shared {
    /// Uses links in this way, and keeps as many as that takes until the session is over.
    pub(crate) fn keep_links(self: &Arc<Self>, session: &Arc<SharedSession>, policy: Links) {
        if session.use_links(policy) {
            self.runtime.spawn(redial::keep_links(Arc::clone(self), Arc::clone(session)));
        }
    }

    /// Checks for whom a session's peer speaks at this moment.
    pub(crate) fn proven(&self, session: &SharedSession) -> Proven {
        proofs::check(&session.peer(), &self.claims(session), unix_now(), self.taken_back)
    }

    /// Checks for whom a session's peer speaks, and tells the services. Claims that do not hold
    /// become events.
    pub(crate) fn judge(&self, session: &SharedSession) -> Proven {
        let proven = self.rejudge(session, unix_now());
        let peer = session.peer();
        for (netid, error) in &proven.refused {
            tracing::debug!(%peer, %netid, %error, "Claim refused");
            let reason = error.to_string();
            self.events.tell(NodeEvent::ClaimRefused { peer, netid: *netid, reason });
        }
        proven
    }

    /// The same without events, for looking again as time passes.
    pub(crate) fn rejudge(&self, session: &SharedSession, now: UnixTime) -> Proven {
        let peer = session.peer();
        let claims = self.claims(session);
        let proven = proofs::check(&peer, &claims, now, self.taken_back);
        let mut netids = proven.netids();
        self.peers.lock().learn_netids(peer, &netids);
        // What was proven counts a little longer, so that its renewal can arrive.
        let earlier = now.minus_seconds(GRACE_SECONDS);
        let lately = proofs::check(&peer, &claims, earlier, self.taken_back);
        let before = session.visitor();
        let kept = before.netids().iter().filter(|netid| lately.speaks_for(netid));
        netids.extend(kept.filter(|netid| !proven.speaks_for(netid)));
        // A node speaks for its own key without a proof.
        let own = NetId::try_from(peer).ok();
        netids.extend(own.filter(|own| !proven.speaks_for(own)));
        if before.netids() != netids {
            session.set_proven(netids);
        }
        session.set_proofs_due(proofs::due(&claims, &proven, now, GRACE_SECONDS));
        proven
    }

    fn claims(&self, session: &SharedSession) -> Vec<Representation> {
        let mut claims = session.representations();
        claims.extend(self.renewed.lock().get(&session.key()).cloned().unwrap_or_default());
        claims
    }
}

/// Dials for a session in a task of its own.
fn dial(node: Arc<Shared>, session: &Arc<SharedSession>, need: Need) {
    let (runtime, session) = (node.runtime.clone(), Arc::clone(session));
    runtime.spawn(async move { redial::redial(&node, &session, need).await });
}

/// Whether the peer's node itself went away, and not just one use of it.
fn is_about_the_node(closed: &Closed) -> bool {
    let went = [Code::NO_ERROR, Code::OVERLOADED, Code::INTERNAL, Code::NOT_PROCESSED];
    closed.code == Code::RESUME_EXPIRED || closed.by_peer && went.contains(&closed.code)
}

/// How long a proof may be past its end on a living session.
const GRACE_SECONDS: u64 = 60;
