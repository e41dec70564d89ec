//! What a node does when the machine's addresses change: links from those that are gone are
//! replaced at once, and waiting for a better moment to dial has an end.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use netcom_transport::AddressWatch;
use tokio::{sync::watch, task};

use super::shared::Shared;
use crate::events::NodeEvent;

/// How often the machine's addresses have changed, and waiting for the next time.
#[derive(Debug, Default)]
pub(crate) struct Moves(watch::Sender<u64>);

/// Waits for changes that come after it was made.
#[derive(Debug)]
pub(crate) struct NextMove(watch::Receiver<u64>);

impl Moves {
    /// Waits for moves from now on.
    pub(crate) fn next(&self) -> NextMove {
        NextMove(self.0.subscribe())
    }

    fn count(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl NextMove {
    /// Returns once the addresses changed since the last call, or since this was made. Cancel safe.
    pub(crate) async fn made(&mut self) {
        if self.0.changed().await.is_err() {
            // The node is gone, and its addresses with it.
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    /// Follows the machine's addresses until the node closes.
    pub(crate) async fn follow_addresses(self: Arc<Self>, mut watch: Box<dyn AddressWatch>) {
        let mut known = watch.addresses().unwrap_or_default();
        loop {
            tokio::select! {
                () = watch.changed() => {}
                () = self.closing() => return,
            }
            match watch.addresses() {
                Ok(present) if present != known => {
                    self.addresses_changed(&known, &present).await;
                    known = present;
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "Interfaces could not be listed"),
            }
        }
    }

    async fn addresses_changed(&self, before: &BTreeSet<IpAddr>, present: &BTreeSet<IpAddr>) {
        let gone: BTreeSet<IpAddr> = before.difference(present).copied().collect();
        let come: BTreeSet<IpAddr> = present.difference(before).copied().collect();
        tracing::debug!(?gone, ?come, "The machine's addresses changed");
        // In this order: what is dialled or sent from here on goes from an address that is there.
        self.transport.addresses_changed(present, &gone);
        self.moves.count();
        self.events.tell(NodeEvent::AddressesChanged {
            gone: gone.iter().copied().collect(),
            come: come.iter().copied().collect(),
        });
        self.changed.notify_one();
        let sessions = self.sessions.all();
        for sessions in sessions.chunks(AT_ONCE) {
            sessions.iter().for_each(|session| session.addresses_changed(&gone, &come));
            task::yield_now().await;
        }
    }
}

/// Sessions looked at before other tasks have their turn.
const AT_ONCE: usize = 64;
