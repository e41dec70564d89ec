//! Moving files: what is sent, what is taken, and how a transfer goes on after either side died.
//!
//! The sender offers a manifest, the receiver answers with what it has already, the sender sends
//! the rest and the receiver moves everything to its final name once it is verified. The sender
//! is never more than a window ahead of what the receiver keeps, so that a death on either side
//! costs at most that window. docs/protocol/files.md is the specification.

mod folder;
mod frames;
pub(crate) mod fuzzing;
mod journal;
mod manifest;
mod message;
mod names;
mod receiver;
mod scan;
mod sender;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::failure::{Exit, Failure};

pub(crate) use self::{
    folder::Folder,
    frames::{Sink, Source},
    journal::SentLog,
    manifest::Manifest,
    receiver::{Incoming, Place, Progress, Receiver},
    scan::{Scan, scan},
    sender::{Sender, Sent},
};

/// Data goes in pieces of this size.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// A transfer has at most this many files and folders.
pub(crate) const MAX_ENTRIES: usize = 100_000;

/// Why a transfer failed.
#[derive(Clone, Debug)]
pub(crate) struct TransferError {
    pub(crate) failure: Failure,
    /// Trying again, with this node or another one of the entity, can help.
    pub(crate) is_retryable: bool,
    /// The other side does not know yet.
    pub(crate) is_ours: bool,
}

impl TransferError {
    /// The stream broke.
    pub(crate) fn stream(failure: Failure, is_retryable: bool) -> Self {
        Self { failure, is_retryable, is_ours: false }
    }

    /// The other side does not keep to the protocol.
    pub(crate) fn protocol(what: impl fmt::Display) -> Self {
        let message = format!("the other side broke the protocol: {what}");
        Self {
            failure: Failure::failed("transfer_protocol", message),
            is_retryable: false,
            is_ours: true,
        }
    }

    /// It failed here, for a reason the other side is told.
    pub(crate) fn here(failure: Failure) -> Self {
        Self { failure, is_retryable: false, is_ours: true }
    }

    /// The other side says that it failed there.
    fn there(failed: &message::Failed) -> Self {
        let text: String = failed.message.chars().take(MAX_SHOWN).collect();
        let exit = if failed.code == "denied" { Exit::Denied } else { Exit::Failure };
        let is_code = |c: char| c.is_ascii_lowercase() || c == '_';
        let code = match failed.code.len() {
            1..=MAX_CODE if failed.code.chars().all(is_code) => failed.code.clone(),
            _ => "refused_by_peer".to_owned(),
        };
        let failure = Failure::new(exit, code, format!("the other side says: {text}"));
        Self { failure, is_retryable: failed.is_retryable, is_ours: false }
    }

    fn retryable(mut self) -> Self {
        self.is_retryable = true;
        self
    }
}

impl From<message::MessageError> for TransferError {
    fn from(error: message::MessageError) -> Self {
        Self::protocol(error)
    }
}

/// What the other side says is shown up to this length.
const MAX_SHOWN: usize = 300;
/// A code of the other side is taken up to this length.
const MAX_CODE: usize = 64;
