//! What a node does when the machine's addresses change: links from those that are gone are
//! replaced at once, and waiting for a better moment to dial has an end.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use netcom_transport::AddressWatch;
use tokio::{
    sync::watch,
    task,
    time::{self, Instant},
};

use super::shared::Shared;
use crate::events::NodeEvent;

/// When the machine's addresses changed last, and waiting for the next time.
#[derive(Debug, Default)]
pub(crate) struct Moves(watch::Sender<Changes>);

/// What is known of changes so far.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    last: Option<Instant>,
    count: u64,
    /// How many took an address away.
    losses: u64,
}

/// Waits for changes that come after it was made.
#[derive(Debug)]
pub(crate) struct NextMove {
    changes: watch::Receiver<Changes>,
    /// Those that were told.
    told: Changes,
}

impl Moves {
    /// Waits for moves from now on.
    pub(crate) fn next(&self) -> NextMove {
        let changes = self.0.subscribe();
        let told = *changes.borrow();
        NextMove { changes, told }
    }

    /// Whether there was one so lately that what fails now fails because of it.
    pub(crate) fn are_recent(&self) -> bool {
        self.0.borrow().last.is_some_and(|at| at.elapsed() < RECENT)
    }

    fn note(&self, is_loss: bool) {
        self.0.send_modify(|changes| {
            changes.last = Some(Instant::now());
            changes.count += 1;
            changes.losses += u64::from(is_loss);
        });
    }
}

impl NextMove {
    /// Returns once the addresses changed since the last call, or since this was made; tells
    /// whether one is gone. Cancel safe.
    pub(crate) async fn made(&mut self) -> bool {
        let Changes { count, losses, .. } = self.told;
        let Ok(changes) = self.changes.wait_for(|changes| changes.count != count).await else {
            // The node is gone, and its addresses with it.
            return std::future::pending().await;
        };
        self.told = *changes;
        self.told.losses != losses
    }

    /// Returns once what is dialled since then is better dialled anew: it may go from an address
    /// that is gone, or has no answer while others may have come that lead there. Tells whether one
    /// is gone. Cancel safe: what it did not return is told by the next call, or by `made`.
    pub(crate) async fn overtakes(&mut self, dialled: Instant) -> bool {
        let losses = self.told.losses;
        let is_loss = self.changes.wait_for(|changes| changes.losses != losses);
        drop(time::timeout_at(dialled + PATIENCE, is_loss).await);
        self.made().await
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
        self.moves.note(!gone.is_empty());
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

/// What is dialled has this time, however many addresses come.
const PATIENCE: Duration = Duration::from_secs(1);
const RECENT: Duration = Duration::from_secs(5);
/// Sessions looked at before other tasks have their turn.
const AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_comes_does_not_interrupt_a_dial_that_just_began() {
        let moves = Moves::default();
        let (mut next, dialled) = (moves.next(), Instant::now());
        moves.note(false);
        assert!(time::timeout(PATIENCE / 2, next.overtakes(dialled)).await.is_err());
        assert_eq!(next.made().now_or_never(), Some(false), "who failed before hears of it");
        assert_eq!(next.made().now_or_never(), None);
        moves.note(false);
        assert!(!next.overtakes(dialled).await);
        assert_eq!(dialled.elapsed(), PATIENCE);
        moves.note(true);
        moves.note(false);
        assert_eq!(next.overtakes(Instant::now()).now_or_never(), Some(true));
    }
}
