//! HELLO's body: entries of `{id, length, value}` in any order, each at most once. Unknown entries
//! with an even id are skipped, those with an odd id may not be.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use bytes::BytesMut;

use crate::{
    Code, InstanceId, LinkId, SessionId,
    wire::{
        DecodeError, Finals, Flaw, Hello, Limits, MAX_FEATURES, MAX_FINALS, MAX_HELLO_BODY,
        MAX_HELLO_ENTRIES, MAX_WAIT_MS, Purpose,
        encode::{put_varint, write_lanes},
        reader::Reader,
    },
};

/// Reads a whole body.
pub(super) fn decode(body: &[u8]) -> Result<Hello, DecodeError> {
    let mut entries = Entries::default();
    let mut seen = Seen::default();
    let mut body = Reader::new(body);
    while !body.is_empty() {
        let (id, value) = entry(&mut body).map_err(DecodeError::hello)?;
        seen.add(id).map_err(DecodeError::hello)?;
        entries.take(id, value)?;
    }
    entries.finish().map_err(DecodeError::hello)
}

/// Writes a body of at most 16 KiB. `finals` go from the oldest to the newest, and the oldest are
/// left out where they do not fit: that costs repeated frames and nothing else.
pub(super) fn encode(hello: &Hello) -> BytesMut {
    let mut out = BytesMut::with_capacity(128);
    let mut value = BytesMut::new();
    put_entry(&mut out, id::INSTANCE, &hello.instance.0);
    if let Some(instance) = hello.supersedes {
        put_entry(&mut out, id::SUPERSEDES, &instance.0);
    }
    put_varint(&mut value, hello.link.0);
    put_value(&mut out, id::LINK, &mut value);
    if !hello.features.is_empty() {
        for feature in hello.features.iter().take(MAX_FEATURES) {
            put_varint(&mut value, *feature);
        }
        put_value(&mut out, id::FEATURES, &mut value);
    }
    write_purpose(hello.purpose, &mut value);
    put_value(&mut out, id::PURPOSE, &mut value);
    if let Some(session) = hello.session {
        put_entry(&mut out, id::SESSION, &session.0);
    }
    for limit in [hello.limits.streams, hello.limits.data_window, hello.limits.error_window] {
        put_varint(&mut value, limit);
    }
    put_value(&mut out, id::LIMITS, &mut value);
    if let Some(window) = hello.resume_window_ms {
        put_varint(&mut value, window.min(MAX_WAIT_MS));
        put_value(&mut out, id::RESUME_WINDOW, &mut value);
    }
    write_finals(&hello.finals, &mut out);
    out
}

/// What was found so far.
#[derive(Default)]
struct Entries {
    instance: Option<InstanceId>,
    supersedes: Option<InstanceId>,
    link: Option<LinkId>,
    features: Vec<u64>,
    purpose: Option<Purpose>,
    finals: Vec<Finals>,
    session: Option<SessionId>,
    limits: Option<Limits>,
    resume_window_ms: Option<u64>,
}

impl Entries {
    fn take(&mut self, id: u64, value: &[u8]) -> Result<(), DecodeError> {
        let mut value = Reader::new(value);
        if self.read(id, &mut value).map_err(DecodeError::hello)? {
            value.finish().map_err(DecodeError::hello)
        } else if id.is_multiple_of(2) {
            Ok(())
        } else {
            Err(DecodeError::UnknownEntry { id })
        }
    }

