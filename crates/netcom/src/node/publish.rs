//! Making the node known, and keeping what is known of it true.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use netcom_identity::{
    MAX_SERVICES, Multiaddr, NodeDescription, NodeRecord, NodeRecordError, Representation, Role,
    Service, UnixTime,
};
use tokio::time::{self, Instant, MissedTickBehavior};

use super::{proofs, shared::Shared};
use crate::{
    clock::{unix_millis, unix_now},
    config::RECORD_LIFE,
    events::NodeEvent,
    session::watch_spare_memory,
};

/// What a published record says that may change.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Said {
    addresses: Vec<Multiaddr>,
    services: Vec<Service>,
    shown: Vec<Representation>,
}

/// What was published last.
#[derive(Debug)]
pub(crate) struct Published {
    said: Option<Said>,
    due: Instant,
    sequence: u64,
}

impl Published {
    pub(crate) fn nothing() -> Self {
        Self { said: None, due: Instant::now(), sequence: 0 }
    }
}

impl Shared {
    /// Publishes the node's record if it says something new or the last one ends soon.
    pub(crate) async fn publish(&self, published: &mut Published) {
        // A client is there for others' answers only.
        if self.role == Role::Client || !self.is_running() {
            return;
        }
        let said = self.say();
        if published.said.as_ref() == Some(&said) && Instant::now() < published.due {
            return;
        }
        published.due = Instant::now() + RECORD_LIFE / 2;
        // Rising also where the clock was set back.
        published.sequence = unix_millis().max(published.sequence + 1);
        let record = match self.sign(&said, published.sequence) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%error, "The node's record cannot be made");
                return;
            }
        };
        let addresses = record.addresses().to_vec();
        match self.discovery.publish(record).await {
            Ok(()) => {
                let sequence = published.sequence;
                self.events.tell(NodeEvent::Published { sequence, addresses });
            }
            Err(error) => tracing::warn!(%error, "The node's record was not published"),
        }
        published.said = Some(said);
    }

    /// Keeps the node's record, its proofs and those of its peers true until the node closes.
    pub(crate) async fn maintain(self: Arc<Self>, mut published: Published) {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        loop {
            tokio::select! {
                _ = tick.tick() => self.look_at_proofs(unix_now()),
                () = self.changed.notified() => {}
                () = self.closing() => return,
            }
            self.publish(&mut published).await;
        }
    }

    /// Gives memory back that many sessions left, until the node closes.
    pub(crate) async fn spare_memory(self: Arc<Self>) {
        tokio::select! {
            () = watch_spare_memory(Arc::clone(self.sessions.budget())) => {}
            () = self.closing() => {}
        }
    }

    /// Renews the node's own proofs at half of their life, and looks again at those of its peers
    /// that time has changed: at all of them where the clock was set back.
    pub(super) fn look_at_proofs(&self, now: UnixTime) {
        self.renew(now);
        let before = self.proofs_looked_at.swap(now.0, Ordering::Relaxed);
        for session in self.sessions.all() {
            if now.0 < before || session.proofs_due() <= now {
                self.rejudge(&session, now);
            }
        }
    }

    fn renew(&self, now: UnixTime) {
        let Some(issuer) = &self.issuer else { return };
        let netid = issuer.netid();
        let mut shown = self.shown.read().clone();
        let Some(place) = shown.iter_mut().find(|proof| proof.netid() == netid) else { return };
        if place.expires().seconds_since(now) > RENEW_SECONDS {
            return;
        }
        let Some(renewed) = issuer.issue(self.peer, now) else { return };
        if renewed.expires() <= place.expires() {
            return;
        }
        *place = renewed;
        if let Err(error) = self.transport.set_representations(shown.clone()) {
            tracing::warn!(%error, "The renewed proof cannot be shown");
            return;
        }
        if let Some(proofs) = proofs::encode(&shown) {
            self.sessions.all().iter().for_each(|session| session.send_auth(proofs.clone()));
        }
        *self.shown.write() = shown;
    }

    fn say(&self) -> Said {
        let mut services = self.services.advertised();
        services.truncate(MAX_SERVICES);
        Said { addresses: self.addresses(), services, shown: self.shown.read().clone() }
    }

    fn sign(&self, said: &Said, sequence: u64) -> Result<NodeRecord, NodeRecordError> {
        let expires = unix_now().plus_seconds(RECORD_LIFE.as_secs());
        let mut description = NodeDescription::new(sequence, expires);
        description.addresses.clone_from(&said.addresses);
        description.services.clone_from(&said.services);
        description.representations.clone_from(&said.shown);
        description.role = self.role;
        description.metadata = self.metadata.clone();
        NodeRecord::sign(&self.key, description)
    }
}

/// How often addresses and proofs are looked at.
const TICK: Duration = Duration::from_secs(10);
/// A process's proof lasts a day.
const RENEW_SECONDS: u64 = 12 * 3600;
