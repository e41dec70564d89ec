//! Why a node cannot be made, listen, find or connect.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use netcom_discovery::{ParseScopeError, ResolveError, Scope, names::NameError};
use netcom_identity::{NetId, NetIdError, PeerId, Petname, RepresentationError, Target};
use netcom_session::Code;
use netcom_transport::{Attempt, TransportError};

use crate::{data_dir::DataDirError, keys::KeyFileError};

/// Why a node was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// `NETCOM_DISCOVERY` names no scope.
    #[error("NETCOM_DISCOVERY cannot be understood")]
    Scope {
        /// What it may be.
        source: ParseScopeError,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A representation that was given is not this node's, or not valid now.
    #[error("the node cannot speak for {netid}")]
    Representation {
        /// The entity.
        netid: NetId,
        /// What is wrong.
        source: Box<RepresentationError>,
    },
    /// Whom it is to speak for is not known.
    #[error(transparent)]
    Whom(Box<ConnectError>),
    /// A node is named where an entity is needed.
    #[error("{name} names a node, and a node speaks for an entity: name a NetID or a domain")]
    WhomIsNode {
        /// What was named.
        name: String,
    },
    /// Neither a key nor a proof lets it speak for the entity.
    #[error(
        "nothing lets this node speak for {name}{}: {}",
        if *name == netid.to_string() { String::new() } else { format!(" ({netid})") },
        where_looked(data_dir.as_deref(), present)
    )]
    NotRepresented {
        /// The entity, as it was named.
        name: String,
        /// Its key.
        netid: NetId,
        /// For whom the node could speak.
        present: Vec<NetId>,
        /// Where a proof was looked for.
        data_dir: Option<PathBuf>,
    },
    /// Its certificate cannot be made: give fewer or shorter representations.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It cannot listen where it should.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// `local` and `cloud` leave no address to publish. Choose one.
    #[error("a node is either local or in the cloud, not both")]
    Contradiction,
    /// Keys of links are to be written, and nothing says where.
    #[error("keys of links are to be written, and SSLKEYLOGFILE names no file")]
    KeyLogUnnamed,
    /// Keys of links are to be written, and cannot be.
    #[error("keys of links cannot be written to {}", path.display())]
    KeyLog {
        /// The file that `SSLKEYLOGFILE` names.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    Random {
        /// Why not.
        source: getrandom::Error,
    },
}

/// Why a node does not listen at an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The node was made to connect to others only.
    #[error("a client accepts nothing: make the node as a peer or a server to listen")]
    Client,
    /// The address cannot be had.
    #[error(transparent)]
    Transport(#[from] netcom_transport::ListenError),
    /// None of the addresses a node listens at by default can be had.
    #[error("no address to listen at was left: {reasons}")]
    Nowhere {
        /// What is wrong with each.
        reasons: String,
    },
    /// The node is closed.
    #[error("the node is closed")]
    Closed,
}

