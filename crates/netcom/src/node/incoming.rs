//! Connections that peers open.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::shared::Shared;
use crate::{connection::Connection, session::SharedSession};

/// The connections that peers open to a node, each given out once. Whoever takes none does not
/// have to: services and the request handler run without.
#[derive(Debug)]
pub struct Incoming {
    node: Weak<Shared>,
    queue: Queue,
}

/// Sessions nobody has taken yet. Clones are the same queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    sessions: VecDeque<Arc<SharedSession>>,
    is_closed: bool,
}

impl Incoming {
    pub(crate) fn new(node: &Arc<Shared>) -> Self {
        Self { node: Arc::downgrade(node), queue: node.incoming.clone() }
    }

    /// The next connection; `None` when the node is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Connection> {
        loop {
            let session = self.queue.take().await?;
            let node = self.node.upgrade()?;
            // It may have ended while it waited.
            if session.is_open() {
                let netid = node.proven(&session).netids().first().copied();
                return Some(Connection::new(session, netid, "the peer connected".to_owned()));
            }
        }
    }
}

impl Queue {
    pub(crate) fn push(&self, session: Arc<SharedSession>) {
        let mut waiting = self.0.waiting.lock();
        if waiting.is_closed {
            return;
        }
        if waiting.sessions.len() >= MAX_WAITING {
            waiting.sessions.pop_front();
        }
        waiting.sessions.push_back(session);
        drop(waiting);
        self.0.changed.notify_one();
    }

    /// Ends all waiting, now and later.
    pub(crate) fn close(&self) {
        let mut waiting = self.0.waiting.lock();
        waiting.is_closed = true;
        waiting.sessions.clear();
        drop(waiting);
        self.0.changed.notify_waiters();
    }

    async fn take(&self) -> Option<Arc<SharedSession>> {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            {
                let mut waiting = self.0.waiting.lock();
                if let Some(session) = waiting.sessions.pop_front() {
                    if !waiting.sessions.is_empty() {
                        // One permit is kept at most, however many sessions came.
                        self.0.changed.notify_one();
                    }
                    return Some(session);
                }
                if waiting.is_closed {
                    return None;
                }
            }
            changed.await;
        }
    }
}

/// Sessions that may wait; of more, the oldest are not given out.
const MAX_WAITING: usize = 256;
