//! A secret under a passphrase: Argon2id makes a key of it, ChaCha20-Poly1305 seals with the key.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use zeroize::Zeroizing;

/// What somebody types to unlock a key; wiped from memory when dropped, hidden from `Debug`.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// Why a text is no passphrase.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Nothing was typed; some words that belong together nowhere else are good.
    #[error("the passphrase is empty: choose some words that nobody would put together")]
    Empty,
    /// Longer than anybody types.
    #[error("a passphrase has at most {MAX_PASSPHRASE} bytes")]
    TooLong,
}

impl Passphrase {
    /// Takes what was typed, without the end of the line.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, PassphraseError> {
        let text = Zeroizing::new(text.into());
        match text.len() {
            0 => Err(PassphraseError::Empty),
            1..=MAX_PASSPHRASE => Ok(Self(text)),
            _ => Err(PassphraseError::TooLong),
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What Argon2id was told, and its salt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stretch {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
    pub(super) salt: [u8; 16],
}

/// A sealed secret of 32 bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sealed {
    pub(super) nonce: [u8; 12],
    pub(super) ciphertext: Vec<u8>,
}

impl Stretch {
    /// [RFC 9106](https://www.rfc-editor.org/rfc/rfc9106#section-4)'s second recommendation.
    pub(super) fn recommended(salt: [u8; 16]) -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4, salt }
    }

    /// Whether the parameters are worth something and can be afforded, for files from elsewhere.
    pub(super) fn is_within_bounds(&self) -> bool {
        (8 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }

    fn key(&self, passphrase: &Passphrase) -> Option<Zeroizing<[u8; 32]>> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon2.hash_password_into(passphrase.0.as_bytes(), &self.salt, key.as_mut()).ok()?;
        Some(key)
    }
}

/// Seals a secret; `beside` is what goes along with it in clear and must not be changed.
pub(super) fn seal(
    secret: &[u8; 32],
    beside: &[u8],
    passphrase: &Passphrase,
    stretch: &Stretch,
    nonce: [u8; 12],
) -> Option<Sealed> {
    let key = stretch.key(passphrase)?;
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: secret, aad: beside };
    let ciphertext = cipher.encrypt(&nonce.into(), payload).ok()?;
    Some(Sealed { nonce, ciphertext })
}

/// Opens a sealed secret; `None` if the passphrase is another or anything was changed.
pub(super) fn open(
    sealed: &Sealed,
    beside: &[u8],
    passphrase: &Passphrase,
    stretch: &Stretch,
) -> Option<Zeroizing<[u8; 32]>> {
    let key = stretch.key(passphrase)?;
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: &sealed.ciphertext, aad: beside };
    let opened = Zeroizing::new(cipher.decrypt(&sealed.nonce.into(), payload).ok()?);
    let mut secret = Zeroizing::new([0; 32]);
    if opened.len() != secret.len() {
        return None;
    }
    secret.copy_from_slice(&opened);
    Some(secret)
}

const MAX_PASSPHRASE: usize = 1024;