/// Why [`Node::discover_peer_id`](crate::Node::discover_peer_id) or
/// [`Node::discover_netid`](crate::Node::discover_netid) found nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// Nobody answered within the time.
    #[error("{target} was not found {}", Place(*scope))]
    NotFound {
        /// Who was looked for.
        target: String,
        /// Where.
        scope: Scope,
    },
    /// The node is closed.
    #[error("the node is closed")]
    Closed,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody knows where the target is.
    #[error("{} was not found {}", Short(target), Place(*scope))]
    NotFound {
        /// Who was looked for.
        target: Target,
        /// Where.
        scope: Scope,
    },
    /// This node is the only one of its entity that can be found.
    #[error("no other node of {netid} was found {}", Place(*scope))]
    NoOtherNode {
        /// The entity, which is this node's own.
        netid: NetId,
        /// Where was looked.
        scope: Scope,
    },
    /// The target is known, and nothing leads there now. Worth retrying.
    #[error("no way led to {}: {reason}", Short(target))]
    Unreachable {
        /// Who was dialled.
        target: Target,
        /// What went wrong where, for a person.
        reason: String,
        /// The addresses that were tried.
        attempts: Vec<Attempt>,
    },
    /// It took too long. Worth retrying.
    #[error("{} did not answer within {after:?}", Short(target))]
    Timeout {
        /// Who was dialled.
        target: Target,
        /// The time given.
        after: Duration,
    },
    /// The node does not let this one in. Ask its owner.
    #[error("{peer} does not let this node in: {reason}")]
    Denied {
        /// Who refused.
        peer: PeerId,
        /// What it said.
        reason: String,
    },
    /// Somebody else answers at the address. The address is wrong, or somebody interferes.
    #[error("{found} answered in the place of {expected}: its address is wrong or hijacked")]
    WrongPeer {
        /// Who was meant.
        expected: PeerId,
        /// Who answered.
        found: PeerId,
    },
    /// The node is there and does not prove that it speaks for the entity; it is at fault. It was
    /// sent nothing.
    #[error("{peer} does not prove that it speaks for {netid}")]
    NotRepresented {
        /// The node.
        peer: PeerId,
        /// The entity.
        netid: NetId,
        /// What is wrong with its proof.
        source: RepresentationError,
    },
    /// The target is this very node, which needs no connection to itself.
    #[error("{peer} is this node itself")]
    SelfDial {
        /// This node.
        peer: PeerId,
    },
    /// The entity's nodes are known and none offers the service, or says of itself what is wanted.
    #[error("no node of {} offers {service}; offered: {}", Short(target), list(offered))]
    NoSuchService {
        /// Who was looked for.
        target: Target,
        /// The service wanted, and the metadata.
        service: String,
        /// What the nodes found do offer and say.
        offered: Vec<String>,
    },
    /// The petname book does not know the name.
    #[error("{name} cannot be looked up in the petname book")]
    Petname {
        /// The name.
        name: Petname,
        /// Why not.
        source: ResolveError,
    },
    /// The node has no petname book.
    #[error(
        "{name} is a petname, and this node has no petname book: make it with a data directory"
    )]
    NoPetnames {
        /// The name.
        name: Petname,
    },
    /// Nothing says whose the domain is, or something speaks against it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A kind of name that this version does not look up.
    #[error("{name} is looked up by a later version only: use a NetID, a ticket or a petname")]
    NameUnsupported {
        /// The name.
        name: String,
    },
    /// An entity of that kind of key cannot be reached.
    #[error("that names no entity")]
    NetId(#[from] NetIdError),
    /// The peer took the link and turned the session away.
    #[error("{peer} turned the session away: {code}")]
    Refused {
        /// The peer.
        peer: PeerId,
        /// Its reason.
        code: Code,
    },
    /// This node has as many sessions as it may. Close some.
    #[error("this node has no room for another session")]
    Full,
    /// The node is closed.
    #[error("the node is closed")]
    Closed,
}

