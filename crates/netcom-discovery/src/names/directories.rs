//! Which directory answers the names under which suffix, as the user configured it.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use hyper::Uri;
use netcom_identity::{DirectoryName, DirectorySuffixes, DomainError, NetId};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use super::{
    https::{Https, LOCALHOST, bare},
    public::is_public,
    source::Web,
};

/// A directory: who answers the names under a suffix, and the key that signs the answers.
///
/// ```
/// # use netcom_discovery::names::{Directories, Directory};
/// # let key = netcom_identity::SecretKey::from_bytes(&[7; 32]).net_id();
/// let directory = Directory::new("netcom", "https://directory.example.org", key)?;
/// let directories = Directories::default().with(directory)?;
/// # assert_eq!(directories.suffixes().iter().count(), 1);
/// # Ok::<(), netcom_discovery::names::DirectoryError>(())
/// ```
#[derive(Clone)]
pub struct Directory {
    suffix: String,
    key: NetId,
    url: String,
    /// Host and port, as they stand in the url.
    host: String,
    /// What stands before the path of a name, without a `/` at its end.
    base: String,
    is_on_this_host: bool,
    /// Whether it is at an address that is none of the public internet.
    is_near: bool,
    web: Arc<dyn Web>,
}

/// The directories of a node, one for each suffix.
#[derive(Clone, Debug, Default)]
pub struct Directories {
    directories: BTreeMap<String, Directory>,
    suffixes: DirectorySuffixes,
}

/// Why a directory cannot be configured.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The suffix is no name, or there are too many.
    #[error("{suffix:?} cannot be the suffix of a directory ({reason})")]
    Suffix {
        /// The suffix.
        suffix: String,
        /// What is wrong with it.
        reason: DomainError,
    },
    /// The url is none that a directory can have.
    #[error("{url:?} is no url of a directory ({reason}): https://host, with port and path if any")]
    Url {
        /// The url.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Names under directories' suffixes are never asked for in the DNS, that of a directory
    /// neither.
    #[error(
        "the directory for .{suffix} is at {host}, a name that a directory answers: give its IP \
         address"
    )]
    Host {
        /// The suffix.
        suffix: String,
        /// The directory's host.
        host: String,
    },
    /// Names have one directory each.
    #[error("there are two directories for .{suffix}")]
    Twice {
        /// The suffix.
        suffix: String,
    },
    /// The authority is no list of certificates.
    #[error("the certificate authority of the directory for .{suffix} is no PEM certificate")]
    Authority {
        /// The suffix.
        suffix: String,
    },
}

