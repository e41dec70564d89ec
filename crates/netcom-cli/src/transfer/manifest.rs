//! What a transfer consists of, checked as a stranger's.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

use std::collections::{BTreeMap, btree_map};

use prost::Message as _;
use thiserror::Error;

use super::{
    MAX_ENTRIES,
    message::{Entries, Entry, Kind, MAX_MESSAGE_BYTES, Message, Offer},
    names::{NameError, check_name, check_path},
};

/// What is sent: a file, a folder with all that is in it, or a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    name: String,
    kind: Kind,
    entries: Vec<Entry>,
    bytes: u64,
}

/// A manifest of which not all entries have come.
#[derive(Debug)]
pub(crate) struct Partial {
    offer: Offer,
    kind: Kind,
    entries: Vec<Entry>,
    /// Whether a path is a folder's; also those only implied by what is in them.
    seen: BTreeMap<String, Seen>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    File,
    Folder,
    /// Not named itself yet.
    Implied,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum ManifestError {
    #[error("version {0} of the transfer is unknown here")]
    Version(u32),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0:?} is in the transfer twice")]
    Duplicate(String),
    #[error("{0} files and folders are too many, at most {MAX_ENTRIES} go in one transfer")]
    TooMany(u64),
    #[error("the offer and its entries contradict each other")]
    Contradiction,
}

impl ManifestError {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::Name(_) | Self::Duplicate(_) => "name_refused",
            Self::TooMany(_) => "too_large",
            Self::Contradiction => "contradiction",
        }
    }
}

/// The version spoken here.
pub(crate) const VERSION: u32 = 1;

impl Manifest {
    /// A manifest of what is here, which is held to the same rules.
    pub(crate) fn new(name: &str, kind: Kind, entries: Vec<Entry>) -> Result<Self, ManifestError> {
        let bytes = entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.size));
        let mut partial = Partial::new(Offer {
            version: VERSION,
            name: name.to_owned(),
            kind: kind.into(),
            entries: u64::try_from(entries.len()).unwrap_or(u64::MAX),
            bytes: bytes.ok_or(ManifestError::Contradiction)?,
        })?;
        partial.add(Entries { entries })?;
        partial.finish()
    }

    /// The file or folder at the top.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All bytes of all files; `None` for a stream.
    pub(crate) fn bytes(&self) -> Option<u64> {
        (self.kind != Kind::Stream).then_some(self.bytes)
    }

    /// Names this transfer from that sender, the same after a restart of either side.
    pub(crate) fn id(&self, sender: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("netcom files 1 transfer");
        hasher.update(&blake3::hash(sender.as_bytes()).as_bytes()[..]);
        for message in self.messages() {
            let mut encoded = bytes::BytesMut::new();
            message.encode(&mut encoded);
            hasher.update(&encoded);
        }
        hasher.finalize().to_hex().chars().take(ID_CHARACTERS).collect()
    }

    /// The messages that offer it.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut messages = vec![Message::Offer(Offer {
            version: VERSION,
            name: self.name.clone(),
            kind: self.kind.into(),
            entries: u64::try_from(self.entries.len()).unwrap_or(u64::MAX),
            bytes: self.bytes,
        })];
        messages.extend(
            pages(&self.entries, Entry::encoded_len)
                .map(|entries| Message::Entries(Entries { entries: entries.to_vec() })),
        );
        messages.push(Message::OfferEnd(super::message::Empty {}));
        messages
    }
}

impl Partial {
    pub(crate) fn new(offer: Offer) -> Result<Self, ManifestError> {
        if offer.version != VERSION {
            return Err(ManifestError::Version(offer.version));
        }
        let kind = Kind::try_from(offer.kind).map_err(|_| ManifestError::Contradiction)?;
        check_name(&offer.name)?;
        if usize::try_from(offer.entries).map_or(true, |entries| entries > MAX_ENTRIES) {
            return Err(ManifestError::TooMany(offer.entries));
        }
        if kind != Kind::Folder && offer.entries != 1 {
            return Err(ManifestError::Contradiction);
        }
        Ok(Self { offer, kind, entries: Vec::new(), seen: BTreeMap::new(), bytes: 0 })
    }

    pub(crate) fn add(&mut self, page: Entries) -> Result<(), ManifestError> {
        for mut entry in page.entries {
            entry.mode &= 0o777;
            self.check(&entry)?;
            self.bytes = self.bytes.checked_add(entry.size).ok_or(ManifestError::Contradiction)?;
            self.entries.push(entry);
            if u64::try_from(self.entries.len()).map_or(true, |len| len > self.offer.entries) {
                return Err(ManifestError::Contradiction);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Manifest, ManifestError> {
        let is_complete = u64::try_from(self.entries.len()) == Ok(self.offer.entries);
        if !is_complete || self.bytes != self.offer.bytes {
            return Err(ManifestError::Contradiction);
        }
        Ok(Manifest {
            name: self.offer.name,
            kind: self.kind,
            entries: self.entries,
            bytes: self.bytes,
        })
    }

    fn check(&mut self, entry: &Entry) -> Result<(), ManifestError> {
        if self.kind != Kind::Folder {
            let is_fit = entry.path.is_empty() && !entry.is_folder;
            let is_sized = self.kind == Kind::File || entry.size == 0;
            return if is_fit && is_sized { Ok(()) } else { Err(ManifestError::Contradiction) };
        }
        check_path(&entry.path)?;
        if entry.is_folder && entry.size != 0 {
            return Err(ManifestError::Contradiction);
        }
        let duplicate = || ManifestError::Duplicate(entry.path.clone());
        let mut parent = entry.path.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            // A file cannot hold anything.
            match self.seen.entry(above.to_owned()) {
                btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(Seen::Implied);
                }
                btree_map::Entry::Occupied(seen) if *seen.get() == Seen::File => {
                    return Err(duplicate());
                }
                btree_map::Entry::Occupied(_) => break,
            }
            parent = above;
        }
        let new = if entry.is_folder { Seen::Folder } else { Seen::File };
        match self.seen.insert(entry.path.clone(), new) {
            None => Ok(()),
            Some(Seen::Implied) if entry.is_folder => Ok(()),
            Some(_) => Err(duplicate()),
        }
    }
}

/// Splits items so that each piece fits one message.
pub(crate) fn pages<T>(items: &[T], size: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut total = 0_usize;
        let count = rest
            .iter()
            .take_while(|item| {
                // Tag and length of the item itself take less.
                total = total.saturating_add(size(item)).saturating_add(8);
                total <= MAX_MESSAGE_BYTES
            })
            .count()
            .max(1);
        let (page, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(page)
    })
}

