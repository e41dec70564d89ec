//! What the two sides of a transfer say; docs/protocol/files.md is the specification.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use thiserror::Error;

/// Kind and length in front of each frame.
pub(crate) const HEAD_BYTES: usize = 5;
/// The body of a frame with data has at most this many bytes.
pub(crate) const MAX_DATA_BYTES: usize = 1 << 20;
/// The body of every other frame has at most this many bytes.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Kind of the frames that carry a file's bytes.
pub(crate) const DATA: u8 = 8;

/// A frame that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum MessageError {
    #[error("a frame of kind {kind} claims {length} bytes")]
    TooLarge { kind: u8, length: u32 },
    #[error("a frame of unknown kind {0}")]
    Unknown(u8),
    #[error("a frame of kind {0} is malformed")]
    Malformed(u8),
}

macro_rules! messages {
    ($($(#[doc = $doc:literal])+ $kind:literal $name:ident($body:ident),)+) => {
        /// Everything but data.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Message {
            $($(#[doc = $doc])+ $name($body),)+
        }

        impl Message {
            /// Reads the body of a frame.
            pub(crate) fn decode(kind: u8, body: Bytes) -> Result<Self, MessageError> {
                match kind {
                    $($kind => $body::decode(body).map(Self::$name),)+
                    _ => return Err(MessageError::Unknown(kind)),
                }
                .map_err(|_| MessageError::Malformed(kind))
            }

            /// Appends the frame.
            pub(crate) fn encode(&self, out: &mut BytesMut) {
                match self {
                    $(Self::$name(body) => {
                        put_head($kind, body.encoded_len(), out);
                        // A `BytesMut` grows, so there is always room.
                        let _ = body.encode(out);
                    })+
                }
            }
        }
    };
}

messages! {
    /// Sender: what is to come. The entries follow.
    1 Offer(Offer),
    /// Sender: some of the entries.
    2 Entries(Entries),
    /// Sender: those were all entries.
    3 OfferEnd(Empty),
    /// Receiver: some of what it has already.
    5 Have(Have),
    /// Receiver: send the rest.
    6 Go(Empty),
    /// Sender: the data that follows is of this entry, from this offset on.
    7 File(File),
    /// Sender: the entry is complete.
    9 FileEnd(FileEnd),
    /// Receiver: so much of this stream's data is kept and survives the process.
    10 Kept(Kept),
    /// Sender: those were all files.
    12 Finished(Empty),
    /// Receiver: everything is verified and under its final name.
    13 Done(Done),
    /// Either: it failed here.
    14 Failed(Failed),
    /// Sender: it knows that everything is done.
    15 Bye(Empty),
    /// Either: alive and working.
    16 Busy(Empty),
}

/// Nothing to say beyond the kind.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Offer {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// The file or folder at the top.
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(enumeration = "Kind", tag = "3")]
    pub(crate) kind: i32,
    #[prost(uint64, tag = "4")]
    pub(crate) entries: u64,
    /// All bytes of all files; 0 for a stream.
    #[prost(uint64, tag = "5")]
    pub(crate) bytes: u64,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    /// One file: one entry without a path.
    File = 0,
    /// A folder and what is in it.
    Folder = 1,
    /// Bytes of unknown number: one entry without a path.
    Stream = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Eq, Hash, PartialEq, prost::Message)]
pub(crate) struct Entry {
    /// Below the top, with `/` between the parts.
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(bool, tag = "2")]
    pub(crate) is_folder: bool,
    #[prost(uint64, tag = "3")]
    pub(crate) size: u64,
    /// Permission bits.
    #[prost(uint32, tag = "4")]
    pub(crate) mode: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Have {
    #[prost(message, repeated, tag = "1")]
    pub(crate) parts: Vec<Part>,
}

/// The beginning of an entry that the receiver has.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Part {
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) bytes: u64,
    /// BLAKE3 of those bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) hash: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct File {
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) offset: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FileEnd {
    #[prost(uint64, tag = "1")]
    pub(crate) size: u64,
    /// BLAKE3 of the whole file.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) hash: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Kept {
    #[prost(uint64, tag = "1")]
    pub(crate) bytes: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Done {
    /// What the file or folder is called now.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Failed {
    /// Stable.
    #[prost(string, tag = "1")]
    pub(crate) code: String,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    /// Whether trying again can help.
    #[prost(bool, tag = "3")]
    pub(crate) is_retryable: bool,
}

/// Appends what stands in front of a frame's body.
pub(crate) fn put_head(kind: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Checks a frame's kind and claimed length before anything is allocated for it.
pub(crate) fn check_head(head: [u8; HEAD_BYTES]) -> Result<(u8, usize), MessageError> {
    let [kind, a, b, c, d] = head;
    let claimed = u32::from_be_bytes([a, b, c, d]);
    let max = if kind == DATA { MAX_DATA_BYTES } else { MAX_MESSAGE_BYTES };
    match usize::try_from(claimed) {
        Ok(length) if length <= max => Ok((kind, length)),
        _ => Err(MessageError::TooLarge { kind, length: claimed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Message> {
        let entry = Entry { path: "a/b".into(), is_folder: false, size: 7, mode: 0o644 };
        vec![
            Message::Offer(Offer {
                version: 1,
                name: "x".into(),
                kind: Kind::Folder.into(),
                entries: 1,
                bytes: 7,
            }),
            Message::Entries(Entries { entries: vec![entry] }),
            Message::Have(Have { parts: vec![Part { index: 0, bytes: 3, hash: vec![1; 32] }] }),
            Message::File(File { index: 3, offset: 9 }),
            Message::FileEnd(FileEnd { size: 9, hash: vec![2; 32] }),
            Message::Kept(Kept { bytes: 1 << 40 }),
            Message::Done(Done { name: "x (1)".into() }),
            Message::Failed(Failed {
                code: "full".into(),
                message: "no room".into(),
                is_retryable: false,
            }),
            Message::Bye(Empty {}),
        ]
    }

    #[test]
    fn messages_round_trip() {
        for message in examples() {
            let mut out = BytesMut::new();
            message.encode(&mut out);
            let head = out.split_to(HEAD_BYTES);
            let (kind, length) = check_head(head[..].try_into().unwrap()).unwrap();
            assert_eq!(length, out.len());
            assert_eq!(Message::decode(kind, out.freeze()), Ok(message));
        }
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_an_answer_not_a_panic() {
        for message in examples() {
            let mut out = BytesMut::new();
            message.encode(&mut out);
            for end in HEAD_BYTES..out.len() {
                let _ = Message::decode(out[0], Bytes::copy_from_slice(&out[HEAD_BYTES..end]));
            }
            for index in HEAD_BYTES..out.len() {
                for value in [0, 0x7f, 0x80, 0xff] {
                    let mut changed = out.clone();
                    changed[index] = value;
                    let _ = Message::decode(out[0], changed.freeze().slice(HEAD_BYTES..));
                }
            }
        }
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_anything_is_allocated() {
        for claimed in [(1 << 20) + 1_u32, 1 << 31, u32::MAX] {
            let [a, b, c, d] = claimed.to_be_bytes();
            let error = check_head([DATA, a, b, c, d]).unwrap_err();
            assert_eq!(error, MessageError::TooLarge { kind: DATA, length: claimed });
        }
        assert!(check_head([1, 0, 1, 0, 1]).is_err());
        assert!(check_head([1, 0, 1, 0, 0]).is_ok());
    }
}
