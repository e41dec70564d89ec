//! What a node may use, and how it is told.

use std::{ffi::OsString, fmt, str::FromStr, time::Duration};

use netcom_discovery::Scope;
use netcom_session::{Config, EndpointLimits, Redundancy};
use netcom_transport::HandshakeLimits;

use crate::{error::CreateError, machine};

/// What a node and its peers may use of this machine. The defaults are those of docs/limits.md.
///
/// ```
/// use netcom::Limits;
///
/// let mut limits = Limits::default();
/// limits.sessions.total = 1000;
/// limits.session.resume_window = std::time::Duration::from_secs(10);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Limits {
    /// Limits and times of each session.
    pub session: Config,
    /// How many sessions there may be.
    pub sessions: EndpointLimits,
    /// What strangers may cost.
    pub handshakes: HandshakeLimits,
    /// Bytes of memory that all sessions may take together; with less than 1 MiB left no further
    /// one is let in. Default: `None`, a quarter of the machine's memory or of the control group's,
    /// whichever is less.
    pub memory: Option<u64>,
}

/// How many links a session uses, where there are several ways to the peer: TCP and QUIC, IPv4 and
/// IPv6, several networks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Links {
    /// One while it works. Where it does not answer, another is dialled beside it. The default.
    #[default]
    Auto,
    /// One, and another only once the first is gone.
    Single,
    /// A second one stands by, so that streams go on within a fraction of a second when the first
    /// one fails. It is of another kind or leads to another address.
    Standby,
    /// One to each of the peer's addresses, up to four, which share what this side sends: large
    /// transfers get the rate of all of them. A slower one takes what arrives no later for it. The
    /// peer does the same with what it sends if it is told to.
    Stripe,
    /// One to each of the peer's addresses, up to four, or of another kind where there is only one
    /// address. What this side sends goes over each of them, so that what comes first counts: this
    /// costs as many times the traffic. Links that are a quarter of a mebibyte behind leave out
    /// what the others have sent meanwhile.
    Mirror,
}

impl Links {
    /// Whether somebody has to see to it that there are as many.
    pub(crate) fn are_kept(self) -> bool {
        matches!(self, Self::Standby | Self::Stripe | Self::Mirror)
    }

    /// How a session uses those it has.
    pub(crate) fn redundancy(self) -> Redundancy {
        match self {
            Self::Stripe => Redundancy::Stripe,
            Self::Mirror => Redundancy::Mirror,
            _ => Redundancy::Standby,
        }
    }
}

/// Why a text names no policy of [`Links`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no policy of links, write one of {}", Links::names())]
pub struct ParseLinksError {
    text: String,
}

impl Links {
    /// Each policy with its name, which does not change.
    const NAMED: [(Self, &'static str); 5] = [
        (Self::Auto, "auto"),
        (Self::Single, "single"),
        (Self::Standby, "standby"),
        (Self::Stripe, "stripe"),
        (Self::Mirror, "mirror"),
    ];

    /// The names of all policies, for a person.
    fn names() -> String {
        let [rest @ .., (_, last)] = &Self::NAMED;
        let rest: Vec<&str> = rest.iter().map(|(_, name)| *name).collect();
        format!("{} or {last}", rest.join(", "))
    }
}

impl FromStr for Links {
    type Err = ParseLinksError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::NAMED.iter().find(|(_, name)| *name == text);
        known
            .map(|(policy, _)| *policy)
            .ok_or_else(|| ParseLinksError { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::NAMED.iter().find(|(policy, _)| policy == self);
        f.pad(known.map_or("other", |(_, name)| name))
    }
}

/// Whether a node takes its data directory for itself, which gives it the stored node key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DataDirUse {
    /// Takes it if no other process has it, and otherwise runs under a fresh key of the same
    /// identity. The default.
    #[default]
    IfFree,
    /// Takes it, or is not made.
    Exclusive,
    /// Leaves it to others, and runs under a fresh key: for short commands.
    Shared,
}

/// The memory of all sessions where nobody says how much.
pub(crate) fn default_memory() -> u64 {
    machine::memory().unwrap_or(MEMORY_UNKNOWN) / MEMORY_PART
}

/// The scope that the environment names.
pub(crate) fn scope_of(variable: Option<OsString>) -> Result<Scope, CreateError> {
    match variable.filter(|value| !value.is_empty()) {
        None => Ok(Scope::default()),
        Some(value) => {
            let scope = value.to_string_lossy().parse();
            scope.map_err(|source| CreateError::Scope { source })
        }
    }
}

/// The environment variable that names the scope of discovery.
pub(crate) const SCOPE_VARIABLE: &str = "NETCOM_DISCOVERY";
/// Sockets by default: TCP and QUIC over both versions of IP at a port of the system's choice.
pub(crate) const LISTEN_EVERYWHERE: [&str; 4] =
    ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0"];
/// Sockets where nobody beyond this machine is meant.
pub(crate) const LISTEN_ON_LOOPBACK: [&str; 4] = [
    "/ip4/127.0.0.1/udp/0/quic-v1",
    "/ip4/127.0.0.1/tcp/0",
    "/ip6/::1/udp/0/quic-v1",
    "/ip6/::1/tcp/0",
];
/// Sessions take one in so many parts of the memory there is.
const MEMORY_PART: u64 = 4;
/// The memory of a machine that does not tell.
const MEMORY_UNKNOWN: u64 = 4 << 30;
/// How long a published record is valid; it is replaced at half of it.
pub(crate) const RECORD_LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_links_round_trip_as_text_and_others_are_told_the_names() {
        for (policy, name) in Links::NAMED {
            assert_eq!(name.parse(), Ok(policy));
            assert_eq!(policy.to_string(), name);
        }
        let error = "Standby".parse::<Links>().unwrap_err().to_string();
        assert!(error.contains("auto, single") && error.contains("standby"), "{error}");
    }

    #[test]
    fn the_environment_names_the_scope_or_says_what_it_may_be() {
        assert_eq!(scope_of(None).unwrap(), Scope::Lan);
        assert_eq!(scope_of(Some("".into())).unwrap(), Scope::Lan);
        assert_eq!(scope_of(Some("host".into())).unwrap(), Scope::Host);
        let error = scope_of(Some("hots".into())).unwrap_err();
        assert_eq!(error.code(), "bad_scope");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("off, host, lan"));
    }
}
