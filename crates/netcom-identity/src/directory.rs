//! What a directory says about a name, signed: how `alice.netcom` leads to a document.

use std::fmt;

use prost::Message as _;

use crate::{
    decode::{self, DecodeError},
    entity::{EntityDocument, EntityDocumentError, MAX_ENTITY_BYTES},
    key::{SecretKey, SignatureError},
    name::{DomainError, normalised},
    netid::NetId,
    proto::{self, SignedDirectoryEntry},
    time::UnixTime,
};

/// An encoded entry has at most this many bytes: a document, a name, two signatures and numbers.
pub const MAX_ENTRY_BYTES: usize = MAX_ENTITY_BYTES + 512;
/// An entry that would be valid for longer than this, a week, is refused.
pub const MAX_ENTRY_LIFETIME_SECONDS: u64 = 7 * 24 * 3600;

/// What a directory says about a name, signed by the directory's key.
///
/// Every value of this type bears a valid signature of the directory it was read for, and holds a
/// document that the entity signed and that lists the name. Whether it is still valid, and for the
/// name that was asked, is for [`DirectoryEntry::verify`] to tell.
///
/// ```
/// # use netcom_identity::*;
/// let (directory, alice) = (SecretKey::from_bytes(&[1; 32]), SecretKey::from_bytes(&[2; 32]));
/// let mut description = EntityDescription::new(1, UnixTime(9000));
/// description.names.push("alice.netcom".to_owned());
/// let document = EntityDocument::sign(&alice, description)?;
///
/// let (issued, expires) = (UnixTime(1000), UnixTime(2000));
/// let entry = DirectoryEntry::sign(&directory, "alice.netcom", document, 7, issued, expires)?;
/// let received = DirectoryEntry::decode(&entry.encode(), &directory.net_id())?;
/// received.verify("alice.netcom", UnixTime(1500))?;
/// assert_eq!(received.document().netid(), &alice.net_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct DirectoryEntry {
    directory: NetId,
    name: String,
    document: EntityDocument,
    sequence: u64,
    issued: UnixTime,
    expires: UnixTime,
    encoded: Vec<u8>,
}

impl DirectoryEntry {
    /// Signs, with the directory's key, that `name` leads to the entity of `document`. The
    /// sequence is higher than in every earlier entry of the name.
    ///
    /// # Errors
    ///
    /// [`DirectoryEntryError`] if the document does not list the name, which is given in small
    /// letters and without a dot at its end, or the entry would be valid for too long.
    pub fn sign(
        directory: &SecretKey,
        name: &str,
        document: EntityDocument,
        sequence: u64,
        issued: UnixTime,
        expires: UnixTime,
    ) -> Result<Self, DirectoryEntryError> {
        check(name, &document, issued, expires)?;
        let entry = proto::DirectoryEntry {
            name: name.to_owned(),
            document: document.encode(),
            sequence,
            issued: issued.0,
            expires: expires.0,
        };
        let entry = entry.encode_to_vec();
        let signature = directory.sign(CONTEXT, &entry).to_vec();
        let encoded = SignedDirectoryEntry { entry, signature }.encode_to_vec();
        decode::check_length(WHAT, &encoded, MAX_ENTRY_BYTES)?;
        let (directory, name) = (directory.net_id(), name.to_owned());
        Ok(Self { directory, name, document, sequence, issued, expires, encoded })
    }

    /// Reads an encoding and checks the signatures of the directory, which is `directory`, and of
    /// the entity.
    ///
    /// # Errors
    ///
    /// [`DirectoryEntryError`] if it is malformed, passes its bounds, or is not signed by them.
    pub fn decode(bytes: &[u8], directory: &NetId) -> Result<Self, DirectoryEntryError> {
        decode::check_length(WHAT, bytes, MAX_ENTRY_BYTES)?;
        let signed: SignedDirectoryEntry = decode::message(WHAT, bytes)?;
        // Before anything else, so that nobody but the directory reaches the rest.
        directory.public_key().verify(CONTEXT, &signed.entry, &signed.signature)?;
        let entry: proto::DirectoryEntry = decode::message(WHAT, &signed.entry)?;
        let document = EntityDocument::decode(&entry.document)?;
        let (issued, expires) = (UnixTime(entry.issued), UnixTime(entry.expires));
        check(&entry.name, &document, issued, expires)?;
        Ok(Self {
            directory: *directory,
            name: entry.name,
            document,
            sequence: entry.sequence,
            issued,
            expires,
            encoded: signed.encode_to_vec(),
        })
    }

