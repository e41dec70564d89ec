//! Short texts that go along with a statement.

use std::collections::BTreeMap;

use crate::proto::MetadataEntry;

/// At most this many entries.
pub const MAX_METADATA_ENTRIES: usize = 16;
/// A key has at most this many bytes.
pub const MAX_METADATA_KEY_BYTES: usize = 64;
/// A value has at most this many bytes.
pub const MAX_METADATA_VALUE_BYTES: usize = 256;
/// All keys and values together have at most this many bytes.
pub const MAX_METADATA_BYTES: usize = 1024;

/// Short texts under names, in the order of the names. Bounded, and free of control characters, so
/// that it can be printed as it is.
///
/// ```
/// # use netcom_identity::Metadata;
/// let mut metadata = Metadata::new();
/// metadata.insert("region", "north")?;
/// assert_eq!(metadata.get("region"), Some("north"));
/// assert!(metadata.insert("bell", "\u{7}").is_err());
/// # Ok::<(), netcom_identity::MetadataError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// No entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one entry, in place of an earlier one under the same key.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] if a bound would be passed; nothing is changed then.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), MetadataError> {
        check_text(key, MAX_METADATA_KEY_BYTES)?;
        check_text(value, MAX_METADATA_VALUE_BYTES)?;
        if key.is_empty() {
            return Err(MetadataError::EmptyKey);
        }
        let others = self.0.iter().filter(|(other, _)| *other != key);
        let bytes = others.fold(key.len().saturating_add(value.len()), |sum, (key, value)| {
            sum.saturating_add(key.len()).saturating_add(value.len())
        });
        if bytes > MAX_METADATA_BYTES {
            return Err(MetadataError::TooLong { limit: MAX_METADATA_BYTES });
        }
        if self.0.len() >= MAX_METADATA_ENTRIES && !self.0.contains_key(key) {
            return Err(MetadataError::TooMany);
        }
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn from_proto(entries: &[MetadataEntry]) -> Result<Self, MetadataError> {
        if entries.len() > MAX_METADATA_ENTRIES {
            return Err(MetadataError::TooMany);
        }
        let mut metadata = Self::new();
        for entry in entries {
            if metadata.get(&entry.key).is_some() {
                return Err(MetadataError::Repeated);
            }
            metadata.insert(&entry.key, &entry.value)?;
        }
        Ok(metadata)
    }

    pub(crate) fn to_proto(&self) -> Vec<MetadataEntry> {
        self.iter()
            .map(|(key, value)| MetadataEntry { key: key.to_owned(), value: value.to_owned() })
            .collect()
    }
}

/// Why an entry is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// There are too many. Join some, or keep them elsewhere.
    #[error("metadata has at most {MAX_METADATA_ENTRIES} entries")]
    TooMany,
    /// A key, a value or all of it is too long. Shorten it.
    #[error("metadata is too long: at most {limit} bytes here")]
    TooLong {
        /// The bound that was passed.
        limit: usize,
    },
    /// An entry needs a name.
    #[error("a metadata key is empty")]
    EmptyKey,
    /// Two entries have the same key.
    #[error("a metadata key is there twice")]
    Repeated,
    /// Control characters would garble a terminal or a log. Remove them.
    #[error("metadata has a control character")]
    ControlCharacter,
}

fn check_text(text: &str, limit: usize) -> Result<(), MetadataError> {
    if text.len() > limit {
        return Err(MetadataError::TooLong { limit });
    }
    if text.chars().any(char::is_control) {
        return Err(MetadataError::ControlCharacter);
    }
    Ok(())
}
