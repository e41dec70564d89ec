//! What a node does when the machine's addresses change: links from those that are gone are
//! replaced at once, and waiting for a better moment to dial has an end.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use netcom_transport::AddressWatch;
use tokio::{sync::watch, task, time::Instant};

use super::shared::Shared;
use crate::events::NodeEvent;

/// When the machine's addresses changed last, and waiting for the next time.
#[derive(Debug, Default)]
pub(crate) struct Moves(watch::Sender<Option<Instant>>);

/// Waits for changes that come after it was made.
#[derive(Debug)]
pub(crate) struct NextMove(watch::Receiver<Option<Instant>>);

impl Moves {
    /// Waits for moves from now on.
    pub(crate) fn next(&self) -> NextMove {
        NextMove(self.0.subscribe())
    }

    /// Whether there was one so lately that what fails now fails because of it.
    pub(crate) fn are_recent(&self) -> bool {
        self.0.borrow().is_some_and(|at| at.elapsed() < RECENT)
    }

    fn note(&self) {
        self.0.send_replace(Some(Instant::now()));
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
        self.moves.note();
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

const RECENT: Duration = Duration::from_secs(5);
/// Sessions looked at before other tasks have their turn.
const AT_ONCE: usize = 64;
