//! What all decoders share.

use crate::{address::AddressError, metadata::MetadataError, netid::NetIdError, peer::PeerIdError};

/// Why received bytes are not what they should be. The sender is at fault, or the copy is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than any valid one; refused before it was read.
    #[error("{what} has {length} bytes, more than the {limit} allowed")]
    TooLong {
        /// What was to be decoded.
        what: &'static str,
        /// How many bytes it has.
        length: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Not an encoding of the thing at all: cut, altered or something else.
    #[error("not the encoding of a {what}, or cut")]
    Malformed {
        /// What was to be decoded.
        what: &'static str,
    },
    /// More of something than allowed.
    #[error("at most {limit} {what} are allowed, not {count}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More delegation steps than the two allowed.
    #[error("a chain of {steps} statements: at most two delegations may follow the first")]
    TooDeep {
        /// How many statements it has.
        steps: usize,
    },
    /// The entity is not named properly.
    #[error("the entity is not named by a NetID")]
    NetId(
        #[from]
        #[source]
        NetIdError,
    ),
    /// The node is not named properly.
    #[error("the node is not named by a PeerId")]
    PeerId(
        #[from]
        #[source]
        PeerIdError,
    ),
    /// The metadata passes its bounds.
    #[error("the metadata is not acceptable")]
    Metadata(
        #[from]
        #[source]
        MetadataError,
    ),
    /// An address is not usable.
    #[error("an address is not acceptable")]
    Address(
        #[from]
        #[source]
        AddressError,
    ),
}

pub(crate) fn check_length(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<(), DecodeError> {
    let length = bytes.len();
    if length > limit { Err(DecodeError::TooLong { what, length, limit }) } else { Ok(()) }
}

pub(crate) fn check_count(
    what: &'static str,
    count: usize,
    limit: usize,
) -> Result<(), DecodeError> {
    if count > limit { Err(DecodeError::TooMany { what, count, limit }) } else { Ok(()) }
}

/// Decodes a Protobuf message whose length was checked.
pub(crate) fn message<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|_| DecodeError::Malformed { what })
}
