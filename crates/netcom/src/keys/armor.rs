//! Texts that people carry from one machine to another: a header, one line of digits, and an end,
//! so that what was cut off shows.

use data_encoding::HEXLOWER;
use netcom_identity::{
    Enrollment, EntityDocument, MAX_ENROLLMENT_BYTES, MAX_ENTITY_BYTES, MAX_REPRESENTATION_BYTES,
    Representation,
};

/// Why a text is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArmorError {
    /// It is something else, or cut off. Copy it again, from its first line to `end`.
    #[error("this is no {what}: it begins with {header:?} and ends with \"end\"")]
    Form {
        /// What was looked for.
        what: &'static str,
        /// Its first line.
        header: &'static str,
    },
    /// It was altered.
    #[error("the {what} cannot be used: {reason}")]
    Content {
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// What travels as a text: a request to speak for an entity, or the answer to it.
pub trait Armor: Sized {
    /// What people call it.
    const WHAT: &'static str;
    /// The first line.
    const HEADER: &'static str;
    /// Bytes of the longest one.
    const MAX_BYTES: usize;

    /// The bytes.
    fn to_bytes(&self) -> Vec<u8>;

    /// Reads the bytes.
    ///
    /// # Errors
    /// What is wrong with them, for a person.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String>;

    /// The text, with the end of its last line.
    fn to_text(&self) -> String {
        format!("{}\n{}\nend\n", Self::HEADER, HEXLOWER.encode(&self.to_bytes()))
    }

    /// Reads a text. Blank space around its lines does not matter.
    ///
    /// # Errors
    /// [`ArmorError`] says what is wrong with it.
    fn from_text(text: &str) -> Result<Self, ArmorError> {
        let form = || ArmorError::Form { what: Self::WHAT, header: Self::HEADER };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let (header, digits) = (lines.next(), lines.next());
        if header != Some(Self::HEADER) || lines.next() != Some("end") || lines.next().is_some() {
            return Err(form());
        }
        let digits =
            digits.filter(|digits| digits.len() <= 2 * Self::MAX_BYTES).ok_or_else(form)?;
        let bytes = HEXLOWER.decode(digits.as_bytes()).map_err(|_| form())?;
        let content = |reason| ArmorError::Content { what: Self::WHAT, reason };
        Self::from_bytes(&bytes).map_err(content)
    }
}

impl Armor for Enrollment {
    const WHAT: &'static str = "request to speak for an entity";
    const HEADER: &'static str = "netcom-enrollment 1";
    const MAX_BYTES: usize = MAX_ENROLLMENT_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        self.encode()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }
}

impl Armor for Representation {
    const WHAT: &'static str = "proof that a node speaks for an entity";
    const HEADER: &'static str = "netcom-proof 1";
    const MAX_BYTES: usize = MAX_REPRESENTATION_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        self.encode()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }
}

impl Armor for EntityDocument {
    const WHAT: &'static str = "entity document";
    const HEADER: &'static str = "netcom-document 1";
    const MAX_BYTES: usize = MAX_ENTITY_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        self.encode()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::decode(bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use netcom_identity::{SecretKey, UnixTime};

    use super::*;

    #[test]
    fn a_text_comes_back_however_it_was_pasted_and_not_if_it_was_cut() {
        let node = SecretKey::from_bytes(&[7; 32]);
        let request = Enrollment::sign(&node, None, UnixTime(9), "rack 3").unwrap();
        let text = request.to_text();
        let pasted = format!("\r\n  {}\r\n\n", text.replace('\n', "  \r\n"));
        for text in [&text, &pasted] {
            assert_eq!(Enrollment::from_text(text).unwrap(), request);
        }
        for end in 0..text.len() - 1 {
            assert!(Enrollment::from_text(&text[..end]).is_err(), "cut at {end}");
        }
        let error = Representation::from_text(&text).unwrap_err();
        assert!(error.to_string().contains("netcom-proof 1"), "{error}");
        let altered = text.replacen("726163", "726164", 1);
        let error = Enrollment::from_text(&altered).unwrap_err();
        assert!(error.to_string().contains("not signed by the node"), "{error}");
    }
}
