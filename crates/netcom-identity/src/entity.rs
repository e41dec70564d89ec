//! What an entity says about itself, signed: the document that a name leads to.

use std::fmt;

use multiaddr::Multiaddr;
use prost::Message as _;

use crate::{
    address::{self, AddressError, last_peer_id},
    decode::{self, DecodeError},
    key::{SecretKey, SignatureError},
    metadata::Metadata,
    name::{DomainError, normalised},
    netid::NetId,
    proto::{self, SignedEntityDocument},
    representation::MAX_DELEGATIONS,
    time::UnixTime,
};

/// An encoded document has at most this many bytes, so that its text fits the 16 KiB of an answer.
pub const MAX_ENTITY_BYTES: usize = 8 * 1024;
/// An entity has at most this many names.
pub const MAX_ENTITY_NAMES: usize = 16;
/// A document has at most this many hints.
pub const MAX_ENTITY_HINTS: usize = 16;
/// A document that would be valid for longer than this, a year, is refused.
pub const MAX_ENTITY_LIFETIME_SECONDS: u64 = 366 * 24 * 3600;

/// What an entity says about itself, to be signed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EntityDescription {
    /// Higher than in every earlier document of the entity.
    pub sequence: u64,
    /// When the document ends, at most [`MAX_ENTITY_LIFETIME_SECONDS`] ahead.
    pub expires: UnixTime,
    /// Domains and names of directories that lead to the entity, the primary one first.
    pub names: Vec<String>,
    /// Where nodes of the entity may be reached, each ending in its `/p2p`.
    pub hints: Vec<Multiaddr>,
    /// The key that takes the place of this one, after which this one says nothing more.
    pub successor: Option<NetId>,
    /// Proofs of Representation below it are revoked.
    pub lowest_sequence: u64,
    /// How many delegations a Proof of Representation may have, at most [`MAX_DELEGATIONS`].
    pub delegations: u8,
    /// What else it says.
    pub metadata: Metadata,
}

impl EntityDescription {
    /// Says when the document replaces others and when it ends, and nothing else yet.
    #[must_use]
    pub fn new(sequence: u64, expires: UnixTime) -> Self {
        Self {
            sequence,
            expires,
            names: Vec::new(),
            hints: Vec::new(),
            successor: None,
            lowest_sequence: 0,
            delegations: MAX_DELEGATIONS,
            metadata: Metadata::new(),
        }
    }
}

/// What an entity says about itself, signed by its key.
///
/// Every value of this type bears a valid signature of the entity it names, whoever passed it on.
/// Whether it is still valid is for [`EntityDocument::verify`] to tell, whether a name leads to it
/// for [`EntityDocument::has_name`].
///
/// ```
/// # use netcom_identity::{EntityDescription, EntityDocument, SecretKey, UnixTime};
/// let key = SecretKey::from_bytes(&[7; 32]);
/// let mut description = EntityDescription::new(1, UnixTime(2000));
/// description.names.push("Example.org".to_owned());
///
/// let document = EntityDocument::sign(&key, description)?;
/// let received = EntityDocument::decode(&document.encode())?;
/// received.verify(UnixTime(1500))?;
/// assert_eq!(received.netid(), &key.net_id());
/// assert_eq!(received.primary_name(), Some("example.org"));
/// # Ok::<(), netcom_identity::EntityDocumentError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct EntityDocument {
    netid: NetId,
    description: EntityDescription,
    encoded: Vec<u8>,
}

impl EntityDocument {
    /// Signs what the entity of `key` says about itself. Names are written in small letters and
    /// without a dot at their end.
    ///
    /// # Errors
    ///
    /// [`EntityDocumentError`] if something passes its bounds or is no name.
    pub fn sign(
        key: &SecretKey,
        mut description: EntityDescription,
    ) -> Result<Self, EntityDocumentError> {
        for name in &mut description.names {
            *name = normalised(name)?;
        }
        let netid = key.net_id();
        check(&netid, &description)?;
        let document = to_proto(&netid, &description).encode_to_vec();
        let signature = key.sign(CONTEXT, &document).to_vec();
        let encoded = SignedEntityDocument { document, signature }.encode_to_vec();
        decode::check_length(WHAT, &encoded, MAX_ENTITY_BYTES)?;
        Ok(Self { netid, description, encoded })
    }

    /// Reads an encoding and checks its signature.
    ///
    /// # Errors
    ///
    /// [`EntityDocumentError`] if it is malformed, passes its bounds, or is not signed by the
    /// entity it names.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntityDocumentError> {
        decode::check_length(WHAT, bytes, MAX_ENTITY_BYTES)?;
        let signed: SignedEntityDocument = decode::message(WHAT, bytes)?;
        let document: proto::EntityDocument = decode::message(WHAT, &signed.document)?;
        let netid = NetId::from_bytes(&document.netid).map_err(DecodeError::from)?;
        let description = from_proto(document)?;
        check(&netid, &description)?;
        netid.public_key().verify(CONTEXT, &signed.document, &signed.signature)?;
        Ok(Self { netid, description, encoded: signed.encode_to_vec() })
    }

    /// Checks that the document is valid at `now`.
    ///
    /// # Errors
    ///
    /// [`EntityDocumentError::Expired`] or [`EntityDocumentError::TooLongLived`].
    pub fn verify(&self, now: UnixTime) -> Result<(), EntityDocumentError> {
        let expires = self.description.expires;
        if now >= expires {
            return Err(EntityDocumentError::Expired { expires, now });
        }
        if expires.seconds_since(now) > MAX_ENTITY_LIFETIME_SECONDS {
            return Err(EntityDocumentError::TooLongLived { expires, now });
        }
        Ok(())
    }

    /// The entity that signed the document.
    #[must_use]
    pub fn netid(&self) -> &NetId {
        &self.netid
    }

    /// Everything it says.
    #[must_use]
    pub fn description(&self) -> &EntityDescription {
        &self.description
    }

    /// The name by which the entity wants to be known.
    #[must_use]
    pub fn primary_name(&self) -> Option<&str> {
        self.description.names.first().map(String::as_str)
    }

    /// Whether `name`, in small letters and without a dot at its end, leads to the entity.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.description.names.iter().any(|known| known == name)
    }

    /// Whether this document replaces `other`, one of the same entity.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.netid == other.netid && self.description.sequence > other.description.sequence
    }

    /// The encoding, at most [`MAX_ENTITY_BYTES`] long.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encoded.clone()
    }
}

