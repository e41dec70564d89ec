//! The payload of a DATA frame.

use std::{iter::Chain, option, vec};

use bytes::Bytes;

/// The bytes of a DATA frame: one slice, or several where the frame lay in several packets.
/// Payloads are equal if their bytes are, however they are cut.
#[derive(Clone, Debug)]
pub struct Payload(Inner);

#[derive(Clone, Debug)]
enum Inner {
    One(Bytes),
    Parts(Vec<Bytes>),
}

impl Payload {
    /// A payload in parts, in order. They are kept as they are for as long as nobody reads them:
    /// whoever makes them sees to it that together they do not pin many times their size.
    #[must_use]
    pub fn of_parts(parts: Vec<Bytes>) -> Self {
        Self(Inner::Parts(parts))
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them in order.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        match &self.0 {
            Inner::One(bytes) => std::slice::from_ref(bytes),
            Inner::Parts(parts) => parts,
        }
    }

    /// Whether they came in parts, which are kept as they are.
    pub(crate) fn is_in_parts(&self) -> bool {
        matches!(self.0, Inner::Parts(_))
    }

    /// The bytes, if they are one slice and not parts.
    pub fn as_slice_mut(&mut self) -> Option<&mut Bytes> {
        match &mut self.0 {
            Inner::One(bytes) => Some(bytes),
            Inner::Parts(_) => None,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self(Inner::One(Bytes::new()))
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::One(bytes))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl IntoIterator for Payload {
    type Item = Bytes;
    type IntoIter = Chain<option::IntoIter<Bytes>, vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, parts) = match self.0 {
            Inner::One(bytes) => (Some(bytes), Vec::new()),
            Inner::Parts(parts) => (None, parts),
        };
        one.into_iter().chain(parts)
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.parts().iter().flatten().eq(other.parts().iter().flatten())
    }
}

impl Eq for Payload {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_equal_however_they_are_cut() {
        let whole = Payload::from(vec![1, 2, 3]);
        let cut = Payload::of_parts(vec![vec![1].into(), vec![2, 3].into()]);
        assert_eq!(whole, cut);
        assert_ne!(whole, Payload::from(vec![1, 2, 4]));
        assert_eq!((cut.len(), cut.is_empty()), (3, false));
    }

    #[test]
    fn a_payload_is_as_small_as_a_slice() {
        assert_eq!(size_of::<Payload>(), size_of::<Bytes>());
    }
}
