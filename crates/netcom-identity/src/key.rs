//! Keys that sign, and the encodings libp2p gives them.

use std::{fmt, ops::Deref};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use libp2p_identity::PeerId;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::netid::NetId;

/// Proves an identity by signing. Ed25519 today; wiped from memory when dropped.
///
/// It has no text form, and `Debug` shows nothing of it. Keeping it safe is the caller's part.
///
/// ```
/// # use netcom_identity::SecretKey;
/// let key = SecretKey::from_bytes(&[7; 32]);
/// let signature = key.sign("example/1", b"hello");
/// assert!(key.public_key().verify("example/1", b"hello", &signature).is_ok());
/// assert!(key.public_key().verify("example/2", b"hello", &signature).is_err());
/// assert_eq!(format!("{key:?}"), "SecretKey(..)");
/// ```
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The Ed25519 key of a seed, which must come from a cryptographic random source.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to be kept as a secret. Whoever has it is this identity.
    #[must_use]
    pub fn export_secret(&self) -> SecretBytes {
        SecretBytes(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(Key::Ed25519(self.0.verifying_key().to_bytes()))
    }

    /// The name of the node that runs under this key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.public_key().peer_id()
    }

    /// The name of the entity this key stands for.
    #[must_use]
    pub fn net_id(&self) -> NetId {
        NetId::from(self.public_key())
    }

    /// Signs `message` for one use, the `context`: no other use takes the signature.
    #[must_use]
    pub fn sign(&self, context: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&separated(context, message)).to_bytes()
    }

    /// Signs a certificate's public key as libp2p's TLS handshake asks for.
    ///
    /// See the [libp2p TLS specification](https://github.com/libp2p/specs/blob/master/tls/tls.md).
    #[must_use]
    pub fn sign_libp2p_tls(&self, subject_public_key_info: &[u8]) -> Vec<u8> {
        self.0.sign(&libp2p_tls_message(subject_public_key_info)).to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// The bytes of a secret key; wiped from memory when dropped, hidden from `Debug`.
#[derive(Clone)]
pub struct SecretBytes([u8; 32]);

impl Deref for SecretBytes {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// Which signature scheme a key belongs to. The numbers are libp2p's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum KeyType {
    /// Ed25519 ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)).
    Ed25519 = 1,
    /// ECDSA over secp256k1. Such keys can be named, not yet used: every signature is refused.
    Secp256k1 = 2,
}

impl KeyType {
    /// How many bytes a public key of this type has.
    #[must_use]
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::Secp256k1 => 33,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::Secp256k1 => "secp256k1",
        })
    }
}

/// Checks signatures of the one who holds the [`SecretKey`].
///
/// A value of this type is a well-formed key: for Ed25519 a canonical point that is not of small
/// order, so that no signature holds for every message.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublicKey(Key);

#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Key {
    Ed25519([u8; 32]),
    Secp256k1([u8; 33]),
}

impl PublicKey {
    /// Reads a key of a known type.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the bytes are no key of that type, or one that must not be used.
    pub fn new(key_type: KeyType, key: &[u8]) -> Result<Self, KeyError> {
        let wrong_length =
            |_| KeyError::Length { key_type, length: key.len(), expected: key_type.key_bytes() };
        match key_type {
            KeyType::Ed25519 => {
                let key: [u8; 32] = key.try_into().map_err(wrong_length)?;
                check_ed25519(&key)?;
                Ok(Self(Key::Ed25519(key)))
            }
            KeyType::Secp256k1 => {
                let key: [u8; 33] = key.try_into().map_err(wrong_length)?;
                let [0x02 | 0x03, x @ ..] = &key else { return Err(KeyError::NotAPoint) };
                if *x >= SECP256K1_FIELD {
                    return Err(KeyError::NotAPoint);
                }
                Ok(Self(Key::Secp256k1(key)))
            }
        }
    }

    /// Reads a key in libp2p's encoding, of which only the one deterministic form is taken.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the bytes are no such encoding, or the key is of a type not taken here.
    pub fn from_protobuf(encoded: &[u8]) -> Result<Self, KeyError> {
        let &[0x08, number, 0x12, length, ref key @ ..] = encoded else {
            return Err(KeyError::Malformed);
        };
        let key_type = key_type_of(number)?;
        if usize::from(length) != key.len() {
            return Err(KeyError::Malformed);
        }
        Self::new(key_type, key)
    }

    /// The key in libp2p's encoding.
    ///
    /// ```
    /// # use netcom_identity::{PublicKey, SecretKey};
    /// let key = SecretKey::from_bytes(&[7; 32]).public_key();
    /// assert_eq!(PublicKey::from_protobuf(&key.to_protobuf()), Ok(key));
    /// ```
    #[must_use]
    pub fn to_protobuf(&self) -> Vec<u8> {
        let key = self.as_bytes();
        let mut encoded = vec![0x08, self.key_type() as u8, 0x12, key.len() as u8];
        encoded.extend_from_slice(key);
        encoded
    }

    /// Reads the key out of a PeerId that holds it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Hashed`] for `Qm…`, which has only the hash of a key; others as for
    /// [`PublicKey::from_protobuf`].
    pub fn from_peer_id(peer_id: &PeerId) -> Result<Self, KeyError> {
        match peer_id.to_bytes().as_slice() {
            [0x00, _, encoded @ ..] => Self::from_protobuf(encoded),
            _ => Err(KeyError::Hashed),
        }
    }

