//! The name of an entity.

use std::{fmt, str::FromStr};

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};
use libp2p_identity::PeerId;

use crate::{
    key::{KeyError, KeyType, PublicKey, key_type_of},
    representation::{Representation, RepresentationError, Represents},
    time::UnixTime,
};

/// Names a person or a service, whichever nodes speak for it.
///
/// The text form is bech32m and begins with `n1`: 61 characters for an Ed25519 key, 63 for a
/// secp256k1 one, so it fits one DNS label, and a wrong or cut copy is told from a right one.
///
/// ```
/// # use netcom_identity::{NetId, NetIdError, SecretKey};
/// let id = SecretKey::from_bytes(&[7; 32]).net_id();
/// let text = id.to_string();
/// assert!(text.starts_with("n1") && text.len() == 61);
/// assert_eq!(text.parse::<NetId>(), Ok(id));
/// assert_eq!(text[..60].parse::<NetId>(), Err(NetIdError::Length { length: 60 }));
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NetId(PublicKey);

impl NetId {
    /// Reads the binary form: one byte key type, then the key.
    ///
    /// # Errors
    ///
    /// [`NetIdError`] if the bytes are no key of a known type.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetIdError> {
        let Some((number, key)) = bytes.split_first() else {
            return Err(NetIdError::Empty);
        };
        Ok(Self(PublicKey::new(key_type_of(*number)?, key)?))
    }

    /// The binary form: one byte key type, then the key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.0.key_type() as u8];
        bytes.extend_from_slice(self.0.as_bytes());
        bytes
    }

    /// The PeerId of the same key: the one node that speaks for this NetId without a proof.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.peer_id()
    }

    /// The key that signs for this NetId.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0
    }

    /// Checks that `subject`, proven by the link, speaks for this NetId: because the NetId's key
    /// is its own, or by one of the chains it showed.
    ///
    /// `minimum_sequence` is the lowest one not revoked, as far as the caller knows.
    ///
    /// # Errors
    ///
    /// [`RepresentationError`] of the first chain that names this NetId, or
    /// [`RepresentationError::NotClaimed`] if none does.
    pub fn represented_by<'a>(
        &self,
        subject: &PeerId,
        chains: impl IntoIterator<Item = &'a Representation>,
        now: UnixTime,
        minimum_sequence: Option<u64>,
    ) -> Result<Represents, RepresentationError> {
        if *subject == self.peer_id() {
            return Ok(Represents::by_own_key(*self));
        }
        let mut refusal = None;
        for chain in chains {
            if chain.netid() != *self {
                continue;
            }
            match chain.verify(subject, now, minimum_sequence) {
                Ok(represents) => return Ok(represents),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or(RepresentationError::NotClaimed { netid: *self }))
    }
}

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode::<Bech32m>(PREFIX, &self.to_bytes())
            .expect("34 bytes are far below bech32m's limit");
        f.pad(&text)
    }
}

impl fmt::Debug for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetId({self})")
    }
}

impl FromStr for NetId {
    type Err = NetIdError;

    /// Takes the text as it was copied: all small or all capital letters, nothing around it.
    fn from_str(text: &str) -> Result<Self, NetIdError> {
        if text.is_empty() {
            return Err(NetIdError::Empty);
        }
        let Some(("n" | "N", data)) = text.split_once('1') else {
            return Err(NetIdError::Prefix);
        };
        if text.bytes().any(|byte| byte.is_ascii_lowercase())
            && text.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Err(NetIdError::MixedCase);
        }
        if let Some((index, character)) = data.chars().enumerate().find(|(_, c)| !is_bech32(*c)) {
            // Two characters, "n1", come before the data.
            return Err(NetIdError::Character { character, position: index.saturating_add(3) });
        }
        if !matches!(text.len(), TEXT_ED25519 | TEXT_SECP256K1) {
            return Err(NetIdError::Length { length: text.len() });
        }
        let bytes: Vec<u8> = CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| NetIdError::Checksum)?
            .byte_iter()
            .collect();
        let netid = Self::from_bytes(&bytes)?;
        // The padding bits carry nothing, so they must be zero: one name has one text.
        if !netid.to_string().eq_ignore_ascii_case(text) {
            return Err(NetIdError::Checksum);
        }
        Ok(netid)
    }
}

impl From<PublicKey> for NetId {
    fn from(key: PublicKey) -> Self {
        Self(key)
    }
}

impl TryFrom<&PeerId> for NetId {
    type Error = NetIdError;

    /// The entity of the same key, for a node that is its own entity.
    fn try_from(peer_id: &PeerId) -> Result<Self, NetIdError> {
        match PublicKey::from_peer_id(peer_id) {
            Ok(key) => Ok(Self(key)),
            Err(KeyError::Hashed) => Err(NetIdError::HashedPeerId),
            Err(error) => Err(NetIdError::Key(error)),
        }
    }
}

impl TryFrom<PeerId> for NetId {
    type Error = NetIdError;

    fn try_from(peer_id: PeerId) -> Result<Self, NetIdError> {
        Self::try_from(&peer_id)
    }
}

/// Why something is no NetID.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetIdError {
    /// Nothing was given.
    #[error("a NetID is missing here")]
    Empty,
    /// Something else than a NetID, or its beginning was cut off.
    #[error("a NetID begins with n1: copy the whole text, from n1 on")]
    Prefix,
    /// Capital and small letters are mixed, so the text was changed.
    #[error("a NetID does not mix capital and small letters: copy it again, do not retype it")]
    MixedCase,
    /// A character that no NetID has.
    #[error("{character:?} at place {position} is in no NetID: copy it again, do not retype it")]
    Character {
        /// The first such character.
        character: char,
        /// Its place in the text, from 1.
        position: usize,
    },
    /// The text is cut, or something is attached to it.
    #[error(
        "a NetID has 61 or 63 characters, not {length}: {}, copy it again as a whole",
        if *length < 61 { "it was cut" } else { "it was cut, or something else is attached" }
    )]
    Length {
        /// How many characters were given.
        length: usize,
    },
    /// Some character is wrong: the checksum shows it.
    #[error("the NetID's checksum is wrong, so a character is: copy it again")]
    Checksum,
    /// The checksum is right, the key inside is not one to use. Ask its owner for a new one.
    #[error("the NetID holds no key to work with")]
    Key(
        #[from]
        #[source]
        KeyError,
    ),
    /// `Qm…` is the hash of a key and cannot be an entity. Connect to it as a PeerId.
    #[error(
        "a PeerId that begins with Qm holds only the hash of its key, so it names a node \
         but no entity: connect to it as a PeerId, or ask its owner for the NetID"
    )]
    HashedPeerId,
}

fn is_bech32(character: char) -> bool {
    "023456789acdefghjklmnpqrstuvwxyz".contains(character.to_ascii_lowercase())
}

/// `n1` + 53 characters for 33 bytes + 6 of checksum.
const TEXT_ED25519: usize = 61;
/// `n1` + 55 characters for 34 bytes + 6 of checksum.
const TEXT_SECP256K1: usize = 63;

const PREFIX: Hrp = Hrp::parse_unchecked("n");

const _: () = assert!(KeyType::Ed25519 as u8 == 1 && KeyType::Secp256k1 as u8 == 2);
