//! What a domain's web server or DNS says about the key behind it, read from its text.

use data_encoding::BASE64URL_NOPAD;
use netcom_identity::{EntityDocument, EntityDocumentError, UnixTime};
use serde_json::Value;

/// An answer is at most this long.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// At most this many earlier documents come with an answer.
pub(crate) const MAX_EARLIER: usize = 8;

/// Documents that somebody gave for a name. All are signed by the entities they name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What the entity says now; valid at the time of the answer.
    pub document: EntityDocument,
    /// What keys before it said, each naming its successor. They may have expired.
    pub earlier: Vec<EntityDocument>,
}

/// Why a text is no answer. Whoever runs the domain has to mend it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Leave something out.
    #[error("longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    /// Another form.
    #[error("no JSON object with \"version\": 1 and a \"document\"")]
    Form,
    /// A document that cannot be read as bytes.
    #[error("a document that is not in base64 for URLs, without padding")]
    Encoding,
    /// Leave the oldest out.
    #[error("more than {MAX_EARLIER} earlier documents")]
    TooMany,
    /// A document that is none, or not valid now.
    #[error("{0}")]
    Document(#[from] EntityDocumentError),
}

impl Answer {
    /// Reads `/.well-known/netid.json`:
    /// `{"version": 1, "document": "…", "earlier": ["…"]}`, where each text is a signed entity
    /// document in base64 for URLs. Further members are left alone.
    ///
    /// # Errors
    /// [`AnswerError`] says what is wrong with it.
    pub fn from_json(text: &[u8], now: UnixTime) -> Result<Self, AnswerError> {
        if text.len() > MAX_ANSWER_BYTES {
            return Err(AnswerError::TooLong);
        }
        let json: Value = serde_json::from_slice(text).map_err(|_| AnswerError::Form)?;
        if json.get("version").and_then(Value::as_u64) != Some(1) {
            return Err(AnswerError::Form);
        }
        let document = json.get("document").and_then(Value::as_str).ok_or(AnswerError::Form)?;
        let earlier = match json.get("earlier") {
            None => &Vec::new(),
            Some(earlier) => earlier.as_array().ok_or(AnswerError::Form)?,
        };
        let earlier = earlier.iter().map(|text| text.as_str().ok_or(AnswerError::Form));
        Self::from_texts(document, earlier.collect::<Result<Vec<_>, _>>()?, now)
    }

    /// Reads the TXT record of `_netid.<domain>`, its strings joined: `netid1`, then the document,
    /// then earlier ones, each after a space.
    ///
    /// # Errors
    /// [`AnswerError`] says what is wrong with it.
    pub fn from_txt(text: &str, now: UnixTime) -> Result<Self, AnswerError> {
        if text.len() > MAX_ANSWER_BYTES {
            return Err(AnswerError::TooLong);
        }
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(TXT_MARK) {
            return Err(AnswerError::Form);
        }
        let document = words.next().ok_or(AnswerError::Form)?;
        Self::from_texts(document, words.collect(), now)
    }

    fn from_texts(document: &str, earlier: Vec<&str>, now: UnixTime) -> Result<Self, AnswerError> {
        if earlier.len() > MAX_EARLIER {
            return Err(AnswerError::TooMany);
        }
        let document = read(document)?;
        document.verify(now)?;
        let earlier = earlier.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { document, earlier })
    }

    /// What a web server is to give for the documents.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = |document: &EntityDocument| BASE64URL_NOPAD.encode(&document.encode());
        let mut json = serde_json::json!({ "version": 1, "document": text(&self.document) });
        if !self.earlier.is_empty() {
            json["earlier"] = self.earlier.iter().map(text).collect();
        }
        json.to_string()
    }

    /// The strings of the TXT record for the documents, at most 255 bytes each (RFC 1035, section
    /// 3.3).
    #[must_use]
    pub fn to_txt(&self) -> Vec<String> {
        let documents = std::iter::once(&self.document).chain(&self.earlier);
        let text = documents.fold(TXT_MARK.to_owned(), |text, document| {
            text + " " + &BASE64URL_NOPAD.encode(&document.encode())
        });
        let text: Vec<char> = text.chars().collect();
        text.chunks(MAX_STRING).map(|string| string.iter().collect()).collect()
    }
}

/// Whether a TXT record is meant as an answer at all, so that others at the name do not matter.
pub(crate) fn is_meant(text: &str) -> bool {
    text.split_ascii_whitespace().next() == Some(TXT_MARK)
}

fn read(text: &str) -> Result<EntityDocument, AnswerError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| AnswerError::Encoding)?;
    Ok(EntityDocument::decode(&bytes)?)
}

const TXT_MARK: &str = "netid1";
const MAX_STRING: usize = 255;