impl CreateError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scope { .. } => "bad_scope",
            Self::DataDir(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Representation { .. } => "bad_representation",
            Self::Whom(error) => error.code(),
            Self::WhomIsNode { .. } => "not_an_entity",
            Self::NotRepresented { .. } => "no_proof",
            Self::Transport(_) => "certificate",
            Self::Listen(error) => error.code(),
            Self::Contradiction => "local_and_cloud",
            Self::KeyLogUnnamed | Self::KeyLog { .. } => "key_log",
            Self::Random { .. } => "random",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Scope { .. } => Some("NETCOM_DISCOVERY=host, or leave it unset".to_owned()),
            Self::DataDir(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Listen(error) => error.hint(),
            Self::Whom(error) => error.hint(),
            Self::KeyLogUnnamed | Self::KeyLog { .. } => {
                Some("SSLKEYLOGFILE=keys.txt, in a folder of yours".to_owned())
            }
            Self::NotRepresented { name, .. } => Some(format!(
                "netcom id enroll {name} here, netcom id sign where its key is, netcom id accept \
                 here"
            )),
            _ => None,
        }
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Whom(error) => error.is_retryable(),
            Self::DataDir(error) => error.is_retryable(),
            Self::Key(error) => error.is_retryable(),
            Self::Listen(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// Where a proof was looked for, and what was there.
fn where_looked(data_dir: Option<&Path>, present: &[NetId]) -> String {
    match (data_dir, present) {
        (None, []) => "there is no data directory with its key or a proof".to_owned(),
        (Some(path), []) => format!("{} holds neither its key nor a proof", path.display()),
        (_, present) => {
            let present: Vec<String> = present.iter().map(ToString::to_string).collect();
            format!("what is here speaks for {}", present.join(", "))
        }
    }
}

impl ListenError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Client => "client_listens",
            Self::Transport(_) | Self::Nowhere { .. } => "listen",
            Self::Closed => "closed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let is_address = matches!(self, Self::Transport(_) | Self::Nowhere { .. });
        is_address.then(|| "listen at /ip4/127.0.0.1/tcp/0".to_owned())
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Transport(netcom_transport::ListenError::Socket { .. }))
    }
}

impl DiscoverError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Closed => "closed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { scope, .. } => Some(how_to_find(*scope)),
            Self::Closed => None,
        }
    }

    /// Whether the same call can work later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl ConnectError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::NoOtherNode { .. } => "no_other_node",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Denied { .. } => "denied",
            Self::WrongPeer { .. } => "wrong_peer",
            Self::NotRepresented { .. } => "not_represented",
            Self::SelfDial { .. } => "self_dial",
            Self::NoSuchService { .. } => "no_such_service",
            Self::Petname { .. } => "unknown_petname",
            Self::NoPetnames { .. } => "no_petnames",
            Self::Name(error) => error.code(),
            Self::NameUnsupported { .. } => "name_unsupported",
            Self::NetId(_) => "bad_netid",
            Self::Refused { .. } => "refused",
            Self::Full => "full",
            Self::Closed => "closed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { scope, .. } | Self::NoOtherNode { scope, .. } => {
                Some(how_to_find(*scope))
            }
            Self::Unreachable { target, .. } | Self::Timeout { target, .. } => Some(match target {
                Target::Ticket(_) => {
                    "check that the node runs; if it has moved, ask for a new ticket".to_owned()
                }
                _ => format!("check that the node runs, then: netcom ping {target}"),
            }),
            Self::Denied { .. } => Some("ask the owner: netcom listen --allow …".to_owned()),
            Self::WrongPeer { .. } => Some("ask for a new ticket".to_owned()),
            Self::SelfDial { .. } => {
                Some("ask from another identity: netcom --data-dir DIR …".to_owned())
            }
            Self::NotRepresented { source, .. } => match source {
                RepresentationError::Expired { .. } | RepresentationError::NotYetValid { .. } => {
                    Some("restart that node, and compare the clocks of both machines".to_owned())
                }
                _ => Some("use another node of the entity, or its PeerId".to_owned()),
            },
            Self::Petname { name, .. } => Some(format!("netcom names add {name} n1…")),
            Self::NoPetnames { .. } => Some("--data-dir DIR".to_owned()),
            Self::Name(error) => error.hint(),
            Self::NameUnsupported { .. } => Some("netcom names add NAME n1…".to_owned()),
            _ => None,
        }
    }

    /// Whether the same call can work later without anything being repaired here.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::NoOtherNode { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Refused { .. } => true,
            Self::Name(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// A target as a sentence names it: of a ticket, whom it leads to.
struct Short<'a>(&'a Target);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Ticket(ticket) => ticket.peer_id().fmt(f),
            target => target.fmt(f),
        }
    }
}

