//! What the clones of a node, its tasks and its calls share.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use netcom_discovery::{Discovery, PetnameBook, Scope};
use netcom_identity::{
    MAX_ADDRESSES, Metadata, Multiaddr, NetId, PeerId, Representation, Role, SecretKey,
    with_own_peer_id,
};
use netcom_session::Code;
use netcom_transport::{Link, Transport};
use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
};

use super::{
    incoming::Queue, names::NodeNames, peers::Peers, proofs::TakenBack, reach::Reach, roam::Moves,
};
use crate::{
    config::{Limits, Links},
    data_dir::DataDirLock,
    events::{EventSender, NodeEvent},
    keys::Issuer,
    metrics::Totals,
    service::Services,
    session::Sessions,
};

/// The node behind its handles.
pub(crate) struct Shared {
    pub(crate) key: SecretKey,
    pub(crate) peer: PeerId,
    pub(crate) role: Role,
    pub(crate) scope: Scope,
    pub(crate) reach: Reach,
    pub(crate) metadata: Metadata,
    pub(crate) limits: Limits,
    pub(crate) links: Links,
    pub(crate) transport: Transport,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) services: Arc<Services>,
    pub(crate) discovery: Discovery,
    pub(crate) book: Option<PetnameBook>,
    pub(crate) names: NodeNames,
    /// Who renews what this node shows.
    pub(crate) issuer: Option<Issuer>,
    /// Proofs for the own entity that its data directory has taken back.
    pub(crate) taken_back: Option<TakenBack>,
    /// What this node shows of itself now.
    pub(crate) shown: RwLock<Vec<Representation>>,
    pub(crate) peers: Mutex<Peers>,
    pub(crate) events: EventSender,
    pub(crate) totals: Totals,
    pub(crate) incoming: Queue,
    /// Something worth publishing changed.
    pub(crate) changed: Notify,
    /// How often the machine's addresses changed.
    pub(crate) moves: Moves,
    /// When the proofs of peers were looked at last: seconds of Unix time.
    pub(crate) proofs_looked_at: AtomicU64,
    /// Proofs that peers sent inside their sessions, by session.
    pub(crate) renewed: Mutex<HashMap<u64, Vec<Representation>>>,
    /// Sessions that wait for a link.
    pub(crate) detached: Mutex<HashSet<u64>>,
    pub(crate) stage: watch::Sender<Stage>,
    /// Held until the node is closed.
    pub(crate) lock: Mutex<Option<DataDirLock>>,
    pub(crate) runtime: Handle,
}

/// How far a node's life has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    Running,
    /// It is known to nobody any more and takes no new work.
    Draining,
    Closing,
    Closed,
}

impl Shared {
    /// The entities this node speaks for.
    pub(crate) fn netids(&self) -> Vec<NetId> {
        self.shown.read().iter().map(Representation::netid).collect()
    }

    /// Whether the node takes new work.
    pub(crate) fn is_running(&self) -> bool {
        *self.stage.borrow() == Stage::Running
    }

    /// Whether the node is closed or about to be.
    pub(crate) fn is_closing(&self) -> bool {
        *self.stage.borrow() >= Stage::Closing
    }

    /// Waits until the node closes.
    pub(crate) async fn closing(&self) {
        let mut stage = self.stage.subscribe();
        // The sender lives as long as `self`.
        drop(stage.wait_for(|stage| *stage >= Stage::Closing).await);
    }

    /// Where the node is reached from outside this process, without its PeerId.
    pub(crate) fn reachable(&self) -> Vec<Multiaddr> {
        let mut found = Vec::new();
        for listen in self.transport.listen_addresses() {
            match netcom_transport::expand(&listen) {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::debug!(%error, "Interfaces could not be listed"),
            }
        }
        self.reach.choose(found)
    }

    /// Where the node is reached, complete with its PeerId.
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        let complete = |address| with_own_peer_id(&address, &self.peer).ok();
        self.reachable().into_iter().filter_map(complete).take(MAX_ADDRESSES).collect()
    }

    /// Gives accepted links to their sessions until the node closes.
    pub(crate) async fn accept(self: Arc<Self>, mut links: mpsc::Receiver<Link>) {
        loop {
            let link = tokio::select! {
                link = links.recv() => link,
                () = self.closing() => None,
            };
            match link {
                Some(link) => self.sessions.accept(link),
                None => return,
            }
        }
    }

    /// Takes no new work and waits until what there is has ended.
    pub(crate) async fn drain(&self, within: Duration) {
        if self.enter(Stage::Draining) {
            self.events.tell(NodeEvent::Draining);
            self.discovery.withdraw().await;
        }
        self.sessions.drain_all(within).await;
    }

    /// Ends everything: what was finished arrives first. Further callers wait for the first.
    pub(crate) async fn close(&self) {
        if !self.enter(Stage::Closing) {
            let mut stage = self.stage.subscribe();
            drop(stage.wait_for(|stage| *stage == Stage::Closed).await);
            return;
        }
        for address in self.transport.listen_addresses() {
            self.transport.unlisten(&address);
        }
        let goodbye = self.sessions.close_all(Code::NO_ERROR, "the node was closed");
        tokio::join!(self.discovery.withdraw(), goodbye);
        self.transport.close().await;
        self.incoming.close();
        self.lock.lock().take();
        self.events.tell(NodeEvent::Closed);
        self.enter(Stage::Closed);
    }

    /// Moves on to a later stage; false if that one was reached before.
    fn enter(&self, stage: Stage) -> bool {
        self.stage.send_if_modified(|current| {
            let is_later = *current < stage;
            if is_later {
                *current = stage;
            }
            is_later
        })
    }
}
