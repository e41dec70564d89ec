//! What a directory says about a name, read from its text and judged: functions of what was heard
//! and what is remembered, without I/O.

use netcom_identity::{DirectoryEntry, DirectoryEntryError, EntityDocument, NetId, UnixTime};

use super::{
    answer::{AnswerError, read_json, write_json},
    error::NameError,
    pins::{Pinned, PinnedEntry},
    source::WebError,
};

/// What a directory gives for a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DirectoryAnswer {
    /// What the directory signed, with what the entity says of itself.
    pub entry: DirectoryEntry,
    /// What keys before said, each naming its successor. They may have expired.
    pub earlier: Vec<EntityDocument>,
}

impl DirectoryAnswer {
    /// Reads `{"version": 1, "entry": "…", "earlier": ["…"]}`, where the entry is signed by the key
    /// of the directory. Further members are left alone.
    ///
    /// # Errors
    /// [`AnswerError`] says what is wrong with it.
    pub fn from_json(text: &[u8], directory: &NetId) -> Result<Self, AnswerError> {
        let (entry, earlier) = read_json(text, "entry")?;
        Ok(Self { entry: DirectoryEntry::decode(&entry, directory)?, earlier })
    }

    /// What a directory's server is to give.
    #[must_use]
    pub fn to_json(&self) -> String {
        write_json("entry", &self.entry.encode(), &self.earlier)
    }
}

/// What is wrong with a directory's answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryFault {
    /// It is none: a redirect, too long, cut or compressed.
    #[error("{reason}")]
    Page {
        /// What it is.
        reason: String,
    },
    /// Nobody who is believed vouches for the server.
    #[error("{reason}")]
    Certificate {
        /// What is wrong with its certificate.
        reason: String,
    },
    /// What it says is not signed by the directory, over, about something else, or none at all.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl DirectoryFault {
    /// What to do about it.
    pub(crate) fn hint(&self, directory: &str) -> String {
        match self {
            Self::Certificate { .. } => {
                "ca = \"FILE\" beside the url, if an authority of its own vouches for the \
                 directory's server"
                    .to_owned()
            }
            Self::Answer(AnswerError::Entry(DirectoryEntryError::Signature(_))) => format!(
                "compare the key that is configured for {directory} with the one that its owner \
                 tells you by other means"
            ),
            Self::Answer(AnswerError::Entry(
                DirectoryEntryError::Expired { .. } | DirectoryEntryError::NotYet { .. },
            )) => "compare the clocks of both machines".to_owned(),
            _ => format!("ask who runs {directory}"),
        }
    }
}

/// A question to a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    /// The whole name.
    pub(crate) name: &'a str,
    /// The directory's key.
    pub(crate) key: &'a NetId,
    /// Where the directory is, for messages.
    pub(crate) url: &'a str,
    pub(crate) now: UnixTime,
}

/// What an answer to a question comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The directory says so.
    Entry(DirectoryEntry),
    /// The directory is silent, and what it said before still holds.
    Before(EntityDocument),
}

impl Question<'_> {
    /// Decides on a page, or on what came instead of one.
    pub(crate) fn judge(
        &self,
        page: Result<&[u8], &WebError>,
        pinned: Option<&Pinned>,
    ) -> Result<Verdict, NameError> {
        let error = match page {
            Ok(text) => return self.judge_answer(text, pinned).map(Verdict::Entry),
            Err(error) => error,
        };
        let (name, directory) = (self.name.to_owned(), self.url.to_owned());
        match error {
            WebError::Missing => Err(NameError::NotInDirectory { name, directory }),
            WebError::Absent { reason } => {
                let before = self.before(pinned).map(Verdict::Before);
                let reason = reason.clone();
                before.ok_or(NameError::DirectorySilent { name, directory, reason })
            }
            WebError::Bad { reason } => {
                Err(self.bad(DirectoryFault::Page { reason: reason.clone() }))
            }
            WebError::Certificate { reason } => {
                Err(self.bad(DirectoryFault::Certificate { reason: reason.clone() }))
            }
        }
    }

    fn judge_answer(
        &self,
        text: &[u8],
        pinned: Option<&Pinned>,
    ) -> Result<DirectoryEntry, NameError> {
        let answer = DirectoryAnswer::from_json(text, self.key).map_err(|e| self.bad(e.into()))?;
        let (entry, document) = (&answer.entry, answer.entry.document());
        entry.verify(self.name, self.now).map_err(|e| self.bad(AnswerError::from(e).into()))?;
        if let Some(seen) = self.entry_before(pinned)
            && entry.sequence() < seen.sequence
        {
            return Err(self.replayed(entry.sequence(), seen.sequence));
        }
        let (name, description) = (self.name.to_owned(), document.description());
        if let Some(pinned) = pinned {
            let earlier: Vec<_> = answer.earlier.iter().collect();
            if !pinned.leads_to(document.netid(), &earlier) {
                let (known, found) = (pinned.netid, *document.netid());
                return Err(NameError::Changed { name, known, found });
            }
            if pinned.netid == *document.netid() && description.sequence < pinned.sequence() {
                return Err(self.replayed(description.sequence, pinned.sequence()));
            }
        }
        if let Some(successor) = description.successor {
            return Err(NameError::Replaced { name, successor });
        }
        Ok(answer.entry)
    }

    /// What the directory said last, as long as that holds.
    fn before(&self, pinned: Option<&Pinned>) -> Option<EntityDocument> {
        let entry = self.entry_before(pinned)?;
        let document = pinned?.document.as_ref()?;
        let holds = self.now < entry.expires && document.verify(self.now).is_ok();
        (holds && document.has_name(self.name)).then(|| document.clone())
    }

    /// What is remembered of this directory's last entry.
    fn entry_before<'a>(&self, pinned: Option<&'a Pinned>) -> Option<&'a PinnedEntry> {
        pinned?.entry.as_ref().filter(|entry| entry.directory == *self.key)
    }

    fn replayed(&self, sequence: u64, seen: u64) -> NameError {
        NameError::Replayed { name: self.name.to_owned(), sequence, seen }
    }

    fn bad(&self, fault: DirectoryFault) -> NameError {
        let (name, directory) = (self.name.to_owned(), self.url.to_owned());
        NameError::BadDirectory { name, directory, fault: Box::new(fault) }
    }
}
