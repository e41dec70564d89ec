//! What the fuzz target of the petname book runs.

use std::{path::Path, sync::LazyLock};

use netcom_identity::{Petname, SecretKey};

use super::{Named, PetnameEntry, file::Book, near};

/// Reads `input` as a petname book and tells whether all of it is one.
///
/// # Panics
///
/// When a name that is put in is not found, when one that is removed is, or when either changes
/// another name.
#[must_use]
pub fn book(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    let path = Path::new("names.toml");
    let mut book = match Book::from_text(text, path) {
        Ok(book) => book,
        Err(error) => {
            let _ = error.to_string();
            return false;
        }
    };
    let entries = book.entries();
    if let Err(error) = &entries {
        let _ = error.to_string();
    }
    let before = book.len();
    let name: Petname = "fuzzing".parse().expect("a petname");
    let is_new = book.entry(&name).is_none();
    let _ = near::nearest(&name, book.names());
    let entry = PetnameEntry::new(*SOMEBODY);
    book.put(&name, &entry);
    let mut again = Book::from_text(&book.text(), path).expect("what is written is read");
    let found = again.entry(&name).expect("it was put in").expect("in order");
    assert_eq!(found, entry);
    assert_eq!(again.len(), before + usize::from(is_new));
    again.remove(&name);
    assert!(again.entry(&name).is_none());
    if let Ok(entries) = &entries {
        let left = entries.iter().filter(|(known, _)| *known != name);
        let again = again.entries().expect("the others were in order");
        assert!(again.iter().eq(left), "another name changed");
    }
    entries.is_ok()
}

static SOMEBODY: LazyLock<Named> =
    LazyLock::new(|| Named::NetId(SecretKey::from_bytes(&[1; 32]).net_id()));
