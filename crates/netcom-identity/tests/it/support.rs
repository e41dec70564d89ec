//! What several test files share: keys, and a Protobuf writer that can also write what the crate
//! never would.

use netcom_identity::{NetId, PeerId, Representation, SecretKey, Terms, UnixTime};
use serde_json::Value;

pub(crate) const ISSUE: &str = "netcom/representation/1";
pub(crate) const DELEGATE: &str = "netcom/delegation/1";
pub(crate) const RECORD: &str = "netcom/node-record/1";

pub(crate) const START: UnixTime = UnixTime(1000);
pub(crate) const NOW: UnixTime = UnixTime(1500);
pub(crate) const END: UnixTime = UnixTime(2000);

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

pub(crate) fn terms() -> Terms {
    Terms::new(5, START, END)
}

/// A PeerId that holds only a hash.
pub(crate) fn hashed_peer_id() -> PeerId {
    "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().expect("a well-known one")
}

/// A chain with the given number of delegations, to the nodes of keys 2, 3 and 4.
pub(crate) fn chain(delegations: u8) -> Representation {
    let left = |used: u8| terms().delegations(delegations.saturating_sub(used));
    let mut chain = Representation::issue(&key(1), key(2).peer_id(), &left(0));
    for used in 1..=delegations {
        chain = chain
            .delegate(&key(1 + used), key(2 + used).peer_id(), &left(used))
            .expect("the terms allow it");
    }
    chain
}

/// The node at the end of [`chain`].
pub(crate) fn last(delegations: u8) -> PeerId {
    key(2 + delegations).peer_id()
}

/// A statement's fields, to be changed at will.
#[derive(Clone)]
pub(crate) struct Statement {
    pub(crate) netid: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) not_before: u64,
    pub(crate) expires: u64,
    pub(crate) sequence: u64,
    pub(crate) roles: u64,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) delegations: u64,
}

impl Statement {
    pub(crate) fn new(netid: &NetId, subject: &PeerId) -> Self {
        Self {
            netid: netid.to_bytes(),
            subject: subject.to_bytes(),
            not_before: START.0,
            expires: END.0,
            sequence: 5,
            roles: 7,
            metadata: Vec::new(),
            delegations: 0,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut message = Message::new()
            .bytes(1, &self.netid)
            .bytes(2, &self.subject)
            .number(3, self.not_before)
            .number(4, self.expires)
            .number(5, self.sequence)
            .number(6, self.roles);
        for (key, value) in &self.metadata {
            message = message.bytes(7, &entry(key, value));
        }
        message.number(8, self.delegations).done()
    }

    pub(crate) fn signed(&self, key: &SecretKey, context: &str) -> Vec<u8> {
        signed(key, context, &self.encode())
    }
}

pub(crate) fn entry(key: &str, value: &str) -> Vec<u8> {
    Message::new().bytes(1, key.as_bytes()).bytes(2, value.as_bytes()).done()
}

pub(crate) fn signed(key: &SecretKey, context: &str, body: &[u8]) -> Vec<u8> {
    Message::new().bytes(1, body).bytes(2, &key.sign(context, body)).done()
}

/// A chain of signed statements, whatever they say.
pub(crate) fn representation(steps: &[Vec<u8>]) -> Vec<u8> {
    let start = Message::new().number(1, steps.len() as u64);
    steps.iter().fold(start, |message, step| message.bytes(2, step)).done()
}

/// Writes Protobuf fields in the order given.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut number: u64) {
        while number > 127 {
            self.0.push(number as u8 | 128);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

pub(crate) fn vectors(json: &str) -> Value {
    serde_json::from_str(json).expect("the vector file is JSON")
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hexadecimal digits")
}
