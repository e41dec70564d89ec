//! Lets strangers begin a handshake, and remembers how many are at it.

use std::{net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    counters::Counters,
    half_open::{HalfOpen, SlotId},
};

/// Everything that is not a session yet, from the first byte to the HELLO.
#[derive(Debug)]
pub(crate) struct Admission {
    table: Mutex<HalfOpen<Arc<Notify>>>,
    counters: Arc<Counters>,
}

/// A stranger's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
    id: SlotId,
    evicted: Arc<Notify>,
}

impl Admission {
    pub(crate) fn new(total: usize, per_prefix: usize, counters: Arc<Counters>) -> Self {
        Self { table: Mutex::new(HalfOpen::new(total, per_prefix)), counters }
    }

    /// Gives a stranger a place, if need be somebody else's.
    pub(crate) fn admit(self: &Arc<Self>, from: IpAddr) -> Slot {
        let evicted = Arc::new(Notify::new());
        let (id, other) = self.table.lock().insert(from, Arc::clone(&evicted));
        if let Some(other) = other {
            self.counters.count_crowded_out();
            other.notify_one();
        }
        Slot { admission: Arc::clone(self), id, evicted }
    }

    /// How many strangers there are.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }
}

impl Slot {
    /// Waits until somebody else needs the place.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.table.lock().remove(self.id);
    }
}
