//! A session whose links all ended before one became part of it.

use std::sync::Arc;

use netcom_session::{Code, State, Time};

use super::{SharedSession, effects::Effects, shared::Inner};

impl SharedSession {
    /// Whoever dialled in place of a link without an answer has done so, or given up.
    pub(crate) fn end_replacing(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| {
            inner.replacing = None;
            inner.abandon_unattached(now);
        });
    }

    /// Ends a session whose links all ended before one became part of it.
    pub(super) fn abandon_unattached(self: &Arc<Self>) {
        self.with(Effects::default(), Inner::abandon_unattached);
    }
}

impl Inner {
    /// Ends a session whose links all ended before one became part of it: whoever dials again
    /// makes another one, and what waits on this one waits for nothing. Where a network lost the
    /// answer, or what asks for it, another link is dialled first.
    pub(super) fn abandon_unattached(&mut self, now: Time) {
        let is_attaching = self.engine.state() == State::Attaching;
        let is_replacing = self.replacing.is_some() && self.holds > 0;
        if !self.has_no_link() || !is_attaching || is_replacing {
            return;
        }
        let code = self.attach_failure.unwrap_or(Code::CANCELLED);
        if code == Code::HANDSHAKE_TIMEOUT && self.holds > 0 && self.unanswered < MAX_UNANSWERED {
            self.unanswered += 1;
            self.replacing = Some(false);
            return;
        }
        self.engine.close(code, "no link became part of the session", now);
    }
}

/// Links without an answer that are replaced before a session is given up that never had one.
const MAX_UNANSWERED: u8 = 2;
