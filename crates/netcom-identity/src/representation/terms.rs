//! What a statement grants, and for how long.

use super::{MAX_DELEGATIONS, RepresentationError};
use crate::{metadata::Metadata, role::Roles, time::UnixTime};

/// The terms on which a node may speak for an entity.
///
/// Keep the validity short and renew it: that is the surest revocation. Let it begin some minutes
/// ago, because the clocks of those who verify differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    pub(super) sequence: u64,
    pub(super) not_before: UnixTime,
    pub(super) expires: UnixTime,
    pub(super) roles: Roles,
    pub(super) metadata: Metadata,
    pub(super) delegations: u8,
}

impl Terms {
    /// Valid from `not_before` on and until just before `expires`. Give each statement a higher
    /// `sequence` than the last, so that earlier ones can be revoked by naming a minimum.
    #[must_use]
    pub fn new(sequence: u64, not_before: UnixTime, expires: UnixTime) -> Self {
        Self {
            sequence,
            not_before,
            expires,
            roles: Roles::all(),
            metadata: Metadata::new(),
            delegations: 0,
        }
    }

    /// Sets what the node may be for the entity. Default: every role known today.
    #[must_use]
    pub fn roles(mut self, roles: impl Into<Roles>) -> Self {
        self.roles = roles.into();
        self
    }

    /// Sets what the statement says about the node. Default: nothing.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets how many further nodes in a row may be let in, at most [`MAX_DELEGATIONS`]; a higher
    /// number counts as that. Default: 0, none.
    #[must_use]
    pub fn delegations(mut self, delegations: u8) -> Self {
        self.delegations = delegations.min(MAX_DELEGATIONS);
        self
    }

    pub(super) fn check_validity(
        &self,
        step: usize,
        now: UnixTime,
    ) -> Result<(), RepresentationError> {
        let Self { not_before, expires, .. } = *self;
        if not_before >= expires {
            return Err(RepresentationError::NeverValid { step });
        }
        if now < not_before {
            return Err(RepresentationError::NotYetValid { step, not_before, now });
        }
        if now >= expires {
            return Err(RepresentationError::Expired { step, expires, now });
        }
        Ok(())
    }
}