impl Directory {
    /// Names under `suffix` are asked of the directory at `url`, whose answers `key` signs. Its
    /// server is believed if one of the authorities vouches for it that browsers believe. It may
    /// be on this host or in its networks.
    ///
    /// # Errors
    /// [`DirectoryError`] if the suffix or the url is none.
    pub fn new(suffix: &str, url: &str, key: NetId) -> Result<Self, DirectoryError> {
        let suffix = normalised(suffix)?;
        let wrong = |reason| DirectoryError::Url { url: url.to_owned(), reason };
        let url = url.trim();
        if url.len() > MAX_URL || url.contains('#') {
            return Err(wrong("too long, or with a #"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("it does not begin with https://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("it has a user or a ?"));
        }
        let host = bare(authority.host());
        ServerName::try_from(host).map_err(|_| wrong("its host is none"))?;
        let (is_on_this_host, is_near) = match host.parse::<IpAddr>() {
            Ok(address) => (address.is_loopback(), !is_public(address)),
            Err(_) => [host.eq_ignore_ascii_case(LOCALHOST); 2].into(),
        };
        Ok(Self {
            suffix,
            key,
            url: url.trim_end_matches('/').to_owned(),
            host: authority.to_string(),
            base: uri.path().trim_end_matches('/').to_owned(),
            is_on_this_host,
            is_near,
            web: Arc::new(Https::chosen(None)),
        })
    }

    /// Believes the server if one of these certificates, in PEM, vouches for it, or is its own, and
    /// no other authority.
    ///
    /// # Errors
    /// [`DirectoryError::Authority`] if there are none, or more than 64.
    pub fn authority(mut self, pem: &[u8]) -> Result<Self, DirectoryError> {
        let wrong = || DirectoryError::Authority { suffix: self.suffix.clone() };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            if roots.len() == MAX_AUTHORITIES {
                return Err(wrong());
            }
            roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
        }
        if roots.is_empty() {
            return Err(wrong());
        }
        self.web = Arc::new(Https::chosen(Some(roots)));
        Ok(self)
    }

    /// Asks through somebody else.
    #[cfg(test)]
    pub(crate) fn asked_through(mut self, web: Arc<dyn Web>) -> Self {
        self.web = web;
        self
    }

    /// The suffix of the names it answers, without a dot before it.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The key that signs its answers.
    #[must_use]
    pub fn key(&self) -> &NetId {
        &self.key
    }

    /// Where it is, without a `/` at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether asking it stays on this machine.
    pub(crate) fn is_on_this_host(&self) -> bool {
        self.is_on_this_host
    }

    /// Whether what it says may be about this host and its networks: it is there itself, by an
    /// address that the user gave.
    pub(crate) fn is_near(&self) -> bool {
        self.is_near
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/v1/names/{name}", self.base)
    }

    pub(crate) fn web(&self) -> &dyn Web {
        &*self.web
    }

    /// Whether the directory itself is looked for by a name under one of the suffixes.
    fn is_under(&self, suffixes: &DirectorySuffixes) -> bool {
        let host = self.host.split_once(':').map_or(self.host.as_str(), |(host, _)| host);
        matches!(
            DirectoryName::parse(host, suffixes),
            Ok(Some(_)) | Err(DomainError::SuffixAlone { .. })
        )
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("suffix", &self.suffix)
            .field("url", &self.url)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Directories {
    /// Adds a directory.
    ///
    /// # Errors
    /// [`DirectoryError`] if its suffix has one, there are too many, or one of the directories is
    /// itself at a name that a directory answers.
    pub fn with(mut self, directory: Directory) -> Result<Self, DirectoryError> {
        let suffix = directory.suffix.clone();
        self.suffixes = self
            .suffixes
            .with(&suffix)
            .map_err(|reason| DirectoryError::Suffix { suffix: suffix.clone(), reason })?;
        if self.directories.insert(suffix.clone(), directory).is_some() {
            return Err(DirectoryError::Twice { suffix });
        }
        match self.directories.values().find(|it| it.is_under(&self.suffixes)) {
            Some(directory) => Err(DirectoryError::Host {
                suffix: directory.suffix.clone(),
                host: directory.host.clone(),
            }),
            None => Ok(self),
        }
    }

    /// The suffixes whose names never reach the public DNS: those of the directories, and `netcom`.
    #[must_use]
    pub fn suffixes(&self) -> &DirectorySuffixes {
        &self.suffixes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    /// The directory for exactly that suffix.
    pub(crate) fn of(&self, suffix: &str) -> Option<&Directory> {
        self.directories.get(suffix)
    }
}

/// A suffix as [`DirectorySuffixes`] has it.
fn normalised(text: &str) -> Result<String, DirectoryError> {
    let text = text.trim();
    let wrong = |reason| DirectoryError::Suffix { suffix: text.to_owned(), reason };
    let bare = text.strip_prefix('.').unwrap_or(text);
    let with = DirectorySuffixes::default().with(bare).map_err(wrong)?;
    // The one that was added, or `netcom`, which was there.
    Ok(with.iter().last().unwrap_or_default().to_owned())
}

/// A longer url is none that somebody wrote.
const MAX_URL: usize = 2048;
/// Certificates that may vouch for a directory.
const MAX_AUTHORITIES: usize = 64;
