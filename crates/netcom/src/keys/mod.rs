//! Keys: made here, kept in a data directory, given to the processes of that directory.

mod armor;
mod devices;
mod document;
mod enroll;
mod file;
pub(crate) mod fuzzing;
mod invitation;
mod seal;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use netcom_discovery::private_file::PrivateFileError;
use netcom_identity::SecretKey;

pub(crate) use self::store::{Issuer, ProcessKeys};
pub use self::{
    armor::{Armor, ArmorError},
    devices::Device,
    document::Rotated,
    enroll::{EnrollError, Renewed, Revoked},
    invitation::{InvitationCode, InvitationCodeError},
    seal::{Passphrase, PassphraseError},
    store::{IdentityInfo, IdentityStore},
};

/// Makes a key from the system's randomness.
///
/// ```
/// let key = netcom::generate_key();
/// assert_ne!(key.net_id(), netcom::generate_key().net_id());
/// ```
///
/// # Panics
/// If the system gives no randomness, because nothing safe can be done without.
#[must_use]
pub fn generate_key() -> SecretKey {
    try_generate_key().expect("the system gives randomness")
}

pub(crate) fn try_generate_key() -> Result<SecretKey, getrandom::Error> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(SecretKey::from_bytes(&seed))
}

/// Why a key cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is missing, there already, or open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A newer version wrote it.
    #[error("{} is a key file of version {version}: use the newer netcom", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Its end is missing.
    #[error("{} is cut off: restore it from its backup with netcom id import", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error("{} is damaged, {what}: restore it with netcom id import", path.display())]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It holds a key for something else.
    #[error("{} holds a key for {found}, not for {wanted}: use the right file", path.display())]
    WrongPurpose {
        /// The file.
        path: PathBuf,
        /// What its key is for.
        found: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// It is under a passphrase, which was not given.
    #[error("{} is locked: give its passphrase", path.display())]
    PassphraseMissing {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is another one, or the file was changed.
    #[error("the passphrase does not open {}: type it again", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// Nothing tells on whose behalf the node speaks any more.
    #[error(
        "{} does not let this node speak for the identity, or not any more: give its passphrase, \
         or have a new proof signed",
        path.display()
    )]
    Proof {
        /// The file.
        path: PathBuf,
    },
    /// The register of devices is full.
    #[error("so many nodes were let in that no further one can be: take some back")]
    TooManyDevices,
    /// A passphrase takes 64 MiB of memory to check.
    #[error("there is not enough memory to use a passphrase: free 64 MiB")]
    Memory,
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Random {
        /// Why not.
        source: getrandom::Error,
    },
}

impl KeyFileError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Newer { .. } => "key_newer",
            Self::Truncated { .. } => "key_truncated",
            Self::Corrupted { .. } => "key_corrupted",
            Self::WrongPurpose { .. } => "key_wrong_purpose",
            Self::PassphraseMissing { .. } => "passphrase_missing",
            Self::WrongPassphrase { .. } => "passphrase_wrong",
            Self::Proof { .. } => "proof_missing",
            Self::TooManyDevices => "too_many_devices",
            Self::Memory => "memory",
            Self::Random { .. } => "random",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Truncated { .. } | Self::Corrupted { .. } => {
                Some("move the file away, then netcom id import BACKUP".to_owned())
            }
            Self::Newer { .. } => Some("install the newer netcom".to_owned()),
            Self::Proof { .. } => Some("netcom id enroll, where the key is elsewhere".to_owned()),
            Self::TooManyDevices => Some("netcom id devices, netcom id revoke PEER".to_owned()),
            _ => None,
        }
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File(error) => error.is_retryable(),
            Self::Memory => true,
            _ => false,
        }
    }
}
