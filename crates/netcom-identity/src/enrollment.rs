//! A node asks an entity to let it speak for it, so that the entity's key can stay offline.

use std::fmt;

use libp2p_identity::PeerId;
use prost::Message as _;

use crate::{
    decode::{self, DecodeError},
    key::{KeyError, PublicKey, SecretKey, SignatureError},
    netid::NetId,
    peer::peer_id_from_bytes,
    proto::{self, SignedEnrollment},
    time::UnixTime,
};

/// An encoded enrollment has at most this many bytes.
pub const MAX_ENROLLMENT_BYTES: usize = 512;
/// What people call a node has at most this many bytes.
pub const MAX_LABEL_BYTES: usize = 64;

/// A node's request to speak for an entity, signed by the node's key.
///
/// Every value of this type bears a valid signature of the node it names: whoever answers it with a
/// [`Representation`](crate::Representation) lets nobody speak who did not ask. Who asked is for
/// people to compare, by the PeerId.
///
/// ```
/// # use netcom_identity::{Enrollment, SecretKey, UnixTime};
/// let node = SecretKey::from_bytes(&[7; 32]);
/// let request = Enrollment::sign(&node, None, UnixTime(1000), "rack 3")?;
///
/// let received = Enrollment::decode(&request.encode())?;
/// assert_eq!(received.peer_id(), &node.peer_id());
/// assert_eq!(received.label(), "rack 3");
/// # Ok::<(), netcom_identity::EnrollmentError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Enrollment {
    peer_id: PeerId,
    netid: Option<NetId>,
    created: UnixTime,
    label: String,
    encoded: Vec<u8>,
}

impl Enrollment {
    /// Asks in the name of the node of `key`, an entity or any. `label` is what people call the
    /// node; it may be empty.
    ///
    /// # Errors
    ///
    /// [`EnrollmentError::Label`] if the label is too long or has control characters.
    pub fn sign(
        key: &SecretKey,
        netid: Option<NetId>,
        created: UnixTime,
        label: &str,
    ) -> Result<Self, EnrollmentError> {
        check_label(label)?;
        let (peer_id, label) = (key.peer_id(), label.to_owned());
        let enrollment = proto::Enrollment {
            peer_id: peer_id.to_bytes(),
            netid: netid.as_ref().map(NetId::to_bytes).unwrap_or_default(),
            created: created.0,
            label: label.clone(),
        }
        .encode_to_vec();
        let signature = key.sign(CONTEXT, &enrollment).to_vec();
        let encoded = SignedEnrollment { enrollment, signature }.encode_to_vec();
        Ok(Self { peer_id, netid, created, label, encoded })
    }

    /// Reads an encoding and checks its signature.
    ///
    /// # Errors
    ///
    /// [`EnrollmentError`] if it is malformed, passes its bounds, or is not signed by the node it
    /// names.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnrollmentError> {
        decode::check_length(WHAT, bytes, MAX_ENROLLMENT_BYTES)?;
        let signed: SignedEnrollment = decode::message(WHAT, bytes)?;
        let read: proto::Enrollment = decode::message(WHAT, &signed.enrollment)?;
        let peer_id = peer_id_from_bytes(&read.peer_id).map_err(DecodeError::from)?;
        let key = PublicKey::from_peer_id(&peer_id).map_err(EnrollmentError::Key)?;
        let netid = (!read.netid.is_empty())
            .then(|| NetId::from_bytes(&read.netid))
            .transpose()
            .map_err(DecodeError::from)?;
        check_label(&read.label)?;
        key.verify(CONTEXT, &signed.enrollment, &signed.signature)?;
        let (created, label) = (UnixTime(read.created), read.label);
        Ok(Self { peer_id, netid, created, label, encoded: signed.encode_to_vec() })
    }

    /// The node that asks.
    #[must_use]
    pub fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// The entity it asks, if it says which.
    #[must_use]
    pub fn netid(&self) -> Option<&NetId> {
        self.netid.as_ref()
    }

    /// When it asked, by its own clock.
    #[must_use]
    pub fn created(&self) -> UnixTime {
        self.created
    }

    /// What people call the node, as it says itself.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The encoding, at most [`MAX_ENROLLMENT_BYTES`] long.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encoded.clone()
    }
}

