//! Whom a node asks about names with dots.

use std::{path::PathBuf, sync::OnceLock};

use netcom_discovery::names::{Directories, DottedName, Names};
use netcom_identity::{DirectorySuffixes, NetId};

/// What a node was told about names, and whom it asks, made when it is needed first.
#[derive(Debug, Default)]
pub(crate) struct NodeNames {
    /// Whom to ask, if not whom the system is configured for.
    pub(crate) given: Option<Names>,
    /// What the user set.
    pub(crate) fixed: Vec<(DottedName, NetId)>,
    /// Who answers the names under which suffix.
    pub(crate) directories: Directories,
    /// Whether the node may ask beyond this machine.
    pub(crate) may_ask: bool,
    /// Where it is remembered which key a name led to.
    pub(crate) data: Option<PathBuf>,
    pub(crate) names: OnceLock<Names>,
}

impl NodeNames {
    pub(crate) fn get(&self) -> &Names {
        self.names.get_or_init(|| {
            let names = match &self.given {
                Some(given) => given.clone(),
                None if self.may_ask => Names::system(),
                None => Names::offline(),
            };
            let names = names.fixed(self.fixed.iter().cloned());
            let names = match self.directories.is_empty() {
                true => names,
                false => names.directories(self.directories.clone()),
            };
            match &self.data {
                Some(data) => names.remembering(data),
                None => names,
            }
        })
    }

    /// The suffixes whose names directories answer.
    pub(crate) fn suffixes(&self) -> &DirectorySuffixes {
        match &self.given {
            Some(given) if self.directories.is_empty() => given.suffixes(),
            _ => self.directories.suffixes(),
        }
    }
}
