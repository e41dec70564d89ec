//! One task wakes all sessions of a node at their deadlines.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Weak},
};

use netcom_session::Time;
use parking_lot::Mutex;
use tokio::{sync::Notify, time};

use super::{SharedSession, clock::Clock};

/// The deadlines of a node's sessions, at most one each.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    due: Mutex<Due>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Due {
    /// By time, then by session.
    sessions: BTreeMap<(Time, u64), Weak<SharedSession>>,
    is_stopped: bool,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, due: Mutex::default(), changed: Notify::new() })
    }

    /// Sets a session's deadline in place of the one it had.
    pub(crate) fn set(&self, session: &Arc<SharedSession>, had: Option<Time>, at: Time) {
        let mut due = self.due.lock();
        if due.is_stopped {
            return;
        }
        if let Some(had) = had {
            due.sessions.remove(&(had, session.key()));
        }
        let is_first = due.sessions.first_key_value().is_none_or(|((first, _), _)| at < *first);
        due.sessions.insert((at, session.key()), Arc::downgrade(session));
        drop(due);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Forgets the deadline of a session that is gone: even a weak reference keeps its memory.
    pub(crate) fn forget(&self, key: u64, at: Time) {
        self.due.lock().sessions.remove(&(at, key));
    }

    /// How many deadlines there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.due.lock().sessions.len()
    }

    /// Lets the task end.
    pub(crate) fn stop(&self) {
        let mut due = self.due.lock();
        due.is_stopped = true;
        due.sessions.clear();
        drop(due);
        self.changed.notify_one();
    }

    /// The task's body.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let (next, is_stopped) = {
                let due = self.due.lock();
                (due.sessions.first_key_value().map(|((at, _), _)| *at), due.is_stopped)
            };
            if is_stopped {
                return;
            }
            let Some(next) = next else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = time::sleep_until(self.clock.instant(next)) => self.expire(),
                () = self.changed.notified() => {}
            }
        }
    }

    fn expire(&self) {
        let now = self.clock.now();
        loop {
            let session = {
                let mut due = self.due.lock();
                let Some(first) = due.sessions.first_entry() else { return };
                if first.key().0 > now {
                    return;
                }
                first.remove()
            };
            if let Some(session) = session.upgrade() {
                // It has ended that session and was counted; the other sessions need this task.
                drop(panic::catch_unwind(AssertUnwindSafe(|| session.handle_timeout())));
            }
        }
    }
}
