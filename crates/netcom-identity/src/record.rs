//! What a node says about itself, signed, so that anyone may pass it on.

use std::fmt;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use prost::Message as _;

use crate::{
    address::{self, AddressError, MAX_ADDRESSES, with_own_peer_id},
    decode::{self, DecodeError},
    key::{KeyError, PublicKey, SecretKey, SignatureError},
    metadata::Metadata,
    netid::NetId,
    peer::peer_id_from_bytes,
    proto::{self, SignedNodeRecord},
    representation::{Representation, RepresentationError, Represents},
    role::Role,
    service::{MAX_SERVICES, Service, ServiceError},
    time::UnixTime,
};

/// An encoded record has at most this many bytes.
pub const MAX_RECORD_BYTES: usize = 16 * 1024;
/// A record carries at most this many representations.
pub const MAX_RECORD_REPRESENTATIONS: usize = 4;
/// A record that would be valid for longer than this, seven days, is refused.
pub const MAX_RECORD_LIFETIME_SECONDS: u64 = 7 * 24 * 3600;

/// What a node says about itself, to be signed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NodeDescription {
    /// Where it is reached. `/p2p` and its own PeerId are added where they are missing.
    pub addresses: Vec<Multiaddr>,
    /// Higher than in every earlier record of the node.
    pub sequence: u64,
    /// When the record ends, at most [`MAX_RECORD_LIFETIME_SECONDS`] ahead.
    pub expires: UnixTime,
    /// What the node is there for.
    pub role: Role,
    /// What it serves, each name once.
    pub services: Vec<Service>,
    /// What else it says.
    pub metadata: Metadata,
    /// For whom it speaks, at most [`MAX_RECORD_REPRESENTATIONS`].
    pub representations: Vec<Representation>,
}

impl NodeDescription {
    /// Says when the description replaces others and when it ends, and nothing else yet.
    #[must_use]
    pub fn new(sequence: u64, expires: UnixTime) -> Self {
        Self {
            addresses: Vec::new(),
            sequence,
            expires,
            role: Role::default(),
            services: Vec::new(),
            metadata: Metadata::new(),
            representations: Vec::new(),
        }
    }
}

/// What a node says about itself, signed by its key.
///
/// Every value of this type bears a valid signature of the node it names, whoever passed it on.
/// Whether it is still valid is for [`NodeRecord::verify`] to tell, for whom the node speaks for
/// [`NodeRecord::represents`].
///
/// ```
/// # use netcom_identity::{NodeDescription, NodeRecord, SecretKey, UnixTime};
/// let key = SecretKey::from_bytes(&[7; 32]);
/// let mut description = NodeDescription::new(1, UnixTime(2000));
/// description.addresses.push("/ip4/127.0.0.1/tcp/4001".parse().unwrap());
///
/// let record = NodeRecord::sign(&key, description)?;
/// let received = NodeRecord::decode(&record.encode())?;
/// received.verify(UnixTime(1500))?;
/// assert_eq!(received.peer_id(), &key.peer_id());
/// # Ok::<(), netcom_identity::NodeRecordError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct NodeRecord {
    peer_id: PeerId,
    description: NodeDescription,
    encoded: Vec<u8>,
}

impl NodeRecord {
    /// Signs what the node of `key` says about itself.
    ///
    /// # Errors
    ///
    /// [`NodeRecordError`] if something passes its bounds or belongs to another node.
    pub fn sign(
        key: &SecretKey,
        mut description: NodeDescription,
    ) -> Result<Self, NodeRecordError> {
        let peer_id = key.peer_id();
        for address in &mut description.addresses {
            *address = with_own_peer_id(address, &peer_id).map_err(DecodeError::from)?;
        }
        check(&peer_id, &description)?;
        let record = to_proto(&peer_id, &description).encode_to_vec();
        let signature = key.sign(CONTEXT, &record).to_vec();
        let encoded = SignedNodeRecord { record, signature }.encode_to_vec();
        decode::check_length(WHAT, &encoded, MAX_RECORD_BYTES)?;
        Ok(Self { peer_id, description, encoded })
    }

