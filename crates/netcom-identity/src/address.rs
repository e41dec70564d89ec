//! Addresses of nodes, complete with the node they belong to.

use multiaddr::{Multiaddr, Protocol};

use crate::PeerId;

/// A record, a ticket has at most this many addresses.
pub const MAX_ADDRESSES: usize = 32;
/// An address has at most this many bytes in binary and four times as many as text.
pub const MAX_ADDRESS_BYTES: usize = 256;

/// The address with `/p2p/<peer_id>` at its end, added if it is not there.
///
/// # Errors
///
/// [`AddressError`] if the address belongs to another node, or is not one to pass on.
///
/// ```
/// # use netcom_identity::{Multiaddr, SecretKey, with_own_peer_id};
/// let id = SecretKey::from_bytes(&[7; 32]).peer_id();
/// let address: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().unwrap();
/// let full = with_own_peer_id(&address, &id)?;
/// assert_eq!(full.to_string(), format!("/ip4/127.0.0.1/tcp/4001/p2p/{id}"));
/// # Ok::<(), netcom_identity::AddressError>(())
/// ```
pub fn with_own_peer_id(address: &Multiaddr, peer_id: &PeerId) -> Result<Multiaddr, AddressError> {
    check(address)?;
    let full = address
        .clone()
        .with_p2p(*peer_id)
        .map_err(|_| AddressError::OtherPeer { own: *peer_id, address: address.to_string() })?;
    check(&full)?;
    if full.iter().count() < 2 { Err(AddressError::NoTransport) } else { Ok(full) }
}

/// Reads the text of an address.
pub(crate) fn from_text(text: &str) -> Result<Multiaddr, AddressError> {
    if text.len() > MAX_TEXT {
        return Err(AddressError::TooLong);
    }
    let address = text
        .parse()
        .map_err(|error: multiaddr::Error| AddressError::Malformed { reason: error.to_string() })?;
    check(&address)?;
    Ok(address)
}

/// Reads a binary address.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Multiaddr, AddressError> {
    if bytes.len() > MAX_ADDRESS_BYTES {
        return Err(AddressError::TooLong);
    }
    let address = Multiaddr::try_from(bytes.to_vec())
        .map_err(|error| AddressError::Malformed { reason: error.to_string() })?;
    check(&address)?;
    Ok(address)
}

/// The node an address ends at.
pub(crate) fn last_peer_id(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer_id)) => Some(peer_id),
        _ => None,
    }
}

/// The address without the `/p2p` at its end.
pub(crate) fn without_last(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    address.pop();
    address
}

/// Why an address is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not a multiaddr. Write one such as `/ip4/192.0.2.1/tcp/4001`.
    #[error("not a multiaddr such as /ip4/192.0.2.1/tcp/4001: {reason}")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
    /// Longer than any address in use.
    #[error("an address has at most {MAX_ADDRESS_BYTES} bytes")]
    TooLong,
    /// Its text would read as another address, or garble a terminal.
    #[error("an address whose text does not lead back to it")]
    Ambiguous,
    /// It names a node, not how to reach it. Put a transport before `/p2p`.
    #[error("the address names no transport, such as /ip4/192.0.2.1/tcp/4001")]
    NoTransport,
    /// It ends in another node's PeerId.
    #[error("{address} belongs to another node than {own}")]
    OtherPeer {
        /// Whose address it should be.
        own: PeerId,
        /// The address as text.
        address: String,
    },
    /// It does not say which node is there. Add `/p2p/` and the PeerId.
    #[error("the address does not end in /p2p/ and a PeerId: add it, so that nobody else answers")]
    NoPeer,
    /// The same address twice.
    #[error("an address is there twice")]
    Repeated,
    /// Too many of them. Leave some out.
    #[error("at most {MAX_ADDRESSES} addresses, not {count}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

/// Binary addresses can hold names that, as text, read as other addresses: `/dns4/a%2Ftcp%2F1`
/// without the escapes. What people see must be what programs dial.
fn check(address: &Multiaddr) -> Result<(), AddressError> {
    if address.is_empty() {
        return Err(AddressError::NoTransport);
    }
    if address.len() > MAX_ADDRESS_BYTES {
        return Err(AddressError::TooLong);
    }
    let text = address.to_string();
    // Two bytes can be eleven characters, `/ipcidr/255`.
    if text.len() > MAX_TEXT {
        return Err(AddressError::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AddressError::Ambiguous);
    }
    match text.parse::<Multiaddr>() {
        Ok(again) if again == *address => Ok(()),
        _ => Err(AddressError::Ambiguous),
    }
}

const MAX_TEXT: usize = 4 * MAX_ADDRESS_BYTES;
