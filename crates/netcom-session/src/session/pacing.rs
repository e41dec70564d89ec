//! Holding data back where its rate is limited.

use super::core::Core;
use crate::Time;

impl Core {
    /// Whether data waits that may go, as far as the rate is concerned.
    pub(crate) fn has_data(&self) -> bool {
        !self.scheduler.is_empty() && self.paced_until.is_none()
    }

    /// Whether the rate allows a frame of data now. Notes until when what waits is held back.
    pub(crate) fn may_send(&mut self, now: Time) -> bool {
        let Some(pace) = self.pace.filter(|pace| !pace.is_ready(now)) else {
            return true;
        };
        self.paced_until = (!self.scheduler.is_empty()).then(|| pace.ready_at());
        false
    }

    /// Charges what went.
    pub(crate) fn spend(&mut self, bytes: usize, now: Time) {
        if let Some(pace) = &mut self.pace {
            pace.spend(bytes as u64, now);
        }
    }

    /// Lets go what was held back until now.
    pub(crate) fn due_pace(&mut self, now: Time) {
        self.paced_until = self.paced_until.filter(|at| *at > now);
    }
}
