//! What keeps a node running: its handles.

use std::sync::Arc;

use super::shared::Shared;

/// Closes the node when the last clone of it is gone.
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self(shared))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.0.is_closing() {
            let shared = Arc::clone(&self.0);
            // Where the runtime is gone the sockets are too.
            self.0.runtime.spawn(async move { shared.close().await });
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.0.peer)
    }
}