    /// The name of the node that runs under this key.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "libp2p takes every key of at most 42 bytes")]
    pub fn peer_id(&self) -> PeerId {
        let encoded = self.to_protobuf();
        let mut multihash = vec![0x00, encoded.len() as u8];
        multihash.extend_from_slice(&encoded);
        PeerId::from_bytes(&multihash).expect("a key of at most 42 bytes is its own multihash")
    }

    /// The signature scheme.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self.0 {
            Key::Ed25519(_) => KeyType::Ed25519,
            Key::Secp256k1(_) => KeyType::Secp256k1,
        }
    }

    /// The bare key: 32 bytes for Ed25519, 33 (compressed) for secp256k1.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Key::Ed25519(key) => key,
            Key::Secp256k1(key) => key,
        }
    }

    /// Checks that the holder of the key signed `message` for `context`.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] if not. Two different signatures of one message never both pass unless
    /// the holder made both.
    pub fn verify(
        &self,
        context: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        self.verify_bare(&separated(context, message), signature)
    }

    /// Checks the signature in a libp2p certificate over that certificate's public key.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] if the holder of this key did not sign it.
    pub fn verify_libp2p_tls(
        &self,
        subject_public_key_info: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        self.verify_bare(&libp2p_tls_message(subject_public_key_info), signature)
    }

    /// Checks a signature over exactly these bytes, whatever they are for.
    pub(crate) fn verify_bare(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let Key::Ed25519(key) = &self.0 else {
            return Err(SignatureError::UnsupportedKey(self.key_type()));
        };
        let signature = Signature::from_slice(signature)
            .map_err(|_| SignatureError::Length { length: signature.len() })?;
        VerifyingKey::from_bytes(key)
            .and_then(|key| key.verify_strict(message, &signature))
            .map_err(|_| SignatureError::Mismatch)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = data_encoding::HEXLOWER.encode(self.as_bytes());
        write!(f, "PublicKey({}, {hex})", self.key_type())
    }
}

/// Why bytes are no public key to work with.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not libp2p's encoding of a key, or not its deterministic form.
    #[error("not a public key in libp2p's encoding")]
    Malformed,
    /// A type of key that is not taken. Ask the peer for an Ed25519 key.
    #[error("keys of type {number} are not supported, ask for an Ed25519 key")]
    UnsupportedType {
        /// The type's number; 0 is RSA and 3 is ECDSA in libp2p's numbering.
        number: u8,
    },
    /// The key is cut or too long. Copy it again as a whole.
    #[error("{key_type} keys have {expected} bytes, not {length}")]
    Length {
        /// The type the key claims to be of.
        key_type: KeyType,
        /// How many bytes it has.
        length: usize,
        /// How many it should have.
        expected: usize,
    },
    /// The bytes name no point of the curve: a damaged copy, or not a key at all.
    #[error("not a point of the key's curve: the copy is damaged")]
    NotAPoint,
    /// A key for which anyone can make signatures. Nobody honest has one.
    #[error("a key of small order, which proves nothing")]
    Weak,
    /// The PeerId holds only a hash (`Qm…`); the key itself must come from elsewhere.
    #[error("a peer id that begins with Qm holds only the hash of its key")]
    Hashed,
}

/// Why a signature is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Signed by another key, over other bytes, for another context, or altered since.
    #[error("the signature does not fit the key and the message")]
    Mismatch,
    /// Signatures have 64 bytes: this one is cut or something else.
    #[error("a signature has 64 bytes, not {length}")]
    Length {
        /// How many bytes were given.
        length: usize,
    },
    /// The key is of a type whose signatures cannot be checked yet.
    #[error("signatures of {0} keys cannot be checked, use an Ed25519 key")]
    UnsupportedKey(KeyType),
}

/// The key type of a number in an encoding.
pub(crate) fn key_type_of(number: u8) -> Result<KeyType, KeyError> {
    match number {
        1 => Ok(KeyType::Ed25519),
        2 => Ok(KeyType::Secp256k1),
        _ => Err(KeyError::UnsupportedType { number }),
    }
}

fn check_ed25519(key: &[u8; 32]) -> Result<(), KeyError> {
    // The curve library also takes y ≥ p, which would give one key two names. These y are
    // 2^255 - 19 .. 2^255 - 1: the low byte at least 0xed and all bits above it set.
    let [low, middle @ .., high] = key;
    if *low >= 0xed && middle.iter().all(|byte| *byte == 0xff) && high & 0x7f == 0x7f {
        return Err(KeyError::NotAPoint);
    }
    let key = VerifyingKey::from_bytes(key).map_err(|_| KeyError::NotAPoint)?;
    if key.is_weak() { Err(KeyError::Weak) } else { Ok(()) }
}

/// What is signed for a context. No two pairs of context and message give the same bytes, and no
/// message of libp2p's own protocols begins like this.
fn separated(context: &str, message: &[u8]) -> Vec<u8> {
    let length = context.len() as u64;
    [SIGNATURE_PREFIX, &length.to_be_bytes(), context.as_bytes(), message].concat()
}

fn libp2p_tls_message(subject_public_key_info: &[u8]) -> Vec<u8> {
    [LIBP2P_TLS_PREFIX, subject_public_key_info].concat()
}

const SIGNATURE_PREFIX: &[u8] = b"netcom-signature-v1:";

/// <https://github.com/libp2p/specs/blob/master/tls/tls.md#libp2p-public-key-extension>
const LIBP2P_TLS_PREFIX: &[u8] = b"libp2p-tls-handshake:";

/// The prime of secp256k1's field: no coordinate reaches it.
const SECP256K1_FIELD: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xfc, 0x2f,
];