    /// Reads an encoding and checks its signature.
    ///
    /// # Errors
    ///
    /// [`NodeRecordError`] if it is malformed, passes its bounds, or is not signed by the node it
    /// names.
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeRecordError> {
        decode::check_length(WHAT, bytes, MAX_RECORD_BYTES)?;
        let signed: SignedNodeRecord = decode::message(WHAT, bytes)?;
        let record: proto::NodeRecord = decode::message(WHAT, &signed.record)?;
        let peer_id = peer_id_from_bytes(&record.peer_id).map_err(DecodeError::from)?;
        let key = PublicKey::from_peer_id(&peer_id).map_err(NodeRecordError::Key)?;
        let description = from_proto(record)?;
        check(&peer_id, &description)?;
        key.verify(CONTEXT, &signed.record, &signed.signature)?;
        Ok(Self { peer_id, description, encoded: signed.encode_to_vec() })
    }

    /// Checks that the record is valid at `now`.
    ///
    /// # Errors
    ///
    /// [`NodeRecordError::Expired`] or [`NodeRecordError::TooLongLived`].
    pub fn verify(&self, now: UnixTime) -> Result<(), NodeRecordError> {
        let expires = self.description.expires;
        if now >= expires {
            return Err(NodeRecordError::Expired { expires, now });
        }
        if expires.seconds_since(now) > MAX_RECORD_LIFETIME_SECONDS {
            return Err(NodeRecordError::TooLongLived { expires, now });
        }
        Ok(())
    }

    /// Checks that the node speaks for `netid`; see [`NetId::represented_by`].
    ///
    /// # Errors
    ///
    /// [`RepresentationError`] if it does not claim to, or cannot prove it.
    pub fn represents(
        &self,
        netid: &NetId,
        now: UnixTime,
        minimum_sequence: Option<u64>,
    ) -> Result<Represents, RepresentationError> {
        netid.represented_by(&self.peer_id, self.representations(), now, minimum_sequence)
    }

    /// Whether this record replaces `other`, one of the same node.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.peer_id == other.peer_id && self.description.sequence > other.description.sequence
    }

    /// The node that signed the record.
    #[must_use]
    pub fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// Where the node is reached; each address ends in its own `/p2p`.
    #[must_use]
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.description.addresses
    }

    /// Which record of the node this is.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.description.sequence
    }

    /// The first second at which the record is no longer valid.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.description.expires
    }

    /// What the node is there for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.description.role
    }

    /// What the node serves.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.description.services
    }

    /// What else the node says about itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.description.metadata
    }

    /// For whom the node claims to speak.
    #[must_use]
    pub fn representations(&self) -> &[Representation] {
        &self.description.representations
    }

    /// The encoding, at most [`MAX_RECORD_BYTES`] long.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encoded.clone()
    }
}

impl fmt::Debug for NodeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeRecord")
            .field("peer_id", &self.peer_id)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// Why a record cannot be made or is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeRecordError {
    /// It is malformed or passes a bound.
    #[error("the node record is not acceptable")]
    Content(
        #[from]
        #[source]
        DecodeError,
    ),
    /// A service is named badly.
    #[error("the node record names a service that is not acceptable")]
    Service(
        #[from]
        #[source]
        ServiceError,
    ),
    /// Only nodes whose PeerId holds their key can sign records.
    #[error("the node record names a node whose key cannot be used")]
    Key(#[source] KeyError),
    /// It was altered, or somebody else signed it. Never use it.
    #[error("the node record is not signed by the node it names")]
    Signature(
        #[from]
        #[source]
        SignatureError,
    ),
    /// It carries a representation of another node.
    #[error("the node record carries a representation of another node, {subject}")]
    ForeignRepresentation {
        /// Whom the representation is about.
        subject: PeerId,
    },
    /// Look for a newer one.
    #[error("the node record expired at {expires}, and it is {now}: look for a newer one")]
    Expired {
        /// The first invalid second.
        expires: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
    /// Longer than seven days. Compare the clocks.
    #[error(
        "the node record is valid until {expires}, and it is {now}: more than seven days, so \
         compare the clocks of both machines"
    )]
    TooLongLived {
        /// The first invalid second.
        expires: UnixTime,
        /// The verifier's time.
        now: UnixTime,
    },
}

