//! Names that somebody gave others, for use on their own machines.

use std::{fmt, str::FromStr};

use unicode_security::MixedScript as _;

use super::literal;

/// A name in somebody's own petname book: letters and digits of any script, `-` and `_`, in small
/// letters, all of one script, no dot, and nothing that looks like a key.
///
/// ```
/// # use netcom_identity::Petname;
/// let name: Petname = "Alice".parse()?;
/// assert_eq!(name.as_str(), "alice");
/// assert!("alice.home".parse::<Petname>().is_err());
/// # Ok::<(), netcom_identity::PetnameError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Petname(String);

impl Petname {
    /// The name, in small letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a text that is known not to look like a key.
    pub(super) fn from_plain(text: &str) -> Result<Self, PetnameError> {
        if text.is_empty() {
            return Err(PetnameError::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(PetnameError::TooLong);
        }
        let name = text.to_lowercase();
        // Lower case can be longer, and can bring in marks that no name has.
        if name.len() > MAX_BYTES {
            return Err(PetnameError::TooLong);
        }
        let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if let Some(character) = name.chars().find(|c| !is_allowed(*c)) {
            return Err(PetnameError::Character { character });
        }
        if name.starts_with('-') {
            return Err(PetnameError::Dash);
        }
        if !name.as_str().is_single_script() {
            return Err(PetnameError::Scripts);
        }
        Ok(Self(name))
    }
}

impl fmt::Display for Petname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Petname {
    type Err = PetnameError;

    fn from_str(text: &str) -> Result<Self, PetnameError> {
        if literal(text).is_some() { Err(PetnameError::Key) } else { Self::from_plain(text) }
    }
}

/// Why a text cannot be a petname. Choose another one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PetnameError {
    /// Nothing was given.
    #[error("a petname is missing here")]
    Empty,
    /// Longer than a name should be.
    #[error("a petname has at most {MAX_BYTES} bytes")]
    TooLong,
    /// Only letters, digits, `-` and `_` are taken.
    #[error("a petname has letters, digits, - and _ only, not {character:?}")]
    Character {
        /// The first other character.
        character: char,
    },
    /// A command would take it for an option.
    #[error("a petname does not begin with -")]
    Dash,
    /// Letters of several scripts, of which one can look like another (UTS 39, section 5.1).
    #[error("a petname is not made of letters of several scripts, which can look alike")]
    Scripts,
    /// It begins as keys do, so it would be read as a damaged one.
    #[error("a petname does not begin like a NetID or PeerId (n1, 12D3Koo, 16Uiu2, Qm)")]
    Key,
}

const MAX_BYTES: usize = 64;
