//! What a link is asked to be when it begins.

use std::time::Duration;

use crate::{Loss, PathSpec};

/// What a link is to be like.
///
/// ```
/// use std::time::Duration;
/// use netcom_lab::{LinkSpec, Loss, PathSpec, Side};
///
/// let home = LinkSpec::new(Duration::from_millis(15)).rate(100_000_000).queue(256 << 10);
/// // One megabit a second up, and a link that loses a little.
/// let up = PathSpec { rate: Some(1_000_000), ..*home.path(Side::Left) };
/// let slow = home.path_from(Side::Left, up).loss(Loss::Independent(0.01));
/// assert_eq!(slow.round_trip(), home.round_trip());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LinkSpec {
    pub(crate) paths: [PathSpec; 2],
    pub(crate) mtu: u16,
    pub(crate) seed: u64,
}

/// Names the ends of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The first end of a pair.
    Left,
    /// The second.
    Right,
}

impl LinkSpec {
    /// Asks for a link that delivers each packet this long after it was sent.
    #[must_use]
    pub const fn new(delay: Duration) -> Self {
        Self::symmetric(PathSpec::new(delay))
    }

    /// Asks for a link that is the same from either side.
    #[must_use]
    pub const fn symmetric(path: PathSpec) -> Self {
        Self { paths: [path; 2], mtu: 1500, seed: 1 }
    }

    /// Sets what the path from one side is like.
    #[must_use]
    pub fn path_from(mut self, side: Side, path: PathSpec) -> Self {
        self.paths[side.index()] = path;
        self
    }

    /// Sets how many bits a second leave in each direction. Default: any number.
    #[must_use]
    pub fn rate(self, bits: u64) -> Self {
        self.each(|path| path.rate = Some(bits))
    }

    /// Sets how many bytes may wait for their turn in each direction, which they do where there is
    /// a rate. Default: 1 MiB.
    #[must_use]
    pub fn queue(self, bytes: usize) -> Self {
        self.each(|path| path.queue = bytes)
    }

    /// Sets which packets are lost in each direction. Default: none.
    #[must_use]
    pub fn loss(self, loss: Loss) -> Self {
        self.each(|path| path.loss = loss)
    }

    /// Sets the largest packet in bytes that the interfaces send, at least the 1,280 of IPv6, and
    /// that the paths take. For a path that takes less than its interface sends, set that after
    /// this. Default: 1,500.
    #[must_use]
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu.max(1280);
        let most = usize::from(self.mtu);
        self.each(|path| path.mtu = most)
    }

    /// Sets the seed of all chances: the same packets in the same order have the same fate.
    /// Default: 1.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What the path from one side is like.
    #[must_use]
    pub fn path(&self, from: Side) -> &PathSpec {
        &self.paths[from.index()]
    }

    /// Tells how long a packet and its answer are on their way together, at least.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.paths.iter().map(|path| path.delay).sum()
    }

    fn each(mut self, change: impl Fn(&mut PathSpec)) -> Self {
        self.paths.iter_mut().for_each(change);
        self
    }
}

impl Side {
    /// Both sides.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// The side across the link.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self == Self::Right)
    }
}
