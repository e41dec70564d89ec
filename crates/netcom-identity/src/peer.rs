//! PeerIds as text and bytes, more strictly than libp2p reads them.

use libp2p_identity::PeerId;

use crate::key::{KeyError, PublicKey};

/// Reads the text of a PeerId, `12D3KooW…` or `Qm…`.
///
/// A PeerId has no checksum: a cut copy is always noticed, a wrong character only half of the time.
/// Prefer the text of a [`NetId`](crate::NetId) where people copy by hand.
///
/// # Errors
///
/// [`PeerIdError`] says what is wrong with the text.
///
/// ```
/// # use netcom_identity::{SecretKey, parse_peer_id};
/// let id = SecretKey::from_bytes(&[7; 32]).peer_id();
/// assert_eq!(parse_peer_id(&id.to_string()), Ok(id));
/// ```
pub fn parse_peer_id(text: &str) -> Result<PeerId, PeerIdError> {
    if text.is_empty() {
        return Err(PeerIdError::Empty);
    }
    if let Some((index, character)) = text.chars().enumerate().find(|(_, c)| !is_base58(*c)) {
        return Err(PeerIdError::Character { character, position: index.saturating_add(1) });
    }
    // The longest known kind has 53 characters; decoding takes quadratic time.
    if text.len() > MAX_TEXT {
        return Err(PeerIdError::Damaged);
    }
    let peer_id: PeerId = text.parse().map_err(|_| PeerIdError::Damaged)?;
    check(&peer_id)?;
    if peer_id.to_base58() == text { Ok(peer_id) } else { Err(PeerIdError::Damaged) }
}

/// Reads the binary form of a PeerId.
///
/// # Errors
///
/// [`PeerIdError`] unless it is the one encoding of a key, or of the SHA-256 hash of a key.
pub fn peer_id_from_bytes(bytes: &[u8]) -> Result<PeerId, PeerIdError> {
    let peer_id = PeerId::from_bytes(bytes).map_err(|_| PeerIdError::Damaged)?;
    check(&peer_id)?;
    if peer_id.to_bytes() == bytes { Ok(peer_id) } else { Err(PeerIdError::Damaged) }
}

/// Why something is no PeerId.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// Nothing was given.
    #[error("a PeerId is missing here")]
    Empty,
    /// A character that no PeerId has.
    #[error("{character:?} at place {position} is in no PeerId: copy it again, do not retype it")]
    Character {
        /// The first such character.
        character: char,
        /// Its place in the text, from 1.
        position: usize,
    },
    /// Cut, altered, or something else.
    #[error("not a whole PeerId: copy it again from its first to its last character")]
    Damaged,
    /// The key inside is of no use. Ask the node's owner for its PeerId.
    #[error("the PeerId holds no key to work with")]
    Key(#[source] KeyError),
}

/// A PeerId is either a key or a SHA-256 hash; libp2p's type takes any bytes as either.
fn check(peer_id: &PeerId) -> Result<(), PeerIdError> {
    match PublicKey::from_peer_id(peer_id) {
        Ok(_) => Ok(()),
        Err(KeyError::Hashed) => match peer_id.to_bytes().as_slice() {
            [0x12, 32, hash @ ..] if hash.len() == 32 => Ok(()),
            _ => Err(PeerIdError::Damaged),
        },
        Err(KeyError::Malformed | KeyError::Length { .. }) => Err(PeerIdError::Damaged),
        Err(error) => Err(PeerIdError::Key(error)),
    }
}

fn is_base58(character: char) -> bool {
    character.is_ascii_alphanumeric() && !matches!(character, '0' | 'O' | 'I' | 'l')
}

const MAX_TEXT: usize = 64;
