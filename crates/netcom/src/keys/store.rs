//! The keys of a data directory.

use std::{fmt, path::PathBuf};

use netcom_discovery::private_file::{self, PrivateFileError};
use netcom_identity::{
    MAX_REPRESENTATION_BYTES, NetId, PeerId, Representation, SecretKey, Terms, UnixTime,
};
use zeroize::Zeroizing;

use super::{
    Armor as _, KeyFileError, Passphrase,
    devices::{Guard, Register},
    file::{self, KeyFile, Purpose},
    try_generate_key,
};
use crate::{
    clock::{unix_millis, unix_now},
    data_dir::{DataDir, DataDirLock},
};

/// The identity of a data directory: the key that is me, and the node key that speaks for it.
///
/// The identity's key may be under a passphrase; a node then speaks for it by a proof that was
/// signed when the passphrase was given last.
///
/// ```
/// # use netcom::{DataDir, IdentityStore};
/// # let folder = tempfile::tempdir()?;
/// let store = IdentityStore::new(DataDir::open(folder.path().join("netcom"))?);
/// let me = store.create(None)?;
/// assert_eq!(store.load(None)?.net_id(), me);
/// assert!(store.create(None).is_err()); // an identity is never overwritten
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IdentityStore {
    directory: DataDir,
}

/// The public parts of a data directory's identity.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IdentityInfo {
    /// Who it is.
    pub netid: Option<NetId>,
    /// The node that runs where the directory is held; none before it was made.
    pub peer_id: Option<PeerId>,
    /// Whether the identity's key is under a passphrase.
    pub is_encrypted: bool,
}

/// What a process runs under.
pub(crate) struct ProcessKeys {
    pub(crate) node: SecretKey,
    /// Who may renew what the node says of itself.
    pub(crate) issuer: Option<Issuer>,
    /// Proofs for the entity that are numbered lower were taken back here.
    pub(crate) lowest: u64,
}

/// Lets nodes speak for an entity, for a while.
pub(crate) enum Issuer {
    /// By the entity's own key. Proofs get the time as their number, and `lowest` at least: what is
    /// lower was taken back.
    Identity { key: SecretKey, lowest: u64 },
    /// By a node that may let another one in.
    Delegate { key: SecretKey, chain: Box<Representation> },
    /// By a proof that is there already, for this one node.
    Given(Box<Representation>),
}

impl IdentityStore {
    /// Uses a data directory.
    #[must_use]
    pub fn new(directory: DataDir) -> Self {
        Self { directory }
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &DataDir {
        &self.directory
    }

    /// Whether there is an identity, readable or not.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.identity_path().symlink_metadata().is_ok()
    }

    /// Makes an identity, under a passphrase if one is given.
    ///
    /// # Errors
    /// There is one already, which is never overwritten, or the system says no.
    pub fn create(&self, passphrase: Option<&Passphrase>) -> Result<NetId, KeyFileError> {
        let key = try_generate_key().map_err(|source| KeyFileError::Random { source })?;
        self.keep(&key, passphrase)
    }

    /// The identity's secret key.
    ///
    /// # Errors
    /// The file is missing, damaged, locked, or open to others.
    pub fn load(&self, passphrase: Option<&Passphrase>) -> Result<SecretKey, KeyFileError> {
        self.identity()?.open(passphrase, Purpose::Identity, &self.identity_path())
    }

    /// The public parts, for which no passphrase is needed.
    ///
    /// # Errors
    /// A file is damaged or open to others.
    pub fn show(&self) -> Result<IdentityInfo, KeyFileError> {
        let mut info = IdentityInfo { netid: None, peer_id: None, is_encrypted: false };
        if let Some(identity) = present(self.identity())? {
            info.is_encrypted = identity.is_sealed();
            let corrupted = || self.corrupted(self.identity_path(), "its public key is no NetID");
            info.netid = Some(identity.public.parse().map_err(|_| corrupted())?);
        } else if let Some(proof) = self.proof()? {
            info.netid = Some(proof.netid());
        }
        if let Some(node) = present(self.node_key())? {
            info.peer_id = Some(node.peer_id());
        }
        Ok(info)
    }

