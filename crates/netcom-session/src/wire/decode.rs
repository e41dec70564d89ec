//! Reads frames off the front of a buffer.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    Class, Code, Flow, LinkId, StreamId,
    wire::{
        Blocked, Close, Credit, Data, Datagram, DecodeError, Flaw, Frame, Lack, LinkRole,
        LinkState, LinkUpdate, MAX_CONTROL_BODY, MAX_DATA_BODY, MAX_DATA_BODY_QUIC, MAX_DATAGRAM,
        MAX_HELLO_BODY, MAX_PROTOCOL, MAX_REASON, MAX_VARINT, MAX_WAIT_MS, Open, Payload, Reset,
        SessionKey, Stop, bits, hello, kind, reader::Reader, varint,
    },
};

/// What a link allows beyond the limits that hold everywhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameLimits {
    /// The longest body of a DATA frame.
    pub max_data_body: usize,
}

impl FrameLimits {
    /// Links over TLS records: TCP, WebSocket, relayed and in-memory ones.
    pub const TLS: Self = Self { max_data_body: MAX_DATA_BODY };
    /// QUIC links.
    pub const QUIC: Self = Self { max_data_body: MAX_DATA_BODY_QUIC };
}

/// Takes one whole frame off the front of `buf`, `None` while bytes of it are missing.
///
/// Payloads (of DATA, DATAGRAM and AUTH) are slices of the buffer, not copies, and pin it until
/// they are dropped; everything else is copied. Each call either takes a whole frame, or leaves
/// the buffer as it was.
///
/// # Errors
///
/// When no byte that may follow can make a valid frame of it: at once for an unknown type or a
/// declared length beyond its limit, before any of the body arrives.
pub fn decode(buf: &mut BytesMut, limits: FrameLimits) -> Result<Option<Frame>, DecodeError> {
    let Some(Start { kind, length, rest }) = start(buf, limits)? else {
        return Ok(None);
    };
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let end = buf.len().saturating_sub(rest.len()).saturating_add(length);
    if kind == kind::DATA {
        let (mut data, payload) = data(body, length).map_err(|flaw| malformed(kind, flaw))?;
        data.bytes = take_payload(buf, end, payload).into();
        return Ok(Some(Frame::Data(data)));
    }
    let (mut frame, payload) = other(kind, body)?;
    let bytes = take_payload(buf, end, payload);
    match &mut frame {
        Frame::Datagram(datagram) => datagram.bytes = bytes,
        Frame::Auth(proof) => *proof = bytes,
        _ => {}
    }
    Ok(Some(frame))
}

/// Takes the head of a DATA frame off the front of `buf`, if it is all there and at least `least`
/// bytes of payload belong to it. Returns the frame without its payload, and how long that is:
/// what of it is in `buf` stays there.
///
/// # Errors
///
/// As [`decode`].
pub fn begin_data(
    buf: &mut BytesMut,
    limits: FrameLimits,
    least: usize,
) -> Result<Option<(Data, usize)>, DecodeError> {
    let Some(Start { kind: kind::DATA, length, rest }) = start(buf, limits)? else {
        return Ok(None);
    };
    let body = rest.get(..length).unwrap_or(rest);
    if length < least || body.len() < length.min(MAX_DATA_HEAD) {
        return Ok(None);
    }
    let (data, payload) = data(body, length).map_err(|flaw| malformed(kind::DATA, flaw))?;
    if payload < least {
        return Ok(None);
    }
    let head = length.saturating_sub(payload);
    buf.advance(buf.len().saturating_sub(rest.len()).saturating_add(head));
    Ok(Some((data, payload)))
}

/// The start of a frame.
struct Start<'a> {
    kind: u8,
    length: usize,
    /// The body, as far as it is there, and what follows it.
    rest: &'a [u8],
}

/// Reads the kind and the length of the frame that `buf` starts with.
#[inline]
fn start(buf: &[u8], limits: FrameLimits) -> Result<Option<Start<'_>>, DecodeError> {
    let Some((&kind, after_kind)) = buf.split_first() else {
        return Ok(None);
    };
    let limit = body_limit(kind, limits)?;
    let Some((length, rest)) = varint::read(after_kind) else {
        return Ok(None);
    };
    let fitting = usize::try_from(length).ok().filter(|length| *length <= limit);
    let length = fitting.ok_or(DecodeError::TooLarge { kind, length, limit })?;
    Ok(Some(Start { kind, length, rest }))
}

