//! A text that leads to a node: who it is and where to find it.

use std::{fmt, str::FromStr};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use sha2::{Digest as _, Sha256};

use crate::{
    address::{self, AddressError, MAX_ADDRESSES, with_own_peer_id},
    netid::{NetId, NetIdError},
    peer::{PeerIdError, parse_peer_id},
};

/// The text of a ticket has at most this many characters.
pub const MAX_TICKET_CHARACTERS: usize = 8 * 1024;

/// Leads to a node without a directory: its PeerId, its addresses and, as a hint to be proven, the
/// entity it speaks for. It holds no secret, so it may be passed on in public.
///
/// The text form is a URL without characters that a shell treats specially. A check value at its
/// end shows whether the text is whole.
///
/// ```
/// # use netcom_identity::{SecretKey, Ticket};
/// let key = SecretKey::from_bytes(&[7; 32]);
/// let ticket = Ticket::new(key.peer_id(), ["/ip4/192.0.2.1/tcp/4001".parse().unwrap()])?
///     .with_netid(key.net_id());
/// let text = ticket.to_string();
/// assert!(text.starts_with("netcom:12D3KooW") && text.contains(",at=/ip4/192.0.2.1/tcp/4001,"));
/// assert_eq!(text.parse(), Ok(ticket));
/// # Ok::<(), netcom_identity::TicketError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ticket {
    peer_id: PeerId,
    addresses: Vec<Multiaddr>,
    netid: Option<NetId>,
}

impl Ticket {
    /// A ticket to a node at these addresses, to which `/p2p` and the PeerId are added.
    ///
    /// # Errors
    ///
    /// [`TicketError`] if there are too many addresses, one twice, or one of another node.
    pub fn new(
        peer_id: PeerId,
        addresses: impl IntoIterator<Item = Multiaddr>,
    ) -> Result<Self, TicketError> {
        let mut ticket = Self { peer_id, addresses: Vec::new(), netid: None };
        for address in addresses {
            ticket.push(&address)?;
        }
        Ok(ticket)
    }

    /// Names the entity that the node speaks for.
    #[must_use]
    pub fn with_netid(mut self, netid: NetId) -> Self {
        self.netid = Some(netid);
        self
    }

    /// The node.
    #[must_use]
    pub fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// Where the node may be reached; each address ends in its `/p2p`.
    #[must_use]
    pub fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// The entity the node is said to speak for. The node must still prove it.
    #[must_use]
    pub fn netid(&self) -> Option<&NetId> {
        self.netid.as_ref()
    }

    fn push(&mut self, address: &Multiaddr) -> Result<(), TicketError> {
        let address = with_own_peer_id(address, &self.peer_id)?;
        if self.addresses.len() >= MAX_ADDRESSES {
            let count = self.addresses.len().saturating_add(1);
            return Err(AddressError::TooMany { count }.into());
        }
        if self.addresses.contains(&address) {
            return Err(AddressError::Repeated.into());
        }
        self.addresses.push(address);
        Ok(())
    }

    /// The text without its check value.
    fn body(&self) -> String {
        let mut text = format!("{SCHEME}{}", self.peer_id);
        if let Some(netid) = &self.netid {
            text.push_str(&format!(",id={netid}"));
        }
        for address in &self.addresses {
            let short = address::without_last(address).to_string();
            text.push_str(",at=");
            text.push_str(&short.replace('%', "%25").replace(',', "%2C"));
        }
        text
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        write!(f, "{body}{SUM}{}", checksum(&body))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Fields of later versions are passed over.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        if text.len() > MAX_TICKET_CHARACTERS {
            return Err(TicketError::TooLong);
        }
        if !is_ticket(text) {
            return Err(TicketError::Scheme);
        }
        let (body, sum) = text.rsplit_once(SUM).ok_or(TicketError::Cut)?;
        if sum != checksum(body) {
            return Err(if sum.len() < CHECKSUM { TicketError::Cut } else { TicketError::Altered });
        }
        let mut fields = body.get(SCHEME.len()..).unwrap_or_default().split(',');
        let mut ticket = Self::new(parse_peer_id(fields.next().unwrap_or_default())?, [])?;
        for field in fields {
            match field.split_once('=') {
                Some(("id", _)) if ticket.netid.is_some() => return Err(TicketError::Malformed),
                Some(("id", netid)) => ticket.netid = Some(netid.parse()?),
                Some(("at", address)) => {
                    let address = address.replace("%2C", ",").replace("%25", "%");
                    ticket.push(&address::from_text(&address)?)?;
                }
                Some(_) => {}
                None => return Err(TicketError::Malformed),
            }
        }
        Ok(ticket)
    }
}

/// Why a text is no ticket.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Something else, or its beginning was cut off.
    #[error("a ticket begins with {SCHEME} and a PeerId: copy it from its first character on")]
    Scheme,
    /// The end is missing.
    #[error("the ticket was cut: copy it again to its last character")]
    Cut,
    /// The check value does not fit the text.
    #[error("the ticket was altered: copy it again, do not retype it")]
    Altered,
    /// Longer than any ticket.
    #[error("a ticket has at most {MAX_TICKET_CHARACTERS} characters")]
    TooLong,
    /// Whole, but not written as tickets are. Ask for a new one.
    #[error("not a ticket this version can read: ask for a new one")]
    Malformed,
    /// The node is not named properly.
    #[error("the ticket names no node")]
    PeerId(
        #[from]
        #[source]
        PeerIdError,
    ),
    /// The entity is not named properly.
    #[error("the ticket names no entity")]
    NetId(
        #[from]
        #[source]
        NetIdError,
    ),
    /// An address is not usable.
    #[error("an address of the ticket is not acceptable")]
    Address(
        #[from]
        #[source]
        AddressError,
    ),
}

/// Whether a text is meant as a ticket. Schemes of URLs ignore case.
pub(crate) fn is_ticket(text: &str) -> bool {
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

/// Guards against bad copies, not against forgers: a ticket is only a hint.
pub(crate) fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.get(SCHEME.len()..).unwrap_or_default());
    data_encoding::HEXLOWER.encode(digest.get(..CHECKSUM / 2).unwrap_or_default())
}

const SCHEME: &str = "netcom:";
pub(crate) const SUM: &str = ",sum=";
/// Hexadecimal digits of the check value.
const CHECKSUM: usize = 8;