impl fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrollment")
            .field("peer_id", &self.peer_id)
            .field("netid", &self.netid)
            .field("created", &self.created)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// Why a request cannot be made or is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollmentError {
    /// It is malformed or passes a bound. Let the node ask again.
    #[error("the request is not acceptable")]
    Content(
        #[from]
        #[source]
        DecodeError,
    ),
    /// Choose another name for the node.
    #[error("what a node is called has {MAX_LABEL_BYTES} bytes at most and no control characters")]
    Label,
    /// The node's key cannot be told from its PeerId.
    #[error("the node that asks has no usable key")]
    Key(#[source] KeyError),
    /// It was altered, or somebody else signed it. Do not answer it.
    #[error("the request is not signed by the node it names")]
    Signature(
        #[from]
        #[source]
        SignatureError,
    ),
}

fn check_label(label: &str) -> Result<(), EnrollmentError> {
    let is_fine = label.len() <= MAX_LABEL_BYTES && !label.chars().any(char::is_control);
    if is_fine { Ok(()) } else { Err(EnrollmentError::Label) }
}

const WHAT: &str = "enrollment";
/// What a node's key signs requests for.
pub(crate) const CONTEXT: &str = "netcom/enrollment/1";

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> SecretKey {
        SecretKey::from_bytes(&[7; 32])
    }

    #[test]
    fn a_request_comes_back_from_its_encoding() {
        let netid = SecretKey::from_bytes(&[1; 32]).net_id();
        let request = Enrollment::sign(&node(), Some(netid), UnixTime(9), "rack 3").unwrap();
        let read = Enrollment::decode(&request.encode()).unwrap();
        assert_eq!(read, request);
        assert_eq!((read.netid(), read.created()), (Some(&netid), UnixTime(9)));
        let any = Enrollment::sign(&node(), None, UnixTime(9), "").unwrap();
        assert_eq!(Enrollment::decode(&any.encode()).unwrap().netid(), None);
    }

    #[test]
    fn what_the_node_did_not_sign_is_refused() {
        let request = Enrollment::sign(&node(), None, UnixTime(9), "rack 3").unwrap();
        let mut signed = SignedEnrollment::decode(&request.encode()[..]).unwrap();
        let mut read = proto::Enrollment::decode(&signed.enrollment[..]).unwrap();
        read.label = "rack 4".to_owned();
        signed.enrollment = read.encode_to_vec();
        let error = Enrollment::decode(&signed.encode_to_vec()).unwrap_err();
        assert!(matches!(error, EnrollmentError::Signature(_)), "{error}");

        // A signature for another use is none for this one.
        let other = node().sign("netcom/node-record/1", &signed.enrollment).to_vec();
        signed.signature = other;
        assert!(Enrollment::decode(&signed.encode_to_vec()).is_err());
    }

    #[test]
    fn requests_have_bounds() {
        let long = "x".repeat(MAX_LABEL_BYTES + 1);
        for label in [long.as_str(), "a\nb", "\u{7f}", "\u{85}"] {
            let refused = Enrollment::sign(&node(), None, UnixTime(9), label).unwrap_err();
            assert_eq!(refused, EnrollmentError::Label);
        }
        let longest = Enrollment::sign(
            &node(),
            Some(node().net_id()),
            UnixTime(u64::MAX),
            &"x".repeat(MAX_LABEL_BYTES),
        );
        assert!(longest.unwrap().encode().len() <= MAX_ENROLLMENT_BYTES);
        let too_long = vec![0; MAX_ENROLLMENT_BYTES + 1];
        assert!(matches!(
            Enrollment::decode(&too_long),
            Err(EnrollmentError::Content(DecodeError::TooLong { .. }))
        ));
        for bytes in [&[][..], &[0xff; 40], &[10, 2, 8, 1]] {
            assert!(Enrollment::decode(bytes).is_err());
        }
    }
}
