//! Why a frame cannot be read.

use crate::{Code, wire::kind};

/// Why [`decode`](super::decode) failed. The peer is at fault: close the session with
/// [`DecodeError::code`] and read its links no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body breaks its layout.
    #[error("frame of type {kind:#04x} is malformed: {flaw}")]
    Malformed {
        /// The frame's type.
        kind: u8,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The frame declares, or a part of it has, more bytes than allowed.
    #[error("frame of type {kind:#04x} has {length} bytes where {limit} are allowed")]
    TooLarge {
        /// The frame's type.
        kind: u8,
        /// The bytes it has or would have.
        length: u64,
        /// The bytes it may have.
        limit: usize,
    },
    /// The type is unknown and may not be skipped.
    #[error("frame type {kind:#04x} is unknown and may not be skipped")]
    UnknownKind {
        /// The frame's type.
        kind: u8,
    },
    /// A HELLO has an unknown entry that may not be skipped.
    #[error("hello entry {id} is unknown and may not be skipped")]
    UnknownEntry {
        /// The entry's id, which is odd.
        id: u64,
    },
}

/// What is wrong in a frame's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// The body ends inside a field.
    #[error("it ends inside a field")]
    Short,
    /// Bytes follow the last field.
    #[error("bytes follow its last field")]
    Trailing,
    /// A bit is set that is unknown or means nothing here.
    #[error("a bit is set that means nothing there")]
    Bits,
    /// A field has a value without meaning.
    #[error("a field has a value without meaning")]
    Value,
    /// Data would end beyond the largest offset.
    #[error("its data ends beyond the largest offset")]
    Offset,
    /// A list has more items than allowed.
    #[error("a list has too many items")]
    TooMany,
    /// A hello has an entry twice.
    #[error("an entry occurs twice")]
    Duplicate,
    /// A hello lacks an entry.
    #[error("a required entry is missing")]
    Missing,
}

impl DecodeError {
    /// The code to close the session with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } => Code::MALFORMED_FRAME,
            Self::TooLarge { .. } => Code::FRAME_TOO_LARGE,
            Self::UnknownKind { .. } | Self::UnknownEntry { .. } => Code::UNKNOWN_CRITICAL,
        }
    }

    pub(super) fn hello(flaw: Flaw) -> Self {
        Self::Malformed { kind: kind::HELLO, flaw }
    }
}
