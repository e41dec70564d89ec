//! The grammar of what people type to say whom they mean. Nothing is looked up here.

mod domain;
mod dotted;
mod petname;

use std::{fmt, str::FromStr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

pub(crate) use self::domain::normalised;
pub use self::{
    domain::{DirectoryName, DirectorySuffixes, DomainError, DomainName},
    dotted::DottedName,
    petname::{Petname, PetnameError},
};
use crate::{
    address::{self, AddressError},
    netid::{NetId, NetIdError},
    peer::{PeerIdError, parse_peer_id},
    ticket::{self, Ticket, TicketError},
};

/// Whom somebody wants to reach.
///
/// Each text has one meaning, decided in this order: a ticket, an address, a literal key, a
/// petname, a name under a configured directory suffix, a domain. A text that is meant as a key
/// but damaged is an error and never looked up as a name.
///
/// ```
/// # use netcom_identity::{SecretKey, Target};
/// let id = SecretKey::from_bytes(&[7; 32]).net_id();
/// assert_eq!(id.to_string().parse(), Ok(Target::NetId(id)));
/// assert!(matches!("alice".parse(), Ok(Target::Petname(_))));
/// assert!(matches!("example.org".parse(), Ok(Target::Dotted(_))));
/// assert!("printer.local".parse::<Target>().is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// Any node of an entity.
    NetId(NetId),
    /// One node.
    PeerId(PeerId),
    /// An entry of one's own petname book.
    Petname(Petname),
    /// A node and where to find it.
    Ticket(Box<Ticket>),
    /// A node at one address, which ends in its `/p2p`.
    Address(PeerId, Multiaddr),
    /// A domain, or a name of a directory.
    Dotted(DottedName),
}

impl Target {
    /// Reads what somebody typed; space around it is ignored.
    ///
    /// # Errors
    ///
    /// [`TargetError`] if it is damaged or nothing of all this.
    pub fn parse(text: &str, suffixes: &DirectorySuffixes) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if ticket::is_ticket(text) {
            return Ok(Self::Ticket(Box::new(text.parse()?)));
        }
        if text.starts_with('/') {
            return Self::from_address(text);
        }
        if text.contains('.') {
            return Ok(Self::Dotted(DottedName::parse(text, suffixes)?));
        }
        match literal(text) {
            Some(Literal::NetId) => Ok(Self::NetId(text.parse()?)),
            Some(Literal::PeerId) => Ok(Self::PeerId(parse_peer_id(text)?)),
            None => Ok(Self::Petname(Petname::from_plain(text)?)),
        }
    }

    fn from_address(text: &str) -> Result<Self, TargetError> {
        let address = address::from_text(text)?;
        let peer_id = address::last_peer_id(&address).ok_or(AddressError::NoPeer)?;
        // A PeerId inside an address gets the same checks as one alone.
        let peer_id = parse_peer_id(&peer_id.to_base58())?;
        let mut parts = address.iter();
        match (parts.next(), parts.next()) {
            (Some(Protocol::P2p(_)), None) => Ok(Self::PeerId(peer_id)),
            _ => Ok(Self::Address(peer_id, address)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetId(netid) => netid.fmt(f),
            Self::PeerId(peer_id) => peer_id.fmt(f),
            Self::Petname(name) => name.fmt(f),
            Self::Ticket(ticket) => ticket.fmt(f),
            Self::Address(_, address) => address.fmt(f),
            Self::Dotted(name) => name.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads a target with the default directory suffix, `netcom`, alone.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text, &DirectorySuffixes::default())
    }
}

impl From<NetId> for Target {
    fn from(netid: NetId) -> Self {
        Self::NetId(netid)
    }
}

impl From<PeerId> for Target {
    fn from(peer_id: PeerId) -> Self {
        Self::PeerId(peer_id)
    }
}

impl From<Petname> for Target {
    fn from(name: Petname) -> Self {
        Self::Petname(name)
    }
}

impl From<DottedName> for Target {
    fn from(name: DottedName) -> Self {
        Self::Dotted(name)
    }
}

impl From<Ticket> for Target {
    fn from(ticket: Ticket) -> Self {
        Self::Ticket(Box::new(ticket))
    }
}

/// Why a text names nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Nothing was typed.
    #[error("a name is missing: give a NetID, PeerId, petname, ticket, multiaddr or domain")]
    Empty,
    /// Meant as a NetID, and damaged.
    #[error(transparent)]
    NetId(#[from] NetIdError),
    /// Meant as a PeerId, and damaged.
    #[error(transparent)]
    PeerId(#[from] PeerIdError),
    /// Meant as a ticket, and damaged.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Meant as an address, and incomplete or damaged.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Meant as a petname, and not a possible one.
    #[error(transparent)]
    Petname(#[from] PetnameError),
    /// Meant as a domain, and not a possible one.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

/// What a text is meant as, judged by how it begins, so that a damaged key is still one.
enum Literal {
    NetId,
    PeerId,
}

fn literal(text: &str) -> Option<Literal> {
    let begins = |prefix: &str| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if begins("n1") {
        return Some(Literal::NetId);
    }
    let is_peer_id = begins("12D3Koo")
        || begins("16Uiu2")
        || text.starts_with("Qm") && text.len() >= SHORTEST_HASH;
    is_peer_id.then_some(Literal::PeerId)
}

/// A shorter text that begins with `Qm` may be a name.
const SHORTEST_HASH: usize = 20;
