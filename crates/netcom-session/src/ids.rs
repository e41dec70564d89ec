//! Names of the things two peers talk about.

use std::fmt;

/// Names one stream of a session. The low bit tells who opened it: 0 is the keeper (the side with
/// the lower PeerId), 1 the other side, so that ids never collide.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The `index`th stream opened by the keeper or by the other side.
    #[must_use]
    pub fn new(index: u64, by_keeper: bool) -> Self {
        Self(index << 1 | u64::from(!by_keeper))
    }

    /// How many streams the same side opened before this one.
    #[must_use]
    pub fn index(self) -> u64 {
        self.0 >> 1
    }

    /// Whether the keeper opened the stream.
    #[must_use]
    pub fn is_by_keeper(self) -> bool {
        self.0 & 1 == 0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one link within its session: chosen by the dialer, rising, with the dialer's parity
/// (0 the keeper, 1 the other side), never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one reliable ordered byte pipe of a link and direction: 0 is the first one, each further
/// one a unidirectional QUIC stream in the order of opening.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LaneId(pub u64);

/// Names one process of a peer: random at its start.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InstanceId(pub [u8; 16]);

/// Names one session between two processes: made by the keeper.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub [u8; 16]);

/// One of the two flows of a stream in one direction.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Flow {
    /// What the application sends.
    Data,
    /// What went wrong, beside the data: own offsets, credit and end.
    Error,
}

/// How urgent a stream is. Classes share a link by weight, so none starves.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Somebody waits for it: weight 16.
    Interactive,
    /// Weight 4.
    #[default]
    Normal,
    /// Takes what the others leave, at least 1 in 21.
    Bulk,
}