/// The bounds that hold for every record, made here or received.
fn check(peer_id: &PeerId, description: &NodeDescription) -> Result<(), NodeRecordError> {
    let NodeDescription { addresses, services, representations, .. } = description;
    decode::check_count("addresses", addresses.len(), MAX_ADDRESSES)?;
    decode::check_count("services", services.len(), MAX_SERVICES)?;
    let count = representations.len();
    decode::check_count("representations", count, MAX_RECORD_REPRESENTATIONS)?;
    for (index, address) in addresses.iter().enumerate() {
        if with_own_peer_id(address, peer_id).map_err(DecodeError::from)? != *address {
            return Err(DecodeError::Address(AddressError::NoPeer).into());
        }
        if addresses.iter().take(index).any(|earlier| earlier == address) {
            return Err(DecodeError::Address(AddressError::Repeated).into());
        }
    }
    for (index, service) in services.iter().enumerate() {
        if services.iter().take(index).any(|earlier| earlier.name() == service.name()) {
            return Err(ServiceError::Repeated.into());
        }
    }
    match representations.iter().map(Representation::subject).find(|subject| subject != peer_id) {
        Some(subject) => Err(NodeRecordError::ForeignRepresentation { subject }),
        None => Ok(()),
    }
}

fn to_proto(peer_id: &PeerId, description: &NodeDescription) -> proto::NodeRecord {
    let role = match description.role {
        Role::Peer => proto::Role::Peer,
        Role::Server => proto::Role::Server,
        Role::Client => proto::Role::Client,
    };
    proto::NodeRecord {
        peer_id: peer_id.to_bytes(),
        sequence: description.sequence,
        expires: description.expires.0,
        role: role.into(),
        addresses: description.addresses.iter().map(Multiaddr::to_vec).collect(),
        services: description.services.iter().map(Service::to_proto).collect(),
        metadata: description.metadata.to_proto(),
        representations: description.representations.iter().map(Representation::encode).collect(),
    }
}

fn from_proto(record: proto::NodeRecord) -> Result<NodeDescription, NodeRecordError> {
    decode::check_count("addresses", record.addresses.len(), MAX_ADDRESSES)?;
    decode::check_count("services", record.services.len(), MAX_SERVICES)?;
    let count = record.representations.len();
    decode::check_count("representations", count, MAX_RECORD_REPRESENTATIONS)?;
    let role = match record.role() {
        proto::Role::Server => Role::Server,
        proto::Role::Client => Role::Client,
        // Roles of later versions are peers to this one.
        proto::Role::Peer | proto::Role::Unspecified => Role::Peer,
    };
    let addresses = record
        .addresses
        .iter()
        .map(|bytes| address::from_bytes(bytes))
        .collect::<Result<_, _>>()
        .map_err(DecodeError::from)?;
    let services =
        record.services.into_iter().map(Service::from_proto).collect::<Result<_, _>>()?;
    let representations = record
        .representations
        .iter()
        .map(|bytes| Representation::decode(bytes))
        .collect::<Result<_, _>>()?;
    Ok(NodeDescription {
        addresses,
        sequence: record.sequence,
        expires: UnixTime(record.expires),
        role,
        services,
        metadata: Metadata::from_proto(&record.metadata).map_err(DecodeError::from)?,
        representations,
    })
}

const WHAT: &str = "node record";
/// What a node's key signs records for.
pub(crate) const CONTEXT: &str = "netcom/node-record/1";
