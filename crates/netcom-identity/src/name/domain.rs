//! Names with dots: in directories, and in the public DNS.

use std::{fmt, net::IpAddr, str::FromStr};

/// The suffixes whose names directories answer. They never reach the public DNS.
///
/// ```
/// # use netcom_identity::{DirectorySuffixes, DottedName};
/// let suffixes = DirectorySuffixes::default().with("corp")?; // `netcom` is always there
/// assert!(matches!(DottedName::parse("alice.corp", &suffixes), Ok(DottedName::Directory(_))));
/// # Ok::<(), netcom_identity::DomainError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DirectorySuffixes(Vec<String>);

impl DirectorySuffixes {
    /// Adds a suffix, of one label or several, with or without a dot before it.
    ///
    /// # Errors
    ///
    /// [`DomainError`] if it is no such name, or there are too many.
    pub fn with(mut self, suffix: &str) -> Result<Self, DomainError> {
        let suffix = normalised(suffix.strip_prefix('.').unwrap_or(suffix))?;
        if !self.0.contains(&suffix) {
            if self.0.len() >= MAX_SUFFIXES {
                return Err(DomainError::TooManySuffixes);
            }
            self.0.push(suffix);
        }
        Ok(self)
    }

    /// All suffixes, without leading dots.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The longest suffix that the name ends in or is.
    fn of(&self, name: &str) -> Option<&str> {
        self.iter().filter(|suffix| is_under(name, suffix)).max_by_key(|suffix| suffix.len())
    }
}

impl Default for DirectorySuffixes {
    /// `netcom` alone.
    fn default() -> Self {
        Self(vec!["netcom".to_owned()])
    }
}

/// A name that a directory answers, such as `alice.netcom`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DirectoryName {
    name: String,
    suffix: String,
}

impl DirectoryName {
    /// Reads a name; `None` if it is under none of the suffixes.
    ///
    /// # Errors
    ///
    /// [`DomainError`] if it is no name at all, or only a suffix.
    pub fn parse(text: &str, suffixes: &DirectorySuffixes) -> Result<Option<Self>, DomainError> {
        let name = normalised(text)?;
        match suffixes.of(&name) {
            Some(suffix) if suffix == name => Err(DomainError::SuffixAlone { suffix: name }),
            Some(suffix) => Ok(Some(Self { suffix: suffix.to_owned(), name })),
            None => Ok(None),
        }
    }

    /// The whole name, in small letters and without a dot at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The suffix, which tells the directory to ask.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// What stands before the suffix.
    #[must_use]
    pub fn label(&self) -> &str {
        let label = self.name.strip_suffix(&self.suffix).unwrap_or(&self.name);
        label.strip_suffix('.').unwrap_or(label)
    }
}

impl fmt::Display for DirectoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// A domain of the public DNS: not under a directory suffix, not under a reserved name.
///
/// Names in other scripts are written in their `xn--` form, so that no look-alike passes.
///
/// ```
/// # use netcom_identity::DomainName;
/// assert_eq!("Example.ORG.".parse::<DomainName>()?.as_str(), "example.org");
/// assert!("alice.netcom".parse::<DomainName>().is_err());
/// # Ok::<(), netcom_identity::DomainError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DomainName(String);

impl DomainName {
    /// Reads a domain, given the suffixes that are not domains.
    ///
    /// # Errors
    ///
    /// [`DomainError`] if it is none, or must not be asked for in the public DNS.
    pub fn parse(text: &str, suffixes: &DirectorySuffixes) -> Result<Self, DomainError> {
        let name = normalised(text)?;
        if let Some(suffix) = suffixes.of(&name) {
            return Err(DomainError::Directory { suffix: suffix.to_owned() });
        }
        let Some((_, top)) = name.rsplit_once('.') else { return Err(DomainError::SingleLabel) };
        if RESERVED.contains(&top) {
            return Err(DomainError::Reserved { top: top.to_owned() });
        }
        Ok(Self(name))
    }

    /// The domain, in small letters and without a dot at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the domain is `suffix` or lies under it.
    #[must_use]
    pub fn is_under(&self, suffix: &str) -> bool {
        is_under(&self.0, suffix)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = DomainError;

    /// Reads a domain with the default directory suffix, `netcom`, alone. Where others are
    /// configured, use [`DomainName::parse`], which keeps them from the public DNS.
    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text, &DirectorySuffixes::default())
    }
}

/// Why a text is no domain to ask for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Longer than names are.
    #[error("a name has at most {MAX_NAME} characters, and {MAX_LABEL} between two dots")]
    TooLong,
    /// Two dots in a row, one at the beginning, or nothing at all.
    #[error("a part of the name is empty: look for a dot too many")]
    EmptyLabel,
    /// `-` stands at the beginning or end of a part.
    #[error("no part of a name begins or ends with -")]
    Dash,
    /// A character that host names do not have.
    #[error("{character:?} is in no domain: give it without scheme, port and path")]
    Character {
        /// The first such character.
        character: char,
    },
    /// Another script, where one letter can look like another.
    #[error("write the domain in its xn-- form, where no letter is taken for another")]
    NotAscii,
    /// An IP address names no identity.
    #[error(
        "an IP address does not say who answers: give a ticket, or a multiaddr such as \
         /ip4/192.0.2.1/tcp/4001/p2p/ with a PeerId"
    )]
    IpAddress,
    /// A single word is a petname, not a domain.
    #[error("a domain has a dot")]
    SingleLabel,
    /// A name in front of the directory's suffix is missing.
    #[error("{suffix} is a directory: put a name and a dot before it")]
    SuffixAlone {
        /// The suffix.
        suffix: String,
    },
    /// Only that directory answers it.
    #[error("names under {suffix} are in a directory and never asked for in the public DNS")]
    Directory {
        /// The suffix.
        suffix: String,
    },
    /// Nobody can own names there, so anyone could answer.
    #[error(
        ".{top} is reserved and nobody's domain: use a NetID, a petname, a ticket, or configure \
         .{top} as a directory"
    )]
    Reserved {
        /// The reserved top-level name.
        top: String,
    },
    /// Leave some out.
    #[error("at most {MAX_SUFFIXES} directory suffixes")]
    TooManySuffixes,
}

/// A name of ASCII labels in small letters, without the dot that may stand at its end.
pub(crate) fn normalised(text: &str) -> Result<String, DomainError> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > MAX_NAME {
        return Err(DomainError::TooLong);
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(DomainError::IpAddress);
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(DomainError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(DomainError::TooLong);
        }
        if let Some(character) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            let error = DomainError::Character { character };
            return Err(if character.is_alphanumeric() { DomainError::NotAscii } else { error });
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(DomainError::Dash);
        }
    }
    // Some resolvers read a number as the last label as the end of an IPv4 address.
    let top = name.rsplit('.').next().unwrap_or_default();
    if top.bytes().all(|byte| byte.is_ascii_digit()) || is_hex_number(top) {
        return Err(DomainError::IpAddress);
    }
    Ok(name.to_ascii_lowercase())
}

fn is_hex_number(label: &str) -> bool {
    let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
const MAX_SUFFIXES: usize = 16;

/// Top-level names that the public DNS delegates to nobody: RFC 6761, 6762, 7686, 8375 and 9476,
/// and what ICANN set aside because private networks use it.
const RESERVED: &[&str] = &[
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "invalid",
    "lan",
    "local",
    "localhost",
    "mail",
    "onion",
    "test",
];
