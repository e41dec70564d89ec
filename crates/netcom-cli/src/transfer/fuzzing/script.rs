//! What is said to a side of a transfer, as the input of a fuzz target spells it.

use bytes::BytesMut;

use crate::transfer::{
    Manifest,
    message::{
        DATA, Done, Empty, Entries, Entry, Failed, File, FileEnd, Have, Kept, Kind, Message, Offer,
        Part, put_head,
    },
};

/// What is said to the side under test, as the input spells it.
pub(super) struct Script<'a> {
    pub(super) rest: &'a [u8],
}

/// What an honest sender would know.
#[derive(Default)]
pub(super) struct HonestSender {
    index: usize,
    at: usize,
    /// How far each entry came in earlier attempts and this one.
    reached: [usize; 5],
}

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.next()) % of.len()]
    }

    /// An offer, and the manifest if it is one.
    pub(super) fn offer(&mut self) -> (Option<Manifest>, BytesMut) {
        let kind = self.pick(&[Kind::File, Kind::Folder, Kind::Stream]);
        let name = self.pick(&["top", "top.txt", "top.a.b", "..", ".netcom-partial", "top/a"]);
        let count = usize::from(self.next() % 5);
        let entries: Vec<Entry> = (0..count)
            .map(|_| Entry {
                path: self.pick(&["", "a", "b/c", "b", "d/e/f", "../x", "b/c/d", "/x"]).into(),
                size: self.pick(&[0, 1, 7, 300, 70_000, u64::MAX]),
                is_folder: kind == Kind::Folder && self.next() % 4 == 3,
                mode: 0o644,
            })
            .collect();
        let manifest = Manifest::new(name, kind, entries.clone()).ok();
        let mut said = BytesMut::new();
        let bytes = entries.iter().fold(0, |sum: u64, entry| sum.wrapping_add(entry.size));
        let (count, name) = (entries.len() as u64, name.to_owned());
        let offer = Offer { version: 1, name, kind: kind.into(), entries: count, bytes };
        Message::Offer(offer).encode(&mut said);
        Message::Entries(Entries { entries }).encode(&mut said);
        Message::OfferEnd(Empty {}).encode(&mut said);
        (manifest, said)
    }

    /// Adds what the sender says next. False at the end of the attempt.
    pub(super) fn act(&mut self, sender: &mut HonestSender, bytes: &mut BytesMut) -> bool {
        if self.rest.is_empty() || bytes.len() > MAX_SAID {
            return false;
        }
        let message = match self.next() % 12 {
            0 => {
                sender.index = usize::from(self.next() % 5);
                let reached = sender.reached[sender.index];
                sender.at = self.pick(&[0, reached, 1, 9]);
                Message::File(File { index: sender.index as u64, offset: sender.at as u64 })
            }
            1 => {
                let length = usize::from(self.next()).pow(2);
                let content = pattern(sender.index, sender.at + length);
                put_data(&content[sender.at..], bytes);
                sender.at += length;
                return true;
            }
            2 => {
                put_data(b"not what it should be", bytes);
                return true;
            }
            3 => {
                let hash = blake3::hash(&pattern(sender.index, sender.at));
                sender.reached[sender.index] = sender.at;
                Message::FileEnd(FileEnd { size: sender.at as u64, hash: hash.as_bytes().to_vec() })
            }
            4 => {
                let size = self.pick(&[0, 1, u64::MAX, 7]);
                let hash = self.pick(&[&[][..], &[1; 32], blake3::hash(b"").as_bytes()]).to_vec();
                Message::FileEnd(FileEnd { size, hash })
            }
            5 => Message::Finished(Empty {}),
            6 => Message::Busy(Empty {}),
            7 => Message::Bye(Empty {}),
            8 => {
                let length = usize::from(self.next()).min(self.rest.len());
                let (raw, rest) = self.rest.split_at(length);
                bytes.extend_from_slice(raw);
                self.rest = rest;
                return true;
            }
            9 => failed(),
            10 => {
                sender.reached[sender.index] = sender.at;
                return false;
            }
            _ => Message::Kept(Kept { bytes: 1 }),
        };
        message.encode(bytes);
        true
    }

    /// Adds what the receiver says next. False at the end.
    pub(super) fn answer(&mut self, bytes: &mut BytesMut) -> bool {
        if self.rest.is_empty() || bytes.len() > MAX_SAID {
            return false;
        }
        let message = match self.next() % 9 {
            0 => {
                let index = self.next();
                let size = usize::from(self.next()) * 4;
                let hash = blake3::hash(&pattern(usize::from(index), size)).as_bytes().to_vec();
                let hash = if self.next() == 255 { vec![1; 32] } else { hash };
                let part = Part { index: index.into(), bytes: size as u64, hash };
                Message::Have(Have { parts: vec![part] })
            }
            1 => Message::Go(Empty {}),
            2 => Message::Kept(Kept { bytes: u64::from(self.next()) * 4 }),
            3 => Message::Done(Done { name: "top".into() }),
            4 => Message::Busy(Empty {}),
            5 => failed(),
            6 => {
                let length = usize::from(self.next()).min(self.rest.len());
                let (raw, rest) = self.rest.split_at(length);
                bytes.extend_from_slice(raw);
                self.rest = rest;
                return true;
            }
            7 => Message::Kept(Kept { bytes: u64::MAX }),
            _ => {
                put_data(b"data", bytes);
                return true;
            }
        };
        message.encode(bytes);
        true
    }
}

impl HonestSender {
    pub(super) fn begin_again(&mut self) {
        (self.index, self.at) = (0, 0);
    }
}

/// What an entry's file holds; longer ones begin as shorter ones do.
pub(super) fn pattern(index: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8).wrapping_add(index) as u8).collect()
}

pub(super) fn failed() -> Message {
    Message::Failed(Failed { code: "full".into(), message: "no".into(), is_retryable: true })
}

pub(super) fn put_data(bytes: &[u8], out: &mut BytesMut) {
    put_head(DATA, bytes.len(), out);
    out.extend_from_slice(bytes);
}

const MAX_SAID: usize = 256 << 10;
