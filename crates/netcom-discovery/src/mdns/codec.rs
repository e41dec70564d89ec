//! The part of DNS (RFC 1035, RFC 6762) that peer discovery needs: PTR and TXT records of one
//! service.
//!
//! Written by hand rather than taken from a DNS library, because packets come from anybody on the
//! link: nothing is allocated by a count the packet claims, compression chains are short, record
//! types of others are skipped unread.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

use netcom_identity::{Multiaddr, PeerId};

use super::address;

/// What a packet says about the service, if it says anything.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Message {
    /// Somebody asks who is there, and lists instances it knows well.
    Query { known: Vec<Instance> },
    /// Instances of the service present themselves.
    Response(Vec<Announcement>),
}

/// The name of one publication, the first label of `<instance>._p2p._udp.local`, in lower case.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Instance(Box<[u8]>);

/// What one packet says about one instance.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Announcement {
    pub(crate) instance: Instance,
    /// Seconds; zero says goodbye.
    pub(crate) ttl: u32,
    /// Who claims to be reachable where. All entries name the same peer.
    pub(crate) hint: Option<(PeerId, Vec<Multiaddr>)>,
    /// Pieces of the signed record.
    pub(crate) chunks: Vec<Chunk>,
}

/// A piece of a signed record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) bytes: Vec<u8>,
}

/// Why a packet was left unread.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("the packet ends early")]
    Truncated,
    #[error("a name is malformed")]
    Name,
    #[error("not a standard query or answer")]
    Unsupported,
}

/// The most that is sent in one packet, so that no link fragments it.
pub(crate) const MAX_SENT: usize = 1_200;
/// The most that is read of one packet (RFC 6762 section 17).
pub(crate) const MAX_RECEIVED: usize = 9_000;
/// The largest signed record that is carried.
pub(crate) const MAX_RECORD: usize = 8 * 1024;
/// The bytes of a record that one TXT string carries beside its key and counters.
pub(crate) const CHUNK: usize = MAX_STRING - CHUNK_KEY.len() - 2;
/// The most addresses taken from or given in one announcement.
pub(crate) const MAX_ADDRESSES: usize = 16;
/// The validity of what is announced, in seconds.
pub(crate) const TTL: u32 = 120;

const MAX_STRING: usize = 255;
const MAX_CHUNKS: usize = MAX_RECORD.div_ceil(CHUNK);
const MAX_ANNOUNCEMENTS: usize = 64;
const MAX_JUMPS: u32 = 8;
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
const HEADER: usize = 12;
/// The room for TXT data beside the header, two names and the fixed parts of two records.
const MAX_ANSWER_DATA: usize = MAX_SENT - 256;
const ADDRESS_KEY: &[u8] = b"dnsaddr=";
const CHUNK_KEY: &[u8] = b"netcom=";
/// `_p2p._udp.local`, as labels.
const SERVICE: &[u8] = b"\x04_p2p\x04_udp\x05local";
/// A compression pointer to the name right after the header, which is [`SERVICE`] in all we send.
const SERVICE_POINTER: u16 = 0xc00c;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// In records: this replaces older data (RFC 6762 section 10.2). In questions: unicast wanted.
const CLASS_TOP_BIT: u16 = 0x8000;
const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
/// Operation and response code, which have to be zero (RFC 6762 sections 18.3 and 18.11).
const FLAGS_CODES: u16 = 0x780f;

impl Instance {
    /// Names an instance by text of a-z and 0-9, at most 63 long.
    pub(crate) fn new(label: &str) -> Self {
        let bytes = label.bytes().take(MAX_LABEL).map(|byte| byte.to_ascii_lowercase());
        Self(bytes.collect())
    }

    fn len_byte(&self) -> u8 {
        u8::try_from(self.0.len()).unwrap_or(0)
    }
}

/// Reads a packet; `None` if it is about other services only.
pub(crate) fn decode(packet: &[u8]) -> Result<Option<Message>, DecodeError> {
    let packet = packet.get(..MAX_RECEIVED).unwrap_or(packet);
    let mut reader = Reader { packet, at: 0 };
    let _id = reader.u16()?;
    let flags = reader.u16()?;
    if flags & FLAGS_CODES != 0 {
        return Err(DecodeError::Unsupported);
    }
    let questions = reader.u16()?;
    let answers = reader.u16()?;
    let others = u32::from(reader.u16()?).saturating_add(u32::from(reader.u16()?));
    let mut asked = false;
    for _ in 0..questions {
        asked |= reader.question()?;
    }
    if flags & FLAG_RESPONSE == 0 {
        return if asked { decode_known(&mut reader, answers).map(Some) } else { Ok(None) };
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        reader.record_into(&mut found, true)?;
    }
    for _ in 0..others {
        reader.record_into(&mut found, false)?;
    }
    Ok((!found.is_empty()).then_some(Message::Response(found)))
}