/// Characters of a transfer's id: 128 bits in hexadecimal.
const ID_CHARACTERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> Entry {
        Entry { path: path.into(), is_folder: false, size, mode: 0o644 }
    }

    fn folder(path: &str) -> Entry {
        Entry { path: path.into(), is_folder: true, size: 0, mode: 0o755 }
    }

    fn tree(entries: Vec<Entry>) -> Result<Manifest, ManifestError> {
        Manifest::new("top", Kind::Folder, entries)
    }

    /// What the receiver makes of the messages.
    fn received(manifest: &Manifest) -> Manifest {
        let mut partial = None;
        for message in manifest.messages() {
            match message {
                Message::Offer(offer) => partial = Some(Partial::new(offer).unwrap()),
                Message::Entries(page) => partial.as_mut().unwrap().add(page).unwrap(),
                Message::OfferEnd(_) => break,
                other => panic!("{other:?}"),
            }
        }
        partial.unwrap().finish().unwrap()
    }

    #[test]
    fn a_manifest_arrives_as_it_was_sent_however_many_pages_it_takes() {
        let entries = (0..5_000).map(|i| file(&format!("folder {}/file {i}", i % 70), i)).collect();
        let manifest = tree(entries).unwrap();
        assert!(manifest.messages().len() > 4);
        assert_eq!(received(&manifest), manifest);
    }

    #[test]
    fn the_id_depends_on_the_sender_and_on_every_entry() {
        let manifest = tree(vec![file("a", 1), file("b", 2)]).unwrap();
        let id = manifest.id("alice");
        assert_eq!(id.len(), ID_CHARACTERS);
        assert_eq!(manifest.id("alice"), id);
        assert_ne!(manifest.id("bob"), id);
        assert_ne!(tree(vec![file("a", 1), file("b", 3)]).unwrap().id("alice"), id);
        assert_ne!(tree(vec![file("b", 2), file("a", 1)]).unwrap().id("alice"), id);
    }

    #[test]
    fn duplicates_and_files_that_hold_files_are_refused() {
        let duplicate = |entries| matches!(tree(entries), Err(ManifestError::Duplicate(_)));
        assert!(duplicate(vec![file("a", 1), file("a", 1)]));
        assert!(duplicate(vec![file("a", 1), folder("a")]));
        assert!(duplicate(vec![file("a", 1), file("a/b", 1)]));
        assert!(duplicate(vec![file("a/b", 1), file("a", 1)]));
        assert!(duplicate(vec![folder("a"), folder("a")]));
        assert!(tree(vec![file("a/b/c", 1), folder("a/b"), folder("a"), file("a/d", 1)]).is_ok());
    }

    #[test]
    fn names_that_leave_the_folder_are_refused_at_the_top_and_below() {
        for name in ["..", "/etc", "a/b", "", "NUL", ".netcom-partial"] {
            assert!(Manifest::new(name, Kind::Folder, vec![]).is_err(), "{name}");
        }
        for path in ["../a", "/a", "a/../../b", "", "a//b"] {
            assert!(tree(vec![file(path, 0)]).is_err(), "{path}");
        }
    }

    #[test]
    fn an_offer_that_contradicts_itself_is_refused() {
        let contradiction = Err(ManifestError::Contradiction);
        assert_eq!(Manifest::new("a", Kind::File, vec![file("b", 1)]), contradiction);
        assert_eq!(Manifest::new("a", Kind::File, vec![]), contradiction);
        assert_eq!(Manifest::new("a", Kind::Stream, vec![file("", 1)]), contradiction);
        assert_eq!(tree(vec![file("a", u64::MAX), file("b", 1)]), contradiction);
        let offer = Offer { version: 1, name: "a".into(), kind: 1, entries: 1, bytes: 0 };
        let mut partial = Partial::new(offer.clone()).unwrap();
        let page = Entries { entries: vec![folder("a"), folder("b")] };
        assert_eq!(partial.add(page), Err(ManifestError::Contradiction));
        let many = Offer { entries: u64::MAX, ..offer.clone() };
        assert_eq!(Partial::new(many).unwrap_err(), ManifestError::TooMany(u64::MAX));
        assert!(Partial::new(offer).unwrap().finish().is_err());
    }

    #[test]
    fn only_permission_bits_are_taken() {
        let mut entry = file("a", 1);
        entry.mode = 0o104_755;
        assert_eq!(tree(vec![entry]).unwrap().entries()[0].mode, 0o755);
    }
}
