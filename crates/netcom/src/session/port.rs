//! The session as one link's driver sees it.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use netcom_session::{Batch, LaneId, LinkId, LinkLoss, Poll, wire::Frame};
use netcom_transport::{Link, LinkClient};
use tokio::time::Instant;

use super::{SharedSession, effects::Effects, shared::LinkEntry, view::LinkInfo};

/// One link's way into its session.
struct Port {
    session: Arc<SharedSession>,
    link: LinkId,
}

impl LinkClient for Port {
    fn receive(&self, lane: LaneId, frames: &mut Vec<Frame>) {
        self.guard(|| {
            self.session.with(Effects::default(), |inner, now| {
                inner.engine.handle_batch(self.link, lane, frames, now);
            });
        });
    }

    fn transmit(&self, budget: usize, batch: &mut Batch) -> Poll {
        let poll = self.guard(|| {
            let mut poll = Poll::Finish;
            // A driver with more to come asks again by itself; else whatever is left must wake it.
            self.session.with_after(Effects::default(), |inner, now, effects| {
                poll = inner.engine.poll_batch(self.link, budget, batch, now);
                effects.except = (poll == Poll::More).then_some(self.link);
            });
            poll
        });
        poll.unwrap_or(Poll::Finish)
    }

    fn lost(&self, reason: LinkLoss) {
        self.guard(|| {
            self.session.with_after(Effects::default(), |inner, now, effects| {
                inner.engine.link_lost(self.link, &reason, now);
                inner.remove_link(self.link, &reason, now, effects);
            });
        });
        self.session.node().drivers.send_modify(|count| *count -= 1);
    }
}

impl Port {
    /// Keeps a panic of the engine from the driver: the session has ended by it, and says so.
    fn guard<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        panic::catch_unwind(AssertUnwindSafe(call)).ok()
    }
}

impl LinkInfo {
    pub(super) fn of(link: &Link) -> Self {
        Self {
            local: Some(link.local_address().clone()),
            remote: Some(link.remote_address().clone()),
            representations: link.representations().to_vec(),
            since: Instant::now(),
        }
    }
}

impl SharedSession {
    /// Starts the driver of a link that the engine has taken.
    pub(super) fn start(self: &Arc<Self>, link: Link, id: LinkId) {
        let port = Port { session: Arc::clone(self), link: id };
        self.node().drivers.send_modify(|count| *count += 1);
        let _runtime = self.node().runtime.enter();
        let driver = link.start(Arc::new(port));
        // What the engine had to say before the driver was known is asked for now.
        let early = driver.clone();
        self.with(Effects::default(), |inner, _| {
            if let Some(entry) = inner.links.iter_mut().find(|entry| entry.id == id) {
                entry.driver = Some(driver);
            }
        });
        early.wake();
    }
}

impl LinkEntry {
    pub(super) fn new(id: LinkId, info: LinkInfo) -> Self {
        Self { id, driver: None, info: Arc::new(info), ended: None }
    }
}