/// Drops the frame that ends at `end` off the front of `buf`, except its last `payload` bytes.
#[inline]
fn take_payload(buf: &mut BytesMut, end: usize, payload: usize) -> Bytes {
    buf.advance(end.saturating_sub(payload));
    if payload == 0 { Bytes::new() } else { buf.split_to(payload).freeze() }
}

/// The longest body of a frame of that type.
#[inline]
fn body_limit(kind: u8, limits: FrameLimits) -> Result<usize, DecodeError> {
    match kind {
        kind::DATA => Ok(limits.max_data_body),
        kind::HELLO | kind::AUTH | kind::PAD.. => Ok(MAX_HELLO_BODY),
        kind::RESET..=kind::CLOSE => Ok(MAX_CONTROL_BODY),
        _ => Err(DecodeError::UnknownKind { kind }),
    }
}

/// Reads DATA up to its payload and tells how many bytes that has, of a body of `length` bytes, of
/// which all may be there or only the first.
#[inline]
fn data(there: &[u8], length: usize) -> Result<(Data, usize), Flaw> {
    let mut body = Reader::new(there);
    let stream = StreamId(body.varint()?);
    let set = body.byte()?;
    let offset = body.varint()?;
    let (flow, fin) = (flow(set), set & bits::FIN != 0);
    let fin_errors = set & bits::FIN_ERRORS != 0;
    if set & !(bits::FIN | bits::ERR | bits::OPEN | bits::FIN_ERRORS) != 0 {
        return Err(Flaw::Bits);
    }
    if fin_errors && !(fin && flow == Flow::Data) {
        return Err(Flaw::Bits);
    }
    let open = if set & bits::OPEN == 0 {
        None
    } else if flow == Flow::Data && offset == 0 {
        Some(open(&mut body)?)
    } else {
        return Err(Flaw::Bits);
    };
    let head = there.len().saturating_sub(body.rest().len());
    let payload = length.saturating_sub(head);
    let fits = u64::try_from(payload).ok().and_then(|length| offset.checked_add(length));
    if fits.is_none_or(|end| end > MAX_VARINT) {
        return Err(Flaw::Offset);
    }
    Ok((Data { stream, flow, offset, fin, fin_errors, open, bytes: Payload::default() }, payload))
}

/// The protocol's name is copied: it lives as long as its stream and would pin the read buffer.
fn open(body: &mut Reader<'_>) -> Result<Open, Flaw> {
    let class = match body.byte()? {
        0 => Class::Interactive,
        1 => Class::Normal,
        2 => Class::Bulk,
        _ => return Err(Flaw::Value),
    };
    let length = body.byte()?;
    Ok(Open { class, protocol: Bytes::copy_from_slice(body.bytes(length.into())?) })
}

/// Reads every frame but DATA, and tells how many bytes at its end are its payload.
fn other(kind: u8, body: &[u8]) -> Result<(Frame, usize), DecodeError> {
    let frame = match kind {
        kind::HELLO => Frame::Hello(Box::new(hello::decode(body)?)),
        kind::DATAGRAM => return datagram(body),
        kind::AUTH => return Ok((Frame::Auth(Bytes::new()), body.len())),
        kind::CLOSE => close(body)?,
        kind::PAD.. => Frame::Ignored { kind, length: body.len() },
        _ => {
            let mut reader = Reader::new(body);
            let frame = control(kind, &mut reader);
            let ended = frame.and_then(|frame| reader.finish().map(|()| frame));
            ended.map_err(|flaw| malformed(kind, flaw))?
        }
    };
    Ok((frame, 0))
}

fn datagram(body: &[u8]) -> Result<(Frame, usize), DecodeError> {
    let mut body = Reader::new(body);
    let mut number = || body.varint().map_err(|flaw| malformed(kind::DATAGRAM, flaw));
    let (flow, sequence, ttl_ms) = (number()?, number()?, number()?.min(MAX_WAIT_MS));
    let payload = body.rest().len();
    within(kind::DATAGRAM, payload, MAX_DATAGRAM)?;
    let datagram = Datagram { flow, sequence, ttl_ms, bytes: Bytes::new() };
    Ok((Frame::Datagram(datagram), payload))
}