/// Where was looked, and what is missing for looking further.
struct Place(Scope);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Scope::Off => "among known addresses, and discovery is off",
            Scope::Host => "on this host, and discovery goes no further (scope host)",
            Scope::Lan | Scope::Global => {
                "on this host or in the local network, and meeting points for looking further \
                 come with a later version"
            }
        })
    }
}

fn how_to_find(scope: Scope) -> String {
    match scope {
        Scope::Off | Scope::Host => "NETCOM_DISCOVERY=lan, or use the node's ticket".to_owned(),
        Scope::Lan | Scope::Global => "use the node's ticket".to_owned(),
    }
}

fn list(offered: &[String]) -> String {
    if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") }
}

/// The addresses that were tried, in the words of what went wrong.
pub(crate) fn reasons(attempts: &[Attempt]) -> String {
    let reason = |attempt: &Attempt| format!("{}: {}", attempt.address, attempt.error);
    let mut reasons: Vec<String> = attempts.iter().take(MAX_REASONS).map(reason).collect();
    if attempts.len() > MAX_REASONS {
        reasons.push(format!("and {} more", attempts.len() - MAX_REASONS));
    }
    if reasons.is_empty() { "it has no address".to_owned() } else { reasons.join("; ") }
}

const MAX_REASONS: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use netcom_identity::SecretKey;

    use super::*;

    fn connect_errors() -> Vec<ConnectError> {
        let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
        let target = Target::PeerId(peer);
        let name: Petname = "alice".parse().unwrap();
        vec![
            ConnectError::NotFound { target: target.clone(), scope: Scope::Lan },
            ConnectError::Unreachable {
                target: target.clone(),
                reason: "refused".to_owned(),
                attempts: Vec::new(),
            },
            ConnectError::Timeout { target: target.clone(), after: Duration::from_secs(1) },
            ConnectError::Denied { peer, reason: "not for strangers".to_owned() },
            ConnectError::WrongPeer { expected: peer, found: peer },
            ConnectError::SelfDial { peer },
            ConnectError::NoSuchService {
                target,
                service: "chat".to_owned(),
                offered: vec!["mail (1)".to_owned()],
            },
            ConnectError::NoPetnames { name },
            ConnectError::Name(NameError::Unproven { name: "example.com".to_owned() }),
            ConnectError::NameUnsupported { name: "alice.netcom".to_owned() },
            ConnectError::Refused { peer, code: Code::OVERLOADED },
            ConnectError::Full,
            ConnectError::Closed,
        ]
    }

    #[test]
    fn each_failure_to_connect_has_its_own_code_and_one_sentence() {
        let errors = connect_errors();
        let codes: BTreeSet<_> = errors.iter().map(ConnectError::code).collect();
        assert_eq!(codes.len(), errors.len());
        for error in &errors {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(error.code().chars().all(is_name), "{error:?}");
            let sentence = error.to_string();
            assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
        }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_worth_retrying() {
        let errors = connect_errors();
        let retryable = errors.iter().filter(|error| error.is_retryable());
        let codes: Vec<_> = retryable.map(ConnectError::code).collect();
        assert_eq!(codes, ["not_found", "unreachable", "timeout", "refused"]);
    }

    #[test]
    fn who_cannot_be_reached_is_named_with_what_to_try() {
        for error in connect_errors() {
            let needs_hint = matches!(
                error,
                ConnectError::NotFound { .. }
                    | ConnectError::Unreachable { .. }
                    | ConnectError::Timeout { .. }
                    | ConnectError::Denied { .. }
                    | ConnectError::WrongPeer { .. }
            );
            assert!(!needs_hint || error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
        let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
        let address = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let ticket = Box::new(netcom_identity::Ticket::new(peer, [address]).unwrap());
        let target = Target::Ticket(ticket);
        let error = ConnectError::Timeout { target, after: Duration::from_secs(1) };
        assert!(error.to_string().starts_with(&peer.to_string()), "{error}");
    }
}