    /// A backup of the identity's key under a passphrase, to be kept elsewhere.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn export(
        &self,
        current: Option<&Passphrase>,
        under: &Passphrase,
    ) -> Result<String, KeyFileError> {
        file::sealed(&self.load(current)?, Purpose::Identity, under)
    }

    /// Takes an identity back from a backup that `passphrase` opens, and keeps it under `keep`.
    ///
    /// # Errors
    /// The backup is damaged or locked, or there is an identity already.
    pub fn import(
        &self,
        backup: &str,
        passphrase: Option<&Passphrase>,
        keep: Option<&Passphrase>,
    ) -> Result<NetId, KeyFileError> {
        let path = PathBuf::from("the backup");
        let file = KeyFile::parse(backup, Purpose::Identity, &path)?;
        self.keep(&file.open(passphrase, Purpose::Identity, &path)?, keep)
    }

    /// What this process runs under: the stored node key where it holds the directory, else a
    /// fresh one that speaks for the same identity.
    pub(crate) fn process_keys(
        &self,
        lock: Option<&DataDirLock>,
        passphrase: Option<&Passphrase>,
    ) -> Result<ProcessKeys, KeyFileError> {
        // Whoever writes a proof must see the key that others may be replacing.
        let _guard = lock.map(|_| Guard::take(self.directory.path())).transpose()?;
        let file = present(self.identity())?;
        let Some(file) = file.filter(|file| passphrase.is_some() || !file.is_sealed()) else {
            return self.process_keys_without_identity(lock);
        };
        let key = file.open(passphrase, Purpose::Identity, &self.identity_path())?;
        let lowest = Register::read(self.directory.path())?.lowest_sequence;
        let node = match lock {
            None => fresh()?,
            Some(_) => {
                let node = self.node_key_or_new()?;
                self.renew_proof(&key, &node, unix_millis().max(lowest))?;
                node
            }
        };
        Ok(ProcessKeys { node, issuer: Some(Issuer::Identity { key, lowest }), lowest })
    }

    /// The identity's key is locked, or kept elsewhere: the stored node key speaks for it, or for
    /// nobody.
    fn process_keys_without_identity(
        &self,
        lock: Option<&DataDirLock>,
    ) -> Result<ProcessKeys, KeyFileError> {
        let named = present(self.identity())?.map(|file| file.public);
        let proof = self.proof()?;
        let lowest = Register::read(self.directory.path())?.lowest_sequence;
        let stored = match (lock, &proof) {
            (Some(_), _) => Some(self.node_key_or_new()?),
            (None, Some(_)) => present(self.node_key())?,
            (None, None) => None,
        };
        let usable = proof.filter(|proof| {
            let is_other = named.as_ref().is_some_and(|named| *named != proof.netid().to_string());
            if is_other {
                return false;
            }
            let subject = stored.as_ref().map(SecretKey::peer_id);
            subject.is_some_and(|subject| proof.verify(&subject, unix_now(), Some(lowest)).is_ok())
        });
        match (usable, stored, lock) {
            (Some(chain), Some(node), Some(_)) => {
                Ok(ProcessKeys { node, issuer: Some(Issuer::Given(Box::new(chain))), lowest })
            }
            (Some(chain), Some(key), None) => {
                let (node, chain) = (fresh()?, Box::new(chain));
                let issuer = Issuer::Delegate { key, chain };
                if issuer.issue(node.peer_id(), unix_now()).is_none() {
                    tracing::warn!(
                        target: "netcom::setup",
                        netid = %issuer.netid(),
                        "This process speaks for nobody: the proof of its data directory is for \
                         the one node of it alone. Let it in again, with --delegations 1"
                    );
                }
                Ok(ProcessKeys { node, issuer: Some(issuer), lowest })
            }
            // Somebody is named here, and nothing lets a node speak for them.
            _ if named.is_some() => {
                Err(KeyFileError::PassphraseMissing { path: self.identity_path() })
            }
            _ if self.proof_path().exists() => Err(KeyFileError::Proof { path: self.proof_path() }),
            (_, Some(node), Some(_)) => Ok(ProcessKeys { node, issuer: None, lowest }),
            _ => Ok(ProcessKeys { node: fresh()?, issuer: None, lowest }),
        }
    }

    fn keep(
        &self,
        key: &SecretKey,
        passphrase: Option<&Passphrase>,
    ) -> Result<NetId, KeyFileError> {
        let _guard = Guard::take(self.directory.path())?;
        let path = self.identity_path();
        if self.has_identity() {
            return Err(PrivateFileError::Exists { path }.into());
        }
        // The directory was let in by somebody, and would be somebody else.
        if self.proof()?.is_some_and(|proof| proof.netid() != key.net_id()) {
            return Err(PrivateFileError::Exists { path: self.proof_path() }.into());
        }
        let text = match passphrase {
            None => file::plain(key, Purpose::Identity),
            Some(passphrase) => Zeroizing::new(file::sealed(key, Purpose::Identity, passphrase)?),
        };
        private_file::create(&path, text.as_bytes())?;
        // While the key is at hand: later it may be under its passphrase.
        let node = self.node_key_or_new()?;
        let lowest = Register::read(self.directory.path())?.lowest_sequence;
        self.renew_proof(key, &node, unix_millis().max(lowest))?;
        Ok(key.net_id())
    }

    /// Lets the stored node key speak for the identity, and others in its name, by a proof of this
    /// number.
    pub(super) fn renew_proof(
        &self,
        identity: &SecretKey,
        node: &SecretKey,
        number: u64,
    ) -> Result<(), KeyFileError> {
        let terms = terms(number, unix_now(), STORED_SECONDS).delegations(1);
        let proof = Representation::issue(identity, node.peer_id(), &terms);
        self.keep_proof(&proof)
    }

    pub(super) fn proof(&self) -> Result<Option<Representation>, KeyFileError> {
        let path = self.proof_path();
        let max = 2 * MAX_REPRESENTATION_BYTES as u64 + 64;
        let read = private_file::read(&path, max).map_err(KeyFileError::from);
        let Some(text) = present(read)? else { return Ok(None) };
        let proof =
            str::from_utf8(&text).ok().and_then(|text| Representation::from_text(text).ok());
        match proof {
            Some(proof) => Ok(Some(proof)),
            None => Err(self.corrupted(path, "it holds no proof")),
        }
    }

    fn identity(&self) -> Result<KeyFile, KeyFileError> {
        self.read(Purpose::Identity, &self.identity_path())
    }

    pub(super) fn node_key(&self) -> Result<SecretKey, KeyFileError> {
        let path = self.directory.path().join("node.key");
        self.read(Purpose::Node, &path)?.open(None, Purpose::Node, &path)
    }

    pub(super) fn node_key_or_new(&self) -> Result<SecretKey, KeyFileError> {
        if let Some(key) = present(self.node_key())? {
            return Ok(key);
        }
        let path = self.directory.path().join("node.key");
        let key = fresh()?;
        match private_file::create(&path, file::plain(&key, Purpose::Node).as_bytes()) {
            Ok(()) => Ok(key),
            // Another process was quicker.
            Err(PrivateFileError::Exists { .. }) => self.node_key(),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn read(
        &self,
        purpose: Purpose,
        path: &std::path::Path,
    ) -> Result<KeyFile, KeyFileError> {
        let bytes = private_file::read(path, MAX_KEY_FILE)?;
        let text =
            str::from_utf8(&bytes).map_err(|_| self.corrupted(path.to_owned(), "it is no text"))?;
        KeyFile::parse(text, purpose, path)
    }

    pub(super) fn corrupted(&self, path: PathBuf, what: &str) -> KeyFileError {
        KeyFileError::Corrupted { path, what: what.to_owned() }
    }

    pub(super) fn identity_path(&self) -> PathBuf {
        self.directory.path().join("identity.key")
    }

    pub(super) fn proof_path(&self) -> PathBuf {
        self.directory.path().join("node.proof")
    }
}

impl Issuer {
    /// Lets `subject` speak for the entity from `now` on; `None` if this issuer cannot.
    pub(crate) fn issue(&self, subject: PeerId, now: UnixTime) -> Option<Representation> {
        let terms = |least: u64| terms(unix_millis().max(least), now, PROCESS_SECONDS);
        match self {
            Self::Identity { key, lowest } => {
                Some(Representation::issue(key, subject, &terms(*lowest)))
            }
            // What its own proof is numbered counts, even where this clock is behind.
            Self::Delegate { key, chain } => {
                chain.delegate(key, subject, &terms(chain.sequence())).ok()
            }
            Self::Given(chain) => {
                (chain.subject() == subject).then(|| Representation::clone(chain))
            }
        }
    }

    /// The entity.
    pub(crate) fn netid(&self) -> NetId {
        match self {
            Self::Identity { key, .. } => key.net_id(),
            Self::Delegate { chain, .. } | Self::Given(chain) => chain.netid(),
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.netid())
    }
}

impl fmt::Debug for ProcessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessKeys({})", self.node.peer_id())
    }
}

pub(super) fn fresh() -> Result<SecretKey, KeyFileError> {
    try_generate_key().map_err(|source| KeyFileError::Random { source })
}

/// Statements from `now` on, and a little before, because clocks differ.
pub(super) fn terms(sequence: u64, now: UnixTime, seconds: u64) -> Terms {
    Terms::new(sequence, now.minus_seconds(CLOCK_SECONDS), now.plus_seconds(seconds))
}

/// Turns a missing file into none.
pub(super) fn present<T>(read: Result<T, KeyFileError>) -> Result<Option<T>, KeyFileError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(KeyFileError::File(PrivateFileError::Missing { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

const MAX_KEY_FILE: u64 = 4096;
/// A process's proof lasts a day and is renewed at half of it.
const PROCESS_SECONDS: u64 = 24 * 3600;
/// The stored node key's proof lasts a year, for identities under a passphrase.
const STORED_SECONDS: u64 = 365 * 24 * 3600;
/// How far the clocks of two machines may differ.
const CLOCK_SECONDS: u64 = 600;
