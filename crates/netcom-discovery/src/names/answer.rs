//! What a domain's web server or DNS says about the key behind it, read from its text.

use data_encoding::BASE64URL_NOPAD;
use netcom_identity::{DirectoryEntryError, EntityDocument, EntityDocumentError, NetId, UnixTime};
use serde_json::Value;

/// An answer is at most this long.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024;
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
    #[error("no JSON object with \"version\": 1 and {member:?}")]
    Form {
        /// What it has to have beside the version.
        member: &'static str,
    },
    /// A document or an entry that cannot be read as bytes.
    #[error("a text that is not in base64 for URLs, without padding")]
    Encoding,
    /// Leave the oldest out.
    #[error("more than {MAX_EARLIER} earlier documents")]
    TooMany,
    /// A document that is none, or not valid now.
    #[error("{0}")]
    Document(#[from] EntityDocumentError),
    /// A directory's entry that is none, or not for this name and time.
    #[error("{}", chain(.0))]
    Entry(#[from] DirectoryEntryError),
}

impl Answer {
    /// Whether it takes the place of what `netid` said with the number `sequence`: the same key
    /// says it with that number or a higher one, or another key that the one before named its
    /// successor, in one step or several.
    #[must_use]
    pub fn replaces(&self, netid: &NetId, sequence: u64) -> bool {
        if self.document.netid() == netid {
            return self.document.description().sequence >= sequence;
        }
        let earlier: Vec<_> = self.earlier.iter().collect();
        succeeds(self.document.netid(), netid, sequence, &earlier)
    }

    /// Reads `/.well-known/netid.json`:
    /// `{"version": 1, "document": "…", "earlier": ["…"]}`, where each text is a signed entity
    /// document in base64 for URLs. Further members are left alone.
    ///
    /// # Errors
    /// [`AnswerError`] says what is wrong with it.
    pub fn from_json(text: &[u8], now: UnixTime) -> Result<Self, AnswerError> {
        let (document, earlier) = read_json(text, "document")?;
        let document = EntityDocument::decode(&document)?;
        document.verify(now)?;
        Ok(Self { document, earlier })
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
        let form = AnswerError::Form { member: "document" };
        if words.next() != Some(TXT_MARK) {
            return Err(form);
        }
        let document = EntityDocument::decode(&bytes(words.next().ok_or(form)?)?)?;
        document.verify(now)?;
        Ok(Self { document, earlier: read_earlier(words.map(Some))? })
    }

    /// What a web server is to give for the documents.
    #[must_use]
    pub fn to_json(&self) -> String {
        write_json("document", &self.document.encode(), &self.earlier)
    }

    /// Whether whoever reads the answer takes it, in both of its forms.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let text: usize = self.to_txt().iter().map(String::len).sum();
        self.to_json().len().max(text) <= MAX_ANSWER_BYTES && self.earlier.len() <= MAX_EARLIER
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

/// Whether `key` is `known`, or took its place: each key names the next in one of the documents,
/// that of `known` with the number `least` or higher.
pub(crate) fn succeeds(
    key: &NetId,
    known: &NetId,
    least: u64,
    documents: &[&EntityDocument],
) -> bool {
    let (mut known, mut least) = (*known, least);
    // As many steps as there are documents: more would go in a circle.
    for _ in 0..=documents.len() {
        if known == *key {
            return true;
        }
        let next = documents.iter().find_map(|document| {
            let description = document.description();
            let counts = *document.netid() == known && description.sequence >= least;
            description.successor.filter(|_| counts)
        });
        let Some(next) = next else { return false };
        (known, least) = (next, 0);
    }
    false
}

/// What all answers in JSON share: the bytes of one member, and the documents of earlier keys.
pub(crate) fn read_json(
    text: &[u8],
    member: &'static str,
) -> Result<(Vec<u8>, Vec<EntityDocument>), AnswerError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(AnswerError::TooLong);
    }
    let form = || AnswerError::Form { member };
    let json: Value = serde_json::from_slice(text).map_err(|_| form())?;
    if json.get("version").and_then(Value::as_u64) != Some(1) {
        return Err(form());
    }
    let main = json.get(member).and_then(Value::as_str).ok_or_else(form)?;
    let earlier = match json.get("earlier") {
        None => &Vec::new(),
        Some(earlier) => earlier.as_array().ok_or_else(form)?,
    };
    Ok((bytes(main)?, read_earlier(earlier.iter().map(Value::as_str))?))
}

/// Writes what [`read_json`] reads.
pub(crate) fn write_json(member: &str, main: &[u8], earlier: &[EntityDocument]) -> String {
    let mut json = serde_json::json!({ "version": 1, member: BASE64URL_NOPAD.encode(main) });
    if !earlier.is_empty() {
        let text = |document: &EntityDocument| BASE64URL_NOPAD.encode(&document.encode());
        json["earlier"] = earlier.iter().map(text).collect();
    }
    json.to_string()
}

fn read_earlier<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
) -> Result<Vec<EntityDocument>, AnswerError> {
    let mut earlier = Vec::new();
    for text in texts {
        // Before it is read: no more signatures are checked than an answer may have.
        if earlier.len() == MAX_EARLIER {
            return Err(AnswerError::TooMany);
        }
        let text = text.ok_or(AnswerError::Form { member: "earlier" })?;
        earlier.push(EntityDocument::decode(&bytes(text)?)?);
    }
    Ok(earlier)
}

fn bytes(text: &str) -> Result<Vec<u8>, AnswerError> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| AnswerError::Encoding)
}

/// An error and what caused it, in one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

const TXT_MARK: &str = "netid1";
const MAX_STRING: usize = 255;
