//! The book's file: one table of names, written whole or not at all.

use std::path::{Path, PathBuf};

use netcom_identity::{Multiaddr, NetId, Petname, parse_peer_id};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::{MAX_NAMES, Named, PetnameEntry, complete};
use crate::private_file::{self, Lock, PrivateFileError};

/// Why a petname book cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The file cannot be used, or others can change it; the names are as before.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A newer netcom wrote the file; use that one.
    #[error(
        "{path} has version {version}, this netcom knows version {VERSION} only: use a newer one",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// The file is no petname book; correct it by hand or restore it.
    #[error("{path} is no petname book: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One entry is wrong; correct it by hand, or replace or remove the name.
    #[error("the entry {name} in {path} is wrong: {reason}", path = path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// The book's file in its directory.
pub(super) const NAME: &str = "names.toml";
const LOCK: &str = "names.lock";
const VERSION: i64 = 1;
/// Room for [`MAX_NAMES`] with some addresses each.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The contents of the file, with the comments and the order its owner gave them.
pub(super) struct Book {
    path: PathBuf,
    document: DocumentMut,
}

/// Makes the directory if it is missing, and waits for other writers.
pub(super) fn lock(directory: &Path) -> Result<Lock, BookError> {
    private_file::make_folder(directory)?;
    Ok(Lock::take(&directory.join(LOCK))?)
}

impl Book {
    /// Reads the file; a missing one is an empty book.
    pub(super) fn read(path: &Path) -> Result<Self, BookError> {
        Self::from_text(&read_text(path)?, path)
    }

    /// Reads the file's text; `path` is for telling which.
    pub(super) fn from_text(text: &str, path: &Path) -> Result<Self, BookError> {
        let malformed = |reason: String| BookError::Malformed { path: path.to_owned(), reason };
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            malformed(format!("line {line}: {}", error.message()))
        })?;
        match document.get("version").map(Item::as_integer) {
            Some(Some(VERSION)) => {}
            Some(Some(version)) if version > VERSION => {
                return Err(BookError::Newer { path: path.to_owned(), version });
            }
            None if document.is_empty() => drop(document.insert("version", VERSION.into())),
            _ => return Err(malformed(format!("it lacks the line version = {VERSION}"))),
        }
        if document.get("names").is_none() {
            document.insert("names", Item::Table(Table::new()));
        }
        let book = Self { path: path.to_owned(), document };
        match book.document.get("names").and_then(Item::as_table_like) {
            None => Err(malformed("names is no table".to_owned())),
            Some(names) if names.len() > MAX_NAMES => {
                Err(malformed(format!("it has {} names, more than {MAX_NAMES}", names.len())))
            }
            Some(_) => Ok(book),
        }
    }

    /// Writes the file so that a crash leaves the old one or the new one.
    pub(super) fn write(&self, path: &Path, _lock: &Lock) -> Result<(), BookError> {
        Ok(private_file::replace(path, self.text().as_bytes())?)
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        self.document.to_string()
    }

    pub(super) fn put(&mut self, name: &Petname, entry: &PetnameEntry) {
        let mut table = InlineTable::new();
        table.insert("id", entry.id.to_string().into());
        if !entry.addresses.is_empty() {
            let addresses: Array = entry.addresses.iter().map(Multiaddr::to_string).collect();
            table.insert("addresses", Value::Array(addresses));
        }
        if let Some(names) = self.document.get_mut("names").and_then(Item::as_table_like_mut) {
            names.insert(name.as_str(), Item::Value(Value::InlineTable(table)));
        }
    }

    pub(super) fn remove(&mut self, name: &Petname) {
        if let Some(names) = self.document.get_mut("names").and_then(Item::as_table_like_mut) {
            names.remove(name.as_str());
        }
    }

    pub(super) fn entry(&self, name: &Petname) -> Option<Result<PetnameEntry, BookError>> {
        let item = self.table()?.get(name.as_str())?;
        Some(self.parse(name.as_str(), item))
    }

    pub(super) fn entries(&self) -> Result<Vec<(Petname, PetnameEntry)>, BookError> {
        let names = self.table().into_iter().flat_map(TableLike::iter);
        let entries = names.map(|(name, item)| {
            let petname = name.parse::<Petname>().ok().filter(|petname| petname.as_str() == name);
            let petname = petname.ok_or_else(|| self.wrong(name, "no proper petname"))?;
            Ok((petname, self.parse(name, item)?))
        });
        let mut entries: Vec<_> = entries.collect::<Result<_, BookError>>()?;
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(entries)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.table().into_iter().flat_map(TableLike::iter).map(|(name, _)| name)
    }

    pub(super) fn len(&self) -> usize {
        self.table().map_or(0, TableLike::len)
    }

    fn table(&self) -> Option<&dyn TableLike> {
        self.document.get("names").and_then(Item::as_table_like)
    }

    fn parse(&self, name: &str, item: &Item) -> Result<PetnameEntry, BookError> {
        let wrong = |reason: &str| self.wrong(name, reason);
        let id = item.get("id").and_then(Item::as_str).ok_or_else(|| wrong("it lacks an id"))?;
        let id = match id.parse::<NetId>() {
            Ok(netid) => Named::NetId(netid),
            Err(error) => match parse_peer_id(id) {
                Ok(peer) => Named::Peer(peer),
                Err(_) if id.starts_with("n1") => return Err(wrong(&error.to_string())),
                Err(error) => return Err(wrong(&error.to_string())),
            },
        };
        let addresses = match item.get("addresses") {
            None => Vec::new(),
            Some(addresses) => {
                let array = addresses.as_array().ok_or_else(|| wrong("addresses is no list"))?;
                let parse = |value: &Value| {
                    let text = value.as_str().ok_or_else(|| wrong("an address is no text"))?;
                    let address: Multiaddr =
                        text.parse().map_err(|_| wrong(&format!("{text} is no multiaddr")))?;
                    complete(&id, &address).map_err(|error| wrong(&error.to_string()))
                };
                array.iter().map(parse).collect::<Result<_, BookError>>()?
            }
        };
        Ok(PetnameEntry { id, addresses })
    }

    fn wrong(&self, name: &str, reason: &str) -> BookError {
        let (name, reason) = (name.to_owned(), reason.to_owned());
        BookError::Entry { path: self.path.clone(), name, reason }
    }
}

/// The file's text; empty where there is no file.
fn read_text(path: &Path) -> Result<String, BookError> {
    let bytes = match private_file::read_shown(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(PrivateFileError::Missing { .. }) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    let text = str::from_utf8(&bytes).map_err(|_| {
        let reason = "it is no text".to_owned();
        BookError::Malformed { path: path.to_owned(), reason }
    })?;
    Ok(text.to_owned())
}