fn close(body: &[u8]) -> Result<Frame, DecodeError> {
    let mut body = Reader::new(body);
    let code = Code(body.varint().map_err(|flaw| malformed(kind::CLOSE, flaw))?);
    within(kind::CLOSE, body.rest().len(), MAX_REASON)?;
    // A reason is for a person only, so bytes that are no UTF-8 are replaced. A replacement is
    // longer than what it replaces.
    let mut reason = String::from_utf8_lossy(body.rest()).into_owned();
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    Ok(Frame::Close(Close { code, reason }))
}

/// Reads the frames whose fields fill the body.
fn control(kind: u8, body: &mut Reader<'_>) -> Result<Frame, Flaw> {
    Ok(match kind {
        kind::RESET => reset(body)?,
        kind::STOP => {
            let (stream, flow) = flow_name(body)?;
            Frame::Stop(Stop { stream, flow, code: Code(body.varint()?) })
        }
        kind::CREDIT => {
            let (stream, flow) = flow_name(body)?;
            Frame::Credit(Credit { stream, flow, max: body.varint()? })
        }
        kind::BLOCKED => {
            let (stream, flow) = flow_name(body)?;
            Frame::Blocked(Blocked { stream, flow, at: body.varint()? })
        }
        kind::STREAMS => Frame::Streams { max: body.varint()? },
        kind::LACK => {
            let link = LinkId(body.varint()?);
            let delay_us = body.varint()?.min(MAX_WAIT_MS.saturating_mul(1000));
            Frame::Lack(Lack { link, delay_us, lanes: body.lanes()? })
        }
        kind::LINK => link_update(body)?,
        kind::QUERY => Frame::Query { link: LinkId(body.varint()?) },
        kind::PING => Frame::Ping { nonce: body.varint()? },
        kind::PONG => Frame::Pong { nonce: body.varint()? },
        kind::KEY => Frame::Key(SessionKey(body.array()?)),
        kind::JOIN => Frame::Join { mac: body.array()? },
        kind::WANT => Frame::Want { sequence: body.varint()?, held: flag(body.byte()?)? },
        kind::DRAIN if body.is_empty() => Frame::Drain { last: None },
        kind::DRAIN => Frame::Drain { last: Some(StreamId(body.varint()?)) },
        _ => return Err(Flaw::Value),
    })
}

fn reset(body: &mut Reader<'_>) -> Result<Frame, Flaw> {
    let stream = StreamId(body.varint()?);
    let set = body.byte()?;
    let (flow, fin_errors) = (flow(set), set & bits::FIN_ERRORS != 0);
    if set & !(bits::ERR | bits::FIN_ERRORS) != 0 || fin_errors && flow == Flow::Error {
        return Err(Flaw::Bits);
    }
    let code = Code(body.varint()?);
    Ok(Frame::Reset(Reset { stream, flow, fin_errors, code, final_size: body.varint()? }))
}

fn link_update(body: &mut Reader<'_>) -> Result<Frame, Flaw> {
    let link = LinkId(body.varint()?);
    let state = match body.byte()? {
        0 => LinkState::Alive,
        1 => LinkState::Suspect,
        2 => LinkState::Closing,
        3 => LinkState::Dead,
        _ => return Err(Flaw::Value),
    };
    let role = match body.byte()? {
        0 => LinkRole::Active,
        1 => LinkRole::Standby,
        _ => return Err(Flaw::Value),
    };
    Ok(Frame::Link(LinkUpdate { link, state, role, lanes: body.lanes()? }))
}

fn flow_name(body: &mut Reader<'_>) -> Result<(StreamId, Flow), Flaw> {
    let stream = StreamId(body.varint()?);
    let set = body.byte()?;
    if set & !bits::ERR == 0 { Ok((stream, flow(set))) } else { Err(Flaw::Bits) }
}

fn flow(set: u8) -> Flow {
    if set & bits::ERR == 0 { Flow::Data } else { Flow::Error }
}

fn flag(byte: u8) -> Result<bool, Flaw> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Flaw::Value),
    }
}

fn within(kind: u8, length: usize, limit: usize) -> Result<(), DecodeError> {
    if length <= limit {
        return Ok(());
    }
    Err(DecodeError::TooLarge { kind, length: u64::try_from(length).unwrap_or(u64::MAX), limit })
}

fn malformed(kind: u8, flaw: Flaw) -> DecodeError {
    DecodeError::Malformed { kind, flaw }
}

/// The longest head of DATA behind its length: stream, bits, offset, class and protocol.
const MAX_DATA_HEAD: usize = 8 + 1 + 8 + 1 + 1 + MAX_PROTOCOL;
