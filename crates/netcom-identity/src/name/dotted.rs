//! Names with dots, before it matters who answers them.

use std::fmt;

use super::domain::{DirectoryName, DirectorySuffixes, DomainError, DomainName};

/// A name with dots: a domain, or a name of a directory.
///
/// ```
/// # use netcom_identity::{DirectorySuffixes, DottedName};
/// let suffixes = DirectorySuffixes::default();
/// assert!(matches!(DottedName::parse("Example.ORG.", &suffixes)?, DottedName::Domain(_)));
/// assert!(matches!(DottedName::parse("alice.netcom", &suffixes)?, DottedName::Directory(_)));
/// # Ok::<(), netcom_identity::DomainError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DottedName {
    /// Of the public DNS.
    Domain(DomainName),
    /// Under a suffix that is none of the public DNS, answered under that directory's pinned key
    /// alone.
    Directory(DirectoryName),
}

impl DottedName {
    /// Reads a name, given the suffixes that are not domains.
    ///
    /// # Errors
    ///
    /// [`DomainError`] if it is none, or must not be asked for in the public DNS.
    pub fn parse(text: &str, suffixes: &DirectorySuffixes) -> Result<Self, DomainError> {
        match DirectoryName::parse(text, suffixes)? {
            Some(name) => Ok(Self::Directory(name)),
            None => DomainName::parse(text, suffixes).map(Self::Domain),
        }
    }

    /// The name, in small letters and without a dot at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Domain(name) => name.as_str(),
            Self::Directory(name) => name.as_str(),
        }
    }
}

impl fmt::Display for DottedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<DomainName> for DottedName {
    fn from(name: DomainName) -> Self {
        Self::Domain(name)
    }
}

impl From<DirectoryName> for DottedName {
    fn from(name: DirectoryName) -> Self {
        Self::Directory(name)
    }
}
