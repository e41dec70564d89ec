//! What a node is there for.

use std::fmt;

/// What a node is there for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Role {
    /// Connects and is connected to.
    #[default]
    Peer,
    /// Is there for others: stays up and is preferred by those who look for the entity.
    Server,
    /// Connects to others only.
    Client,
}

impl Role {
    const ALL: [Self; 3] = [Self::Peer, Self::Server, Self::Client];

    fn bit(self) -> u32 {
        match self {
            Self::Peer => 1,
            Self::Server => 2,
            Self::Client => 4,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Peer => "peer",
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// A set of roles. Roles of later versions are kept and compared, though they have no name here.
///
/// ```
/// # use netcom_identity::{Role, Roles};
/// let roles: Roles = [Role::Peer, Role::Server].into();
/// assert!(roles.contains(Role::Server) && !roles.contains(Role::Client));
/// assert!(roles.is_within(Roles::all()));
/// ```
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Roles(u32);

impl Roles {
    /// No role at all.
    #[must_use]
    pub fn none() -> Self {
        Self(0)
    }

    /// Every role that has a name today.
    #[must_use]
    pub fn all() -> Self {
        Role::ALL.into()
    }

    /// Whether the set has this role.
    #[must_use]
    pub fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether every role of this set is in `other` too.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The roles of the set that have a name.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(role.bit())
    }
}

impl<const N: usize> From<[Role; N]> for Roles {
    fn from(roles: [Role; N]) -> Self {
        roles.into_iter().collect()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
