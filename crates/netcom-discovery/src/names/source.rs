//! Whom names are asked of.

use crate::Task;

/// Gets pages from web servers, to the rules of R-NET-10: HTTPS with a certificate that an
/// authority vouches for, no redirect, 16 KiB at most, and public addresses only where it is a
/// domain that is asked.
pub trait Web: Send + Sync + 'static {
    /// Gets `https://<host><path>`; the host of a directory may have a port behind it. May be
    /// dropped at any time.
    fn get<'a>(&'a self, host: &'a str, path: &'a str) -> Task<'a, Result<Vec<u8>, WebError>>;
}

/// Why there is no page.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// No server answers, or it has no page to give now.
    #[error("{reason}")]
    Absent {
        /// What happened.
        reason: String,
    },
    /// The server knows of no such page.
    #[error("the server says 404 Not Found")]
    Missing,
    /// Nobody who is believed vouches for the server.
    #[error("{reason}")]
    Certificate {
        /// What is wrong with its certificate.
        reason: String,
    },
    /// There is an answer that must not be believed.
    #[error("{reason}")]
    Bad {
        /// What is wrong with it.
        reason: String,
    },
}

/// Asks the DNS, and tells how far DNSSEC proves the answer.
pub trait Dns: Send + Sync + 'static {
    /// The TXT records of a name, each with its strings joined. May be dropped at any time.
    fn txt<'a>(&'a self, name: &'a str) -> Task<'a, Txt>;
}

/// What the DNS says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Txt {
    /// Records that DNSSEC proves to be the zone's.
    Secure(Vec<String>),
    /// Records of a zone without DNSSEC.
    Insecure(Vec<String>),
    /// An answer that DNSSEC proves to be wrong.
    Bogus {
        /// What is wrong with it.
        reason: String,
    },
    /// No such record, or no answer.
    Absent {
        /// What happened.
        reason: String,
    },
}

/// A system without DNS servers.
pub(crate) struct NoDns;

impl Dns for NoDns {
    fn txt<'a>(&'a self, _: &'a str) -> Task<'a, Txt> {
        Box::pin(async { Txt::Absent { reason: "no DNS servers are configured".to_owned() } })
    }
}
