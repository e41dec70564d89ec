//! What a node's certificate says beside its key: the protocol versions it speaks and for whom.
//!
//! It is the value of one non-critical X.509 extension, which libp2p's verifiers ignore. So the
//! representations of both ends are known when the handshake ends, at no extra round trip.

use prost::Message as _;

use crate::{
    decode::{self, DecodeError},
    proto,
    representation::Representation,
};

/// The extension's object identifier, `2.25.8946070222642379956`.
///
/// Under 2.25 anyone may number things by a UUID without asking. The number is the first 63 bits
/// of SHA-256 of `netcom certificate extension`: half of a UUID, because common certificate
/// libraries keep each number of an identifier in 64 bits.
pub const OID: &[u64] = &[2, 25, OID_NUMBER];

/// The extension's value has at most this many bytes.
pub const MAX_BYTES: usize = 3 * 1024;
/// A certificate carries at most this many representations.
pub const MAX_REPRESENTATIONS: usize = 4;

/// The protocol versions this code speaks.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };

/// A range of protocol versions.
///
/// ```
/// # use netcom_identity::certificate::Versions;
/// let ours = Versions { lowest: 1, highest: 3 };
/// assert_eq!(ours.common(Versions { lowest: 2, highest: 9 }), Some(3));
/// assert_eq!(ours.common(Versions { lowest: 4, highest: 9 }), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Versions {
    /// The lowest one.
    pub lowest: u32,
    /// The highest one.
    pub highest: u32,
}

impl Versions {
    /// The highest version in both ranges: what both ends use.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

/// What the extension says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CertificateExtension {
    /// The protocol versions that the node speaks.
    pub versions: Versions,
    /// The claims to be verified against the PeerId that the handshake proves.
    pub representations: Vec<Representation>,
}

/// The extension's value for a node that speaks [`VERSIONS`].
///
/// # Errors
///
/// [`CertificateError`] if the representations do not fit.
///
/// ```
/// # use netcom_identity::{Representation, SecretKey, Terms, UnixTime, certificate};
/// # let [alice, node] = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]));
/// let terms = Terms::new(1, UnixTime(1000), UnixTime(2000));
/// let proof = Representation::issue(&alice, node.peer_id(), &terms);
/// let value = certificate::encode(&[proof.clone()])?;
/// assert_eq!(certificate::decode(&value)?.representations, [proof]);
/// # Ok::<(), certificate::CertificateError>(())
/// ```
pub fn encode(representations: &[Representation]) -> Result<Vec<u8>, CertificateError> {
    let count = representations.len();
    decode::check_count(REPRESENTATIONS, count, MAX_REPRESENTATIONS)?;
    let value = proto::CertificateExtension {
        representations: representations.iter().map(Representation::encode).collect(),
        lowest_version: VERSIONS.lowest,
        highest_version: VERSIONS.highest,
    }
    .encode_to_vec();
    decode::check_length(WHAT, &value, MAX_BYTES)?;
    Ok(value)
}

/// Reads the extension's value.
///
/// # Errors
///
/// [`CertificateError`] if the value is malformed or passes its bounds.
pub fn decode(value: &[u8]) -> Result<CertificateExtension, CertificateError> {
    decode::check_length(WHAT, value, MAX_BYTES)?;
    let message: proto::CertificateExtension = decode::message(WHAT, value)?;
    let versions = Versions { lowest: message.lowest_version, highest: message.highest_version };
    if versions.lowest == 0 || versions.lowest > versions.highest {
        return Err(CertificateError::Versions);
    }
    let count = message.representations.len();
    decode::check_count(REPRESENTATIONS, count, MAX_REPRESENTATIONS)?;
    let representations = message
        .representations
        .iter()
        .map(|bytes| Representation::decode(bytes))
        .collect::<Result<_, _>>()?;
    Ok(CertificateExtension { versions, representations })
}

/// Why an extension cannot be made or read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is malformed, or passes a bound: show fewer representations or shorter metadata.
    #[error("the certificate's extension is not acceptable")]
    Content(
        #[from]
        #[source]
        DecodeError,
    ),
    /// It names no protocol version at all.
    #[error("the certificate's extension names no protocol version")]
    Versions,
}

const WHAT: &str = "certificate extension";
const REPRESENTATIONS: &str = "representations";
const OID_NUMBER: u64 = 8_946_070_222_642_379_956;
