//! The protocols a node serves.

use std::fmt;

use crate::proto;

/// A record names at most this many services.
pub const MAX_SERVICES: usize = 32;
/// A service has at most this many versions.
pub const MAX_SERVICE_VERSIONS: usize = 8;

/// A protocol that a node serves, in the versions it speaks.
///
/// ```
/// # use netcom_identity::Service;
/// let service = Service::new("example/chat", ["1", "2"])?;
/// assert_eq!(service.name(), "example/chat");
/// assert!(Service::new("two words", ["1"]).is_err());
/// # Ok::<(), netcom_identity::ServiceError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Service {
    name: String,
    versions: Vec<String>,
}

impl Service {
    /// Names a service and the versions of it that are served.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if the name, a version or their number is out of bounds.
    pub fn new<V: Into<String>>(
        name: impl Into<String>,
        versions: impl IntoIterator<Item = V>,
    ) -> Result<Self, ServiceError> {
        let name = name.into();
        if !is_token(&name, MAX_NAME_BYTES) {
            return Err(ServiceError::Name);
        }
        let mut checked: Vec<String> = Vec::new();
        for version in versions {
            let version = version.into();
            if !is_token(&version, MAX_VERSION_BYTES) || checked.contains(&version) {
                return Err(ServiceError::Version);
            }
            if checked.len() >= MAX_SERVICE_VERSIONS {
                return Err(ServiceError::TooManyVersions);
            }
            checked.push(version);
        }
        if checked.is_empty() {
            Err(ServiceError::Version)
        } else {
            Ok(Self { name, versions: checked })
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The versions served, in the order given.
    #[must_use]
    pub fn versions(&self) -> &[String] {
        &self.versions
    }

    pub(crate) fn from_proto(service: proto::Service) -> Result<Self, ServiceError> {
        Self::new(service.name, service.versions)
    }

    pub(crate) fn to_proto(&self) -> proto::Service {
        proto::Service { name: self.name.clone(), versions: self.versions.clone() }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.versions.join(", "))
    }
}

/// Why a service cannot be named so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Choose another name.
    #[error("a service name has 1 to {MAX_NAME_BYTES} printable ASCII characters without spaces")]
    Name,
    /// Name each version once and shortly, at least one.
    #[error(
        "a service has distinct versions of 1 to {MAX_VERSION_BYTES} printable ASCII characters"
    )]
    Version,
    /// Leave the oldest ones out.
    #[error("a service has at most {MAX_SERVICE_VERSIONS} versions")]
    TooManyVersions,
    /// Two services of one node have the same name. Join their versions.
    #[error("a service is there twice")]
    Repeated,
}

fn is_token(text: &str, limit: usize) -> bool {
    (1..=limit).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

const MAX_NAME_BYTES: usize = 100;
const MAX_VERSION_BYTES: usize = 32;
