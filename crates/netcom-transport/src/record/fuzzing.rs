//! What the fuzz target of records runs.
#![expect(clippy::arithmetic_side_effects, reason = "a panic is what a fuzzer looks for")]

use std::cell::RefCell;

use bytes::BytesMut;
use netcom_session::wire::FrameLimits;
use rustls::{
    ConnectionTrafficSecrets, ContentType,
    crypto::{
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher::{AeadKey, Iv},
    },
};

use super::{Arc, Encrypter, MAX_IDLE_RECORDS, MAX_PLAINTEXT, MAX_RECORD, Opener, Record, Sealer};
use crate::{driver::frames::FrameReader, handshake::fuzzing::joined};

/// Seals, forges, damages and opens records as `input` says, and reads frames out of them.
///
/// # Panics
///
/// When an honest side's bytes do not arrive, too much is kept, or a link spins for nothing.
#[must_use]
pub fn records(input: &[u8]) -> bool {
    KEYS.with_borrow_mut(|keys| {
        let [(client, _), (_, server)] = keys.get_or_insert_with(joined);
        let mut link = Link::new(client, server);
        link.run(input);
        let came = link.opened > 0;
        if link.has_new_keys {
            // Keys go on from what they were: the next input has to begin as this one did.
            *keys = None;
        }
        came
    })
}

/// First inputs: each kind of operation.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let ping = [0, 4, 0x0a, 2, 0x40, 7, 5];
    let alert = [1, 21, 2, 1, 0, 5];
    let update = [4, 0, 5, 0, 2, 1, 1, 5, 1, 22, 5, 24, 0, 0, 1, 1, 5];
    let damage = [0, 3, 1, 2, 3, 2, 5, 1, 5, 3, 5, 23, 3, 3, 0, 1, 9, 5];
    let many = [[1, 23, 0].repeat(40), vec![5]].concat();
    [&ping[..], &alert, &update, &damage, &many, &[6, 6, 5, 0, 1, 1, 5]]
        .map(|input| ("records", input.to_vec()))
        .to_vec()
}

thread_local! {
    /// A handshake takes longer than all the rest of an input, so its keys are kept.
    static KEYS: RefCell<Option<[(Sealer, Opener); 2]>> = const { RefCell::new(None) };
}

struct Link {
    sealer: Sealer,
    opener: Opener,
    wire: BytesMut,
    frames: FrameReader,
    /// Sent, and not received.
    sent: Vec<u8>,
    opened: usize,
    idle: u32,
    is_honest: bool,
    has_new_keys: bool,
}

impl Link {
    /// A link whose first keys are always the same; those after a change come from a handshake.
    fn new(client: &Sealer, server: &Opener) -> Self {
        let suite = TLS13_AES_256_GCM_SHA384.tls13().expect("a suite of TLS 1.3").aead_alg;
        let (key, iv) = (|| AeadKey::from([7; 32]), || Iv::new([9; 12]));
        let secret = ConnectionTrafficSecrets::Aes256Gcm { key: key(), iv: iv() };
        Self {
            sealer: Sealer {
                encrypter: Encrypter::new(secret).expect("a known suite"),
                sequence: 0,
                renew_after: 4,
                keys: Arc::clone(&client.keys),
            },
            opener: Opener {
                decrypter: suite.decrypter(key(), iv()),
                sequence: 0,
                idle_records: 0,
                keys: Arc::clone(&server.keys),
            },
            wire: BytesMut::new(),
            frames: FrameReader::new(FrameLimits::TLS),
            sent: Vec::new(),
            opened: 0,
            idle: 0,
            is_honest: true,
            has_new_keys: false,
        }
    }

    fn run(&mut self, mut input: &[u8]) {
        let mut count = 0;
        while let Some((&operation, rest)) = input.split_first()
            && count < MAX_OPERATIONS
        {
            count += 1;
            input = self.seal(operation, rest);
            if operation % 7 == 5 && !self.open() {
                return;
            }
        }
        if self.open() && self.is_honest {
            assert!(self.sent.is_empty(), "bytes are missing");
        }
    }

    /// Puts something on the wire and returns what is left of the input.
    fn seal<'a>(&mut self, operation: u8, input: &'a [u8]) -> &'a [u8] {
        let (&argument, rest) = input.split_first().unwrap_or((&0, &[]));
        let (content, after) = rest.split_at(rest.len().min(usize::from(argument)));
        match operation % 7 {
            0 => self.send(content),
            1 => {
                let kind = ContentType::from(argument);
                let length = usize::from(rest.first().copied().unwrap_or(0));
                let rest = rest.get(1..).unwrap_or_default();
                let (content, after) = rest.split_at(length.min(rest.len()));
                self.is_honest = false;
                self.has_new_keys |= kind == ContentType::Handshake;
                self.sealer.seal_as(kind, &[content], &mut self.wire).expect("a record");
                return after;
            }
            2 => {
                self.is_honest = false;
                let at = usize::from(argument) % self.wire.len().max(1);
                self.wire.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8));
            }
            3 => {
                self.is_honest = false;
                self.wire.extend_from_slice(content);
                return after;
            }
            4 => {
                self.has_new_keys = true;
                self.sealer.update_key(&mut self.wire).expect("a new key");
                return input;
            }
            5 => return input,
            _ => {
                self.send(&[argument; MAX_PLAINTEXT]);
                return rest;
            }
        }
        after
    }

    fn send(&mut self, content: &[u8]) {
        if self.wire.len() < MAX_WIRE {
            let before = self.wire.len();
            self.sealer.seal(&[content], &mut self.wire).expect("a record");
            assert!(self.wire.len() - before <= MAX_RECORD);
            self.sent.extend_from_slice(content);
            // An honest side has no reason to send nothing so often.
            self.is_honest &= !content.is_empty();
        }
    }

    /// Opens what is there. False once the link is over.
    fn open(&mut self) -> bool {
        loop {
            match self.opener.open(&mut self.wire) {
                Ok(None) => {
                    assert!(self.wire.len() < MAX_RECORD, "a whole record is left");
                    return true;
                }
                Ok(Some(Record::Data(data))) => {
                    self.opened += 1;
                    self.idle = 0;
                    if self.is_honest {
                        assert!(self.sent.starts_with(&data), "other bytes than were sent");
                        self.sent.drain(..data.len());
                    }
                    if self.frames.push(data, &mut Vec::new()).is_err() {
                        return false;
                    }
                }
                Ok(Some(Record::CloseNotify)) => {
                    assert!(!self.is_honest);
                    return false;
                }
                Ok(Some(Record::Nothing | Record::KeyUpdateRequested)) => {
                    self.opened += 1;
                    self.idle += 1;
                    assert!(self.idle <= MAX_IDLE_RECORDS, "a link that spins");
                }
                Err(error) => {
                    let is_idle = error == super::RecordError::Idle;
                    assert!(!self.is_honest || is_idle, "{error}");
                    return false;
                }
            }
        }
    }
}

/// An input does at most this much.
const MAX_OPERATIONS: usize = 500;
/// So much waits on the wire at most.
const MAX_WIRE: usize = 8 * MAX_RECORD;