fn decode_known(reader: &mut Reader<'_>, answers: u16) -> Result<Message, DecodeError> {
    let mut known = Vec::new();
    for _ in 0..answers {
        reader.record_into(&mut known, true)?;
    }
    // RFC 6762 section 7.1: an answer known for half of its lifetime or less is given again.
    let known = known.into_iter().filter(|answer| answer.ttl >= TTL / 2);
    Ok(Message::Query { known: known.map(|answer| answer.instance).collect() })
}

/// Writes the question who is there, with the instances of which no answer is needed, as far as
/// they fit.
pub(crate) fn encode_query<'a>(known: impl Iterator<Item = (&'a Instance, u32)>) -> Vec<u8> {
    let mut body = Vec::new();
    put_service(&mut body);
    body.extend(TYPE_PTR.to_be_bytes());
    body.extend(CLASS_IN.to_be_bytes());
    let mut answers = 0_u16;
    for (instance, ttl) in known {
        let before = body.len();
        body.extend(SERVICE_POINTER.to_be_bytes());
        put_ptr(&mut body, instance, ttl);
        if body.len().saturating_add(HEADER) > MAX_SENT {
            body.truncate(before);
            break;
        }
        answers = answers.saturating_add(1);
    }
    packet(0, [1, answers, 0, 0], &body)
}

/// Writes what `peer` has to say about itself, in as many packets as it takes. A `ttl` of zero
/// says goodbye.
pub(crate) fn encode_answer(
    instance: &Instance,
    ttl: u32,
    peer: &PeerId,
    addresses: &[Multiaddr],
    record: &[u8],
) -> Vec<Vec<u8>> {
    let hints = addresses.iter().take(MAX_ADDRESSES);
    let hints = hints.map(|a| format!("dnsaddr={}", address::with_peer(a, peer)).into_bytes());
    let strings = hints.filter(|text| text.len() <= MAX_STRING).chain(chunk_strings(record));
    let mut packets = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for string in strings {
        let longer = data.len().saturating_add(string.len());
        if !data.is_empty() && longer > MAX_ANSWER_DATA {
            packets.push(answer_packet(instance, ttl, &data));
            data.clear();
        }
        data.push(u8::try_from(string.len()).unwrap_or(0));
        data.extend_from_slice(&string);
    }
    if !data.is_empty() {
        packets.push(answer_packet(instance, ttl, &data));
    }
    packets
}

/// Cuts a record into TXT strings; nothing where it is larger than any receiver takes.
fn chunk_strings(record: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let record = if record.len() <= MAX_RECORD { record } else { &[] };
    let count = u8::try_from(record.len().div_ceil(CHUNK)).unwrap_or(0);
    (0..count)
        .zip(record.chunks(CHUNK))
        .map(move |(index, bytes)| [CHUNK_KEY, &[index, count], bytes].concat())
}

fn answer_packet(instance: &Instance, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_service(&mut body);
    put_ptr(&mut body, instance, ttl);
    put_instance(&mut body, instance);
    body.extend(TYPE_TXT.to_be_bytes());
    body.extend((CLASS_IN | CLASS_TOP_BIT).to_be_bytes());
    body.extend(ttl.to_be_bytes());
    body.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    body.extend_from_slice(data);
    packet(FLAG_RESPONSE | FLAG_AUTHORITATIVE, [0, 1, 0, 1], &body)
}

fn packet(flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER.saturating_add(body.len()));
    // RFC 6762 section 18.1: the id is zero.
    packet.extend([0, 0]);
    packet.extend(flags.to_be_bytes());
    packet.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    packet.extend_from_slice(body);
    packet
}

fn put_service(body: &mut Vec<u8>) {
    body.extend_from_slice(SERVICE);
    body.push(0);
}

/// Writes a PTR record to the instance, all but its name.
fn put_ptr(body: &mut Vec<u8>, instance: &Instance, ttl: u32) {
    body.extend(TYPE_PTR.to_be_bytes());
    body.extend(CLASS_IN.to_be_bytes());
    body.extend(ttl.to_be_bytes());
    // A length byte, the label, and a pointer for the rest.
    body.extend(u16::from(instance.len_byte()).saturating_add(3).to_be_bytes());
    put_instance(body, instance);
}

fn put_instance(body: &mut Vec<u8>, instance: &Instance) {
    body.push(instance.len_byte());
    body.extend_from_slice(&instance.0);
    body.extend(SERVICE_POINTER.to_be_bytes());
}