impl fmt::Debug for EntityDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityDocument")
            .field("netid", &self.netid)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// Why a document cannot be made or is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EntityDocumentError {
    /// It is malformed or passes a bound.
    #[error("the entity document is not acceptable")]
    Content(
        #[from]
        #[source]
        DecodeError,
    ),
    /// A name in it is none.
    #[error("the entity document lists what is no name")]
    Name(
        #[from]
        #[source]
        DomainError,
    ),
    /// A name is there twice, or not written as names are.
    #[error("the entity document lists {name} twice, or in capital letters")]
    NameForm {
        /// The name.
        name: String,
    },
    /// An entity cannot follow itself.
    #[error("the entity document names its own key as the successor")]
    OwnSuccessor,
    /// More delegations than any proof may have.
    #[error("at most {MAX_DELEGATIONS} delegations can be allowed, not {count}")]
    Delegations {
        /// How many it would allow.
        count: u8,
    },
    /// It was altered, or somebody else signed it. Never use it.
    #[error("the entity document is not signed by the entity it names")]
    Signature(
        #[from]
        #[source]
        SignatureError,
    ),
    /// Look for a newer one.
    #[error("the entity document expired at {expires}, and it is {now}: look for a newer one")]
    Expired {
        /// The first invalid second.
        expires: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
    /// Longer than a year. Compare the clocks.
    #[error(
        "the entity document is valid until {expires}, and it is {now}: more than a year, so \
         compare the clocks of both machines"
    )]
    TooLongLived {
        /// The first invalid second.
        expires: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
}

/// The bounds that hold for every document, made here or received.
fn check(netid: &NetId, description: &EntityDescription) -> Result<(), EntityDocumentError> {
    let EntityDescription { names, hints, successor, delegations, .. } = description;
    decode::check_count("names", names.len(), MAX_ENTITY_NAMES)?;
    decode::check_count("hints", hints.len(), MAX_ENTITY_HINTS)?;
    for (index, name) in names.iter().enumerate() {
        if normalised(name)? != *name || names.iter().take(index).any(|other| other == name) {
            return Err(EntityDocumentError::NameForm { name: name.clone() });
        }
    }
    for (index, hint) in hints.iter().enumerate() {
        if last_peer_id(hint).is_none() {
            return Err(DecodeError::Address(AddressError::NoPeer).into());
        }
        if hint.iter().count() < 2 {
            return Err(DecodeError::Address(AddressError::NoTransport).into());
        }
        if hints.iter().take(index).any(|other| other == hint) {
            return Err(DecodeError::Address(AddressError::Repeated).into());
        }
    }
    if successor.as_ref() == Some(netid) {
        return Err(EntityDocumentError::OwnSuccessor);
    }
    if *delegations > MAX_DELEGATIONS {
        return Err(EntityDocumentError::Delegations { count: *delegations });
    }
    Ok(())
}

fn to_proto(netid: &NetId, description: &EntityDescription) -> proto::EntityDocument {
    proto::EntityDocument {
        netid: netid.to_bytes(),
        sequence: description.sequence,
        expires: description.expires.0,
        names: description.names.clone(),
        hints: description.hints.iter().map(Multiaddr::to_vec).collect(),
        successor: description.successor.as_ref().map(NetId::to_bytes).unwrap_or_default(),
        lowest_sequence: description.lowest_sequence,
        delegations: description.delegations.into(),
        metadata: description.metadata.to_proto(),
    }
}

fn from_proto(document: proto::EntityDocument) -> Result<EntityDescription, EntityDocumentError> {
    decode::check_count("names", document.names.len(), MAX_ENTITY_NAMES)?;
    decode::check_count("hints", document.hints.len(), MAX_ENTITY_HINTS)?;
    let hints = document
        .hints
        .iter()
        .map(|bytes| address::from_bytes(bytes))
        .collect::<Result<_, _>>()
        .map_err(DecodeError::from)?;
    let successor = (!document.successor.is_empty())
        .then(|| NetId::from_bytes(&document.successor))
        .transpose()
        .map_err(DecodeError::from)?;
    Ok(EntityDescription {
        sequence: document.sequence,
        expires: UnixTime(document.expires),
        names: document.names,
        hints,
        successor,
        lowest_sequence: document.lowest_sequence,
        delegations: document.delegations.try_into().unwrap_or(u8::MAX),
        metadata: Metadata::from_proto(&document.metadata).map_err(DecodeError::from)?,
    })
}

const WHAT: &str = "entity document";
/// What an entity's key signs documents for.
pub(crate) const CONTEXT: &str = "netcom/entity-document/1";
