//! Being wanted: a session lives as long as somebody holds it.

use std::{ops::Deref, sync::Arc};

use super::SharedSession;

/// Wants a session. Once nobody on either side does and no stream is open, it closes as idle.
/// Clones share one claim, so that a call on a connection costs no change of the session.
#[derive(Clone, Debug)]
pub(crate) struct Hold(Arc<Claim>);

#[derive(Debug)]
struct Claim(Arc<SharedSession>);

impl From<Arc<SharedSession>> for Hold {
    fn from(session: Arc<SharedSession>) -> Self {
        session.add_hold();
        Self(Arc::new(Claim(session)))
    }
}

impl Deref for Hold {
    type Target = Arc<SharedSession>;

    fn deref(&self) -> &Self::Target {
        &self.0.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.drop_hold();
    }
}
