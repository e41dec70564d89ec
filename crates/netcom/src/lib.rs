//! Connections addressed by identity: name whom you talk to, never where they are.
//!
//! A [`Node`] is one running endpoint. It is named by a [`PeerId`] and may speak for an entity,
//! named by a [`NetId`], together with other nodes. [`Node::connect_to_netid`] finds one of them,
//! checks that it may speak for the entity, and gives a [`Connection`] that carries requests, byte
//! streams, messages and datagrams.
//!
//! ```
//! use netcom::{Node, NodeRole, generate_key};
//! # use netcom::{Interfaces, MdnsConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let registry = folder.path().join("registry");
//! # let quiet = |builder: netcom::NodeBuilder| {
//! #     builder.registry(&registry).discovery("host".parse().unwrap())
//! # };
//! let alice = generate_key(); // whom, not where
//! # /*
//! let server = Node::builder().netid(alice.clone()).role(NodeRole::Server).build().await?;
//! # */
//! # let server = Node::builder().netid(alice.clone()).role(NodeRole::Server);
//! # let server = quiet(server).build().await?;
//! server.on_request(|request| async move { Ok(request.into_body()) });
//!
//! # /*
//! let node = Node::create().await?;
//! # */
//! # let node = quiet(Node::builder()).build().await?;
//! let connection = node.connect_to_netid(alice.net_id()).await?;
//! let answer = connection.request("hello").await?;
//! println!("{answer:?} by {}", connection.path()); // direct or relayed, and why
//! # assert_eq!(answer, "hello");
//! # node.close().await;
//! # server.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it runs
//! [`netcom_session`] is the machine that turns streams into frames and back, over links that come
//! and go; it has no clock, socket or task. This crate is the shell around it: one lock per
//! session, one driver task per link (in [`netcom_transport`]), one timer task per node. A call of
//! the application takes the session's lock, changes the machine, and wakes what follows from that:
//! the driver of a link that has something to send, or another task that can go on. No stream has
//! a task, and nothing waits for the network while it holds a lock. Beside these a node runs a task
//! that takes accepted links, one that keeps its record and its proofs fresh, and one for each
//! session that lost its last link, which dials again until the session's window closes.
//!
//! Futures may be dropped where they say "cancel safe"; elsewhere a dropped future resets its
//! stream and never leaves half a message behind.
//!
//! # Panics
//! Nothing that a peer sends makes this crate panic: what breaks a rule ends the session with a
//! [`Code`] that says who is at fault. A panic is a bug of ours, and ends the session in which it
//! happens alone. A handler of the application that panics fails its own request only. The one
//! stated exception is [`generate_key`], where the system gives no randomness.
//!
//! # Errors
//! There is one enum for each operation, such as [`ConnectError`]. Each has a stable `code()`, a
//! `hint()` of what to do, and `is_retryable()`.

mod access;
mod clock;
mod commander;
mod config;
mod connection;
mod data_dir;
mod data_use;
mod error;
mod event_log;
mod events;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod links;
mod machine;
mod metrics;
mod node;
mod proto;
mod request;
mod service;
mod session;
mod stream;

pub use netcom_discovery::{
    AddError, BookError, IfTaken, Interfaces, MdnsConfig, Named, ParseScopeError, PetnameBook,
    PetnameEntry, ResolveError, Scope, names, private_file::PrivateFileError,
};
pub use netcom_identity::{
    DirectoryEntry, DirectoryEntryError, DirectoryName, DirectorySuffixes, DomainError, DomainName,
    DottedName, Enrollment, EnrollmentError, EntityDescription, EntityDocument,
    EntityDocumentError, MAX_ENROLLMENT_BYTES, Metadata, MetadataError, Multiaddr, NetId,
    NetIdError, NodeRecord, PeerId, Petname, Representation, RepresentationError, Role,
    Role as NodeRole, SecretKey, Service as ServiceName, Target, TargetError, Terms, Ticket,
    TicketError, UnixTime, parse_peer_id,
};
pub use netcom_session::{
    Class, Closed, Code, Config as SessionConfig, EndpointLimits, Fault, LinkKind, Pace,
    ParseRateError, Rate, Stats as SessionStats, Time,
};
pub use netcom_transport::{
    AddressWatch, HandshakeLimits, SystemAddresses, TransportStats as ListenerStats,
};

pub use crate::{
    access::Access,
    commander::{Commander, Counters, PeerInfo, SessionInfo, SessionState, StreamInfo},
    config::{DataDirUse, Limits, Links, ParseLinksError},
    connection::{Connection, Datagrams, IncomingStreams, Path, PathKind},
    data_dir::{DataDir, DataDirError, DataDirLock},
    data_use::DataUse,
    error::{ConnectError, CreateError, DiscoverError, ListenError},
    event_log::{EventLog, EventLogConfig, EventLogError},
    events::{Events, NodeEvent},
    keys::{
        Armor, ArmorError, Device, EnrollError, IdentityInfo, IdentityStore, InvitationCode,
        InvitationCodeError, KeyFileError, Passphrase, PassphraseError, Renewed, Revoked, Rotated,
        generate_key,
    },
    links::{LinkRole, LinkSummary},
    metrics::{MetricsConfig, MetricsError},
    node::{
        ConnectBuilder, DialOutcome, Explanation, Incoming, NetworkNode, Node, NodeBuilder,
        NodeInfo, SourceAnswer,
    },
    request::{RequestError, RequestOptions},
    service::{HandlerError, Request, ServeError, Service, ServiceHandle, Visitor, XAuth},
    stream::{
        ByteReceiver, ByteSender, ByteStream, Delivery, ErrorReceiver, ErrorSender, IncomingStream,
        MAX_MESSAGE, MessageReceiver, MessageSender, MessageStream, OpenError, StreamError,
        StreamErrorMessage, XStream,
    },
};

/// Keeps the example of the README true.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
