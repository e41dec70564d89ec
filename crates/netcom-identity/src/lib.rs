//! Keys, names and proofs: who somebody is, without I/O.
//!
//! A [`SecretKey`] makes a [`PeerId`], which names one node, and a [`NetId`], which names a person
//! or a service whichever nodes speak for it. A node shows that it speaks for a `NetId` with a
//! [`Representation`], which travels in its [`certificate`] or its [`NodeRecord`]. People pass on
//! a [`Ticket`], and whatever they type is a [`Target`].
//!
//! Nothing here reads a clock, a random source, a file or a socket: time comes in as [`UnixTime`],
//! keys as bytes. Everything a stranger may send is decoded by a function that takes a slice,
//! checks its length first, never panics and never allocates more than a small multiple of it.
//! Third-party types in this API are [`PeerId`] and [`Multiaddr`] alone.
//!
//! ```
//! use netcom_identity::{Representation, SecretKey, Terms, UnixTime};
//!
//! let alice = SecretKey::from_bytes(&[1; 32]); // kept offline
//! let laptop = SecretKey::from_bytes(&[2; 32]); // one of her nodes
//! let now = UnixTime(1_800_000_000);
//!
//! let terms = Terms::new(1, now, now.plus_seconds(86_400));
//! let proof = Representation::issue(&alice, laptop.peer_id(), &terms);
//!
//! let represents = proof.verify(&laptop.peer_id(), now, None)?;
//! assert_eq!(represents.netid, alice.net_id());
//! # Ok::<(), netcom_identity::RepresentationError>(())
//! ```
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

mod address;
pub mod certificate;
mod decode;
mod directory;
mod enrollment;
mod entity;
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod metadata;
mod name;
mod netid;
mod peer;
mod proto;
mod record;
mod representation;
mod role;
mod service;
mod ticket;
mod time;

pub use libp2p_identity::PeerId;
pub use multiaddr::Multiaddr;

pub use crate::{
    address::{AddressError, MAX_ADDRESS_BYTES, MAX_ADDRESSES, with_own_peer_id},
    decode::DecodeError,
    directory::{DirectoryEntry, DirectoryEntryError, MAX_ENTRY_BYTES, MAX_ENTRY_LIFETIME_SECONDS},
    enrollment::{Enrollment, EnrollmentError, MAX_ENROLLMENT_BYTES, MAX_LABEL_BYTES},
    entity::{
        EntityDescription, EntityDocument, EntityDocumentError, MAX_ENTITY_BYTES, MAX_ENTITY_HINTS,
        MAX_ENTITY_LIFETIME_SECONDS, MAX_ENTITY_NAMES,
    },
    key::{KeyError, KeyType, PublicKey, SecretBytes, SecretKey, SignatureError},
    metadata::{
        MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MAX_METADATA_KEY_BYTES, MAX_METADATA_VALUE_BYTES,
        Metadata, MetadataError,
    },
    name::{
        DirectoryName, DirectorySuffixes, DomainError, DomainName, DottedName, Petname,
        PetnameError, Target, TargetError,
    },
    netid::{NetId, NetIdError},
    peer::{PeerIdError, parse_peer_id, peer_id_from_bytes},
    record::{
        MAX_RECORD_BYTES, MAX_RECORD_LIFETIME_SECONDS, MAX_RECORD_REPRESENTATIONS, NodeDescription,
        NodeRecord, NodeRecordError,
    },
    representation::{
        DelegateError, MAX_DELEGATIONS, MAX_REPRESENTATION_BYTES, Representation,
        RepresentationError, Represents, Terms,
    },
    role::{Role, Roles},
    service::{MAX_SERVICE_VERSIONS, MAX_SERVICES, Service, ServiceError},
    ticket::{MAX_TICKET_CHARACTERS, Ticket, TicketError},
    time::UnixTime,
};