    /// Checks that the entry is about `name`, and that it and its document are valid at `now`.
    ///
    /// # Errors
    ///
    /// [`DirectoryEntryError`] says what is not so.
    pub fn verify(&self, name: &str, now: UnixTime) -> Result<(), DirectoryEntryError> {
        if self.name != name {
            return Err(DirectoryEntryError::OtherName { name: self.name.clone() });
        }
        if self.issued > now.plus_seconds(CLOCK_TOLERANCE_SECONDS) {
            return Err(DirectoryEntryError::NotYet { issued: self.issued, now });
        }
        if now >= self.expires {
            return Err(DirectoryEntryError::Expired { expires: self.expires, now });
        }
        Ok(self.document.verify(now)?)
    }

    /// The directory that signed the entry.
    #[must_use]
    pub fn directory(&self) -> &NetId {
        &self.directory
    }

    /// The whole name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the entity says about itself; it lists the name.
    #[must_use]
    pub fn document(&self) -> &EntityDocument {
        &self.document
    }

    /// Entries of the same directory and name with a lower sequence are older.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The first second in which it is invalid.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// The encoding, at most [`MAX_ENTRY_BYTES`] long.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encoded.clone()
    }
}

impl fmt::Debug for DirectoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryEntry")
            .field("name", &self.name)
            .field("document", &self.document)
            .field("sequence", &self.sequence)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Why an entry cannot be made or is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryEntryError {
    /// It is malformed or passes a bound.
    #[error("the directory's entry is not acceptable")]
    Content(
        #[from]
        #[source]
        DecodeError,
    ),
    /// The name in it is none, or not written as names are.
    #[error("the directory's entry is for what is no name")]
    Name(
        #[from]
        #[source]
        DomainError,
    ),
    /// Capital letters, or a dot at the end.
    #[error("the directory's entry has its name in capital letters, or with a dot at its end")]
    NameForm,
    /// Another directory signed it, or it was altered. Never use it.
    #[error("the entry is not signed by the key of its directory")]
    Signature(
        #[from]
        #[source]
        SignatureError,
    ),
    /// What the entity is to have said is no document of it, or over.
    #[error("the document in the directory's entry is refused")]
    Document(
        #[from]
        #[source]
        EntityDocumentError,
    ),
    /// The entity does not claim the name.
    #[error("{netid} does not list {name} among its names")]
    NotListed {
        /// The name.
        name: String,
        /// The entity.
        netid: NetId,
    },
    /// An answer to another question.
    #[error("the directory's entry is for {name}")]
    OtherName {
        /// The name it is for.
        name: String,
    },
    /// It ends before it begins, or is meant to hold for longer than a week.
    #[error(
        "the directory's entry is valid from {issued} to {expires}, which is never or too long"
    )]
    Lifetime {
        /// When it was signed.
        issued: UnixTime,
        /// The first invalid second.
        expires: UnixTime,
    },
    /// It comes from the future. Compare the clocks.
    #[error(
        "the directory's entry was signed at {issued}, and it is {now}: compare the clocks of both \
         machines"
    )]
    NotYet {
        /// When it was signed.
        issued: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
    /// An old answer, or a clock that is wrong.
    #[error("the directory's entry expired at {expires}, and it is {now}")]
    Expired {
        /// The first invalid second.
        expires: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
}

/// What holds for every entry, made here or received.
fn check(
    name: &str,
    document: &EntityDocument,
    issued: UnixTime,
    expires: UnixTime,
) -> Result<(), DirectoryEntryError> {
    if normalised(name)? != name {
        return Err(DirectoryEntryError::NameForm);
    }
    if !document.has_name(name) {
        let (name, netid) = (name.to_owned(), *document.netid());
        return Err(DirectoryEntryError::NotListed { name, netid });
    }
    if issued >= expires || expires.seconds_since(issued) > MAX_ENTRY_LIFETIME_SECONDS {
        return Err(DirectoryEntryError::Lifetime { issued, expires });
    }
    Ok(())
}

const WHAT: &str = "directory entry";
/// What a directory's key signs entries for.
pub(crate) const CONTEXT: &str = "netcom/directory-entry/1";
/// How far the clock of a directory may be ahead.
const CLOCK_TOLERANCE_SECONDS: u64 = 300;
