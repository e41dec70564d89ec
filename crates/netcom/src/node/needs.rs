//! What a node says it offers, and what somebody needs of one.

use std::fmt;

use netcom_identity::{Metadata, NodeRecord, Service};

/// What a node says of itself in its record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) services: Vec<Service>,
    pub(crate) metadata: Metadata,
}

/// What a node has to offer to be reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    pub(crate) service: Option<String>,
    /// Keys of metadata and what they have to say.
    pub(crate) metadata: Vec<(String, String)>,
}

impl Offer {
    pub(crate) fn of(record: &NodeRecord) -> Self {
        Self { services: record.services().to_vec(), metadata: record.metadata().clone() }
    }

    /// One line for each thing offered.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let metadata = self.metadata.iter().map(|(key, value)| format!("{key}={value}"));
        self.services.iter().map(ToString::to_string).chain(metadata)
    }
}

impl Needs {
    /// Whether any node will do.
    pub(crate) fn is_empty(&self) -> bool {
        self.service.is_none() && self.metadata.is_empty()
    }

    /// Whether a node that offers this will do.
    pub(crate) fn are_met_by(&self, offer: &Offer) -> bool {
        let mut services = offer.services.iter();
        let mut metadata = self.metadata.iter();
        self.service.as_ref().is_none_or(|name| services.any(|service| service.name() == name))
            && metadata.all(|(key, value)| offer.metadata.get(key) == Some(value))
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = self.metadata.iter().map(|(key, value)| format!("{key}={value}"));
        let all: Vec<String> = self.service.iter().cloned().chain(metadata).collect();
        f.write_str(&all.join(" with "))
    }
}