impl Announcement {
    fn take_strings(&mut self, mut data: &[u8]) {
        while let Some((&length, rest)) = data.split_first() {
            let Some((string, rest)) = rest.split_at_checked(usize::from(length)) else { return };
            data = rest;
            if let Some(text) = string.strip_prefix(ADDRESS_KEY) {
                self.take_address(text);
            } else if let Some(chunk) = string.strip_prefix(CHUNK_KEY) {
                self.take_chunk(chunk);
            }
        }
    }

    fn take_address(&mut self, text: &[u8]) {
        let address = str::from_utf8(text).ok().and_then(|text| text.parse::<Multiaddr>().ok());
        let Some(address) = address else { return };
        let Some(peer) = address::peer_of(&address) else { return };
        let (first, addresses) = self.hint.get_or_insert_with(|| (peer, Vec::new()));
        if *first == peer && addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    fn take_chunk(&mut self, chunk: &[u8]) {
        if let [index, count, bytes @ ..] = chunk
            && index < count
            && usize::from(*count) <= MAX_CHUNKS
            && self.chunks.len() < MAX_CHUNKS
        {
            self.chunks.push(Chunk { index: *index, count: *count, bytes: bytes.to_vec() });
        }
    }
}

/// A position in a packet. Every step forward takes at least one byte or fails.
struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count).ok_or(DecodeError::Truncated)?;
        let bytes = self.packet.get(self.at..end).ok_or(DecodeError::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bytes(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a question and tells whether it asks for the service's instances.
    fn question(&mut self) -> Result<bool, DecodeError> {
        let name = self.name()?;
        let kind = self.u16()?;
        let class = self.u16()? & !CLASS_TOP_BIT;
        Ok(name.labels() == SERVICE
            && matches!(kind, TYPE_PTR | TYPE_ANY)
            && matches!(class, CLASS_IN | TYPE_ANY))
    }

    /// Reads a record and adds what it says to `found`: a PTR among the answers begins an
    /// announcement, TXT records fill it.
    fn record_into(
        &mut self,
        found: &mut Vec<Announcement>,
        is_answer: bool,
    ) -> Result<(), DecodeError> {
        let name = self.name()?;
        let kind = self.u16()?;
        let class = self.u16()? & !CLASS_TOP_BIT;
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let start = self.at;
        let data = self.bytes(length)?;
        if class != CLASS_IN {
            return Ok(());
        }
        if kind == TYPE_PTR && is_answer && name.labels() == SERVICE {
            let mut target = Reader { packet: self.packet, at: start };
            let target = target.name()?;
            if let Some(instance) = target.instance()
                && found.len() < MAX_ANNOUNCEMENTS
                && !found.iter().any(|known| known.instance == instance)
            {
                found.push(Announcement { instance, ttl, hint: None, chunks: Vec::new() });
            }
        } else if kind == TYPE_TXT
            && let Some(instance) = name.instance()
            && let Some(known) = found.iter_mut().find(|known| known.instance == instance)
        {
            known.take_strings(data);
        }
        Ok(())
    }

    /// Reads a name, following compression pointers, which have to point backwards.
    fn name(&mut self) -> Result<Name, DecodeError> {
        let mut name = Name { bytes: [0; MAX_NAME], length: 0 };
        let mut reader = Reader { packet: self.packet, at: self.at };
        let mut end = None;
        let mut jumps = MAX_JUMPS;
        for _ in 0..MAX_NAME {
            let start = reader.at;
            let [length] = reader.array()?;
            match length {
                0 => {
                    self.at = end.unwrap_or(reader.at);
                    return Ok(name);
                }
                0xc0.. => {
                    let [low] = reader.array()?;
                    end = Some(end.unwrap_or(reader.at));
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= start {
                        return Err(DecodeError::Name);
                    }
                    jumps = jumps.checked_sub(1).ok_or(DecodeError::Name)?;
                    reader.at = target;
                }
                0x40.. => return Err(DecodeError::Name),
                _ => name.push(length, reader.bytes(usize::from(length))?)?,
            }
        }
        Err(DecodeError::Name)
    }
}

/// A name in lower case, as labels with their lengths, without the final zero.
struct Name {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Name {
    fn push(&mut self, length: u8, label: &[u8]) -> Result<(), DecodeError> {
        for byte in [length].iter().chain(label) {
            let slot = self.bytes.get_mut(self.length).ok_or(DecodeError::Name)?;
            *slot = byte.to_ascii_lowercase();
            self.length = self.length.saturating_add(1);
        }
        Ok(())
    }

    fn labels(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The first label, if the others name the service or there are none: rust-libp2p leaves
    /// them out.
    fn instance(&self) -> Option<Instance> {
        let (&length, rest) = self.labels().split_first()?;
        let (label, service) = rest.split_at_checked(usize::from(length))?;
        (service == SERVICE || service.is_empty()).then(|| Instance(label.into()))
    }
}

#[cfg(test)]
mod tests;
