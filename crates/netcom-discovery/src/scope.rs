//! How far a node looks and shows itself.

use std::{fmt, str::FromStr};

/// How far discovery reaches. Each scope includes the ones before it, so scopes compare.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// Nobody is looked for; literal addresses and tickets still work.
    Off,
    /// The nodes of the same user on the same host.
    Host,
    /// The local network too. The default.
    #[default]
    Lan,
    /// Everything that is configured.
    Global,
}

/// Why a text names no [`Scope`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is no discovery scope, write one of off, host, lan or global")]
pub struct ParseScopeError {
    text: String,
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "host" => Ok(Self::Host),
            "lan" => Ok(Self::Lan),
            "global" => Ok(Self::Global),
            _ => Err(ParseScopeError { text: text.chars().take(64).collect() }),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Host => "host",
            Self::Lan => "lan",
            Self::Global => "global",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_round_trip_as_text_and_include_the_smaller_ones() {
        let scopes = [Scope::Off, Scope::Host, Scope::Lan, Scope::Global];
        assert!(scopes.is_sorted());
        for scope in scopes {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!(Scope::default(), Scope::Lan);
        let error = "LAN".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(error, "\"LAN\" is no discovery scope, write one of off, host, lan or global");
    }
}
