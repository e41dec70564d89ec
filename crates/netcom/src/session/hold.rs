//! Being wanted: a session lives as long as somebody holds it.

use std::{ops::Deref, sync::Arc};

use super::SharedSession;

/// Wants a session. Once nobody on either side does and no stream is open, it closes as idle.
#[derive(Debug)]
pub(crate) struct Hold(Arc<SharedSession>);

impl From<Arc<SharedSession>> for Hold {
    fn from(session: Arc<SharedSession>) -> Self {
        session.add_hold();
        Self(session)
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::from(Arc::clone(&self.0))
    }
}

impl Deref for Hold {
    type Target = Arc<SharedSession>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.drop_hold();
    }
}