    /// Reads a value; `false` for an unknown id.
    fn read(&mut self, id: u64, value: &mut Reader<'_>) -> Result<bool, Flaw> {
        match id {
            id::INSTANCE => self.instance = Some(InstanceId(value.array()?)),
            id::SUPERSEDES => self.supersedes = Some(InstanceId(value.array()?)),
            id::LINK => self.link = Some(LinkId(value.varint()?)),
            id::FEATURES => self.features = features(value)?,
            id::PURPOSE => self.purpose = Some(purpose(value)?),
            id::FINALS => self.finals = finals(value)?,
            id::SESSION => self.session = Some(SessionId(value.array()?)),
            id::LIMITS => self.limits = Some(limits(value)?),
            id::RESUME_WINDOW => self.resume_window_ms = Some(value.varint()?.min(MAX_WAIT_MS)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<Hello, Flaw> {
        Ok(Hello {
            instance: self.instance.ok_or(Flaw::Missing)?,
            supersedes: self.supersedes,
            link: self.link.ok_or(Flaw::Missing)?,
            purpose: self.purpose.ok_or(Flaw::Missing)?,
            session: self.session,
            limits: self.limits.ok_or(Flaw::Missing)?,
            resume_window_ms: self.resume_window_ms,
            features: self.features,
            finals: self.finals,
        })
    }
}

/// The ids met so far.
struct Seen {
    ids: [u64; MAX_HELLO_ENTRIES],
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { ids: [0; MAX_HELLO_ENTRIES], count: 0 }
    }
}

impl Seen {
    fn add(&mut self, id: u64) -> Result<(), Flaw> {
        if self.ids.iter().take(self.count).any(|seen| *seen == id) {
            return Err(Flaw::Duplicate);
        }
        *self.ids.get_mut(self.count).ok_or(Flaw::TooMany)? = id;
        self.count = self.count.saturating_add(1);
        Ok(())
    }
}

fn entry<'a>(body: &mut Reader<'a>) -> Result<(u64, &'a [u8]), Flaw> {
    let id = body.varint()?;
    let length = body.varint()?;
    Ok((id, body.bytes(length)?))
}

fn features(value: &mut Reader<'_>) -> Result<Vec<u64>, Flaw> {
    let mut features = Vec::new();
    while !value.is_empty() {
        if features.len() == MAX_FEATURES {
            return Err(Flaw::TooMany);
        }
        features.push(value.varint()?);
    }
    Ok(features)
}

fn purpose(value: &mut Reader<'_>) -> Result<Purpose, Flaw> {
    Ok(match value.varint()? {
        purpose::NEW => Purpose::New,
        purpose::JOIN => Purpose::Join { session: SessionId(value.array()?) },
        purpose::ATTACHED => Purpose::Attached,
        purpose::NEED_JOIN => Purpose::NeedJoin,
        purpose::GONE => Purpose::Gone { code: Code(value.varint()?) },
        purpose::REFUSED => Purpose::Refused {
            code: Code(value.varint()?),
            retry_after_ms: value.varint()?.min(MAX_WAIT_MS),
        },
        _ => return Err(Flaw::Value),
    })
}

fn finals(value: &mut Reader<'_>) -> Result<Vec<Finals>, Flaw> {
    let mut finals = Vec::new();
    while !value.is_empty() {
        if finals.len() == MAX_FINALS {
            return Err(Flaw::TooMany);
        }
        finals.push(Finals { link: LinkId(value.varint()?), lanes: value.lanes()? });
    }
    Ok(finals)
}

fn limits(value: &mut Reader<'_>) -> Result<Limits, Flaw> {
    Ok(Limits {
        streams: value.varint()?,
        data_window: value.varint()?,
        error_window: value.varint()?,
    })
}

fn write_purpose(purpose: Purpose, out: &mut BytesMut) {
    match purpose {
        Purpose::New => put_varint(out, purpose::NEW),
        Purpose::Join { session } => {
            put_varint(out, purpose::JOIN);
            out.extend_from_slice(&session.0);
        }
        Purpose::Attached => put_varint(out, purpose::ATTACHED),
        Purpose::NeedJoin => put_varint(out, purpose::NEED_JOIN),
        Purpose::Gone { code } => {
            put_varint(out, purpose::GONE);
            put_varint(out, code.0);
        }
        Purpose::Refused { code, retry_after_ms } => {
            put_varint(out, purpose::REFUSED);
            put_varint(out, code.0);
            put_varint(out, retry_after_ms);
        }
    }
}

/// Writes the newest finals that fit, oldest first.
fn write_finals(finals: &[Finals], out: &mut BytesMut) {
    let room = MAX_HELLO_BODY.saturating_sub(out.len()).saturating_sub(ENTRY_HEAD);
    let encoded: Vec<BytesMut> = finals
        .iter()
        .rev()
        .take(MAX_FINALS)
        .map(|last| {
            let mut value = BytesMut::new();
            put_varint(&mut value, last.link.0);
            write_lanes(&last.lanes, &mut value);
            value
        })
        .scan(room, |room, value| {
            *room = room.checked_sub(value.len())?;
            Some(value)
        })
        .collect();
    if encoded.is_empty() {
        return;
    }
    let mut value = BytesMut::new();
    for last in encoded.iter().rev() {
        value.extend_from_slice(last);
    }
    put_value(out, id::FINALS, &mut value);
}

/// Writes an entry and empties `value` for the next one.
fn put_value(out: &mut BytesMut, id: u64, value: &mut BytesMut) {
    put_entry(out, id, value);
    value.clear();
}

fn put_entry(out: &mut BytesMut, id: u64, value: &[u8]) {
    put_varint(out, id);
    put_varint(out, u64::try_from(value.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(value);
}

/// The most bytes in front of the value of an entry known here: an id of one byte and a length of
/// at most four.
const ENTRY_HEAD: usize = 5;

mod id {
    pub(super) const INSTANCE: u64 = 1;
    pub(super) const SUPERSEDES: u64 = 2;
    pub(super) const LINK: u64 = 3;
    pub(super) const FEATURES: u64 = 4;
    pub(super) const PURPOSE: u64 = 5;
    pub(super) const FINALS: u64 = 6;
    pub(super) const SESSION: u64 = 7;
    pub(super) const RESUME_WINDOW: u64 = 8;
    pub(super) const LIMITS: u64 = 9;
}

mod purpose {
    pub(super) const NEW: u64 = 0;
    pub(super) const JOIN: u64 = 1;
    pub(super) const ATTACHED: u64 = 2;
    pub(super) const NEED_JOIN: u64 = 3;
    pub(super) const GONE: u64 = 4;
    pub(super) const REFUSED: u64 = 5;
}
