//! Writes frames.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use std::slice;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Class, Flow, StreamId,
    wire::{
        Close, Data, Frame, LaneCounts, LinkRole, LinkState, MAX_HELLO_BODY, MAX_LANES_PER_FRAME,
        MAX_PROTOCOL, MAX_REASON, Open, bits, hello, kind, varint,
    },
};

/// Appends the frame, but without the payload bytes of DATA and DATAGRAM, which have to follow.
///
/// What is written can be read by [`decode`](super::decode) if the caller keeps the limits of
/// payloads (`max_data_body`, [`MAX_DATAGRAM`](super::MAX_DATAGRAM)). Other excess is cut: numbers
/// to [`MAX_VARINT`](super::MAX_VARINT), names, reasons, proofs and lists to their limits, and a
/// HELLO beyond 16 KiB loses its first finals.
pub fn encode_head(frame: &Frame, out: &mut BytesMut) {
    let mut body = Counter(payload_len(frame));
    write_body_head(frame, &mut body);
    // The payload counts in the length, but goes elsewhere.
    out.reserve(MAX_FRAME_HEAD.saturating_add(body.0).saturating_sub(payload_len(frame)));
    out.put_u8(kind_of(frame));
    put_varint(out, as_number(body.0));
    write_body_head(frame, out);
}

/// Like [`encode_head`] for a DATA frame whose payload of so many bytes is not in `data`.
pub(crate) fn encode_data_head(data: &Data, payload_len: usize, out: &mut BytesMut) {
    let mut body = Counter(payload_len);
    write_data_head(data, &mut body);
    out.reserve(MAX_FRAME_HEAD.saturating_add(body.0).saturating_sub(payload_len));
    out.put_u8(kind::DATA);
    put_varint(out, as_number(body.0));
    write_data_head(data, out);
}

/// Appends the whole frame, payload included. Otherwise as [`encode_head`].
pub fn encode(frame: &Frame, out: &mut BytesMut) {
    encode_head(frame, out);
    payload(frame).iter().for_each(|part| out.extend_from_slice(part));
}

/// How many bytes [`encode`] appends.
#[must_use]
pub fn encoded_len(frame: &Frame) -> usize {
    let mut body = Counter(payload_len(frame));
    write_body_head(frame, &mut body);
    sum([1, varint::len(as_number(body.0)), body.0])
}

/// How many bytes [`encode_head`] appends for a DATA frame with that many bytes of payload.
#[must_use]
pub fn data_head_len(
    stream: StreamId,
    offset: u64,
    open: Option<&Open>,
    payload_len: usize,
) -> usize {
    let body_head = data_body_head_len(stream, offset, open);
    sum([1, varint::len(as_number(sum([body_head, payload_len]))), body_head])
}

/// How many bytes of payload a DATA frame can have so that its body takes `max_body` at most.
#[must_use]
pub fn data_room(max_body: usize, stream: StreamId, offset: u64, open: Option<&Open>) -> usize {
    max_body.saturating_sub(data_body_head_len(stream, offset, open))
}

fn data_body_head_len(stream: StreamId, offset: u64, open: Option<&Open>) -> usize {
    let open = open.map_or(0, |open| sum([2, open.protocol.len().min(MAX_PROTOCOL)]));
    sum([varint::len(stream.0), 1, varint::len(offset), open])
}

/// Adds up lengths of things that are in memory, which cannot overflow.
#[inline]
fn sum<const N: usize>(lengths: [usize; N]) -> usize {
    lengths.into_iter().fold(0, usize::saturating_add)
}

fn as_number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn payload(frame: &Frame) -> &[Bytes] {
    match frame {
        Frame::Data(data) => data.bytes.parts(),
        Frame::Datagram(datagram) => slice::from_ref(&datagram.bytes),
        _ => &[],
    }
}

fn payload_len(frame: &Frame) -> usize {
    payload(frame).iter().fold(0, |sum, part| sum.saturating_add(part.len()))
}

fn kind_of(frame: &Frame) -> u8 {
    match frame {
        Frame::Data(_) => kind::DATA,
        Frame::Reset(_) => kind::RESET,
        Frame::Stop(_) => kind::STOP,
        Frame::Credit(_) => kind::CREDIT,
        Frame::Blocked(_) => kind::BLOCKED,
        Frame::Streams { .. } => kind::STREAMS,
        Frame::Lack(_) => kind::LACK,
        Frame::Link(_) => kind::LINK,
        Frame::Query { .. } => kind::QUERY,
        Frame::Ping { .. } => kind::PING,
        Frame::Pong { .. } => kind::PONG,
        Frame::Datagram(_) => kind::DATAGRAM,
        Frame::Hello(_) => kind::HELLO,
        Frame::Key(_) => kind::KEY,
        Frame::Join { .. } => kind::JOIN,
        Frame::Auth(_) => kind::AUTH,
        Frame::Want { .. } => kind::WANT,
        Frame::Drain { .. } => kind::DRAIN,
        Frame::Close(_) => kind::CLOSE,
        Frame::Ignored { kind, .. } => *kind,
    }
}

/// Writes a frame's body except its payload.
fn write_body_head(frame: &Frame, out: &mut impl Sink) {
    match frame {
        Frame::Data(data) => write_data_head(data, out),
        Frame::Reset(reset) => {
            let fin_errors = if reset.fin_errors { bits::FIN_ERRORS } else { 0 };
            put_varint(out, reset.stream.0);
            out.put(&[flow_bit(reset.flow) | fin_errors]);
            put_varint(out, reset.code.0);
            put_varint(out, reset.final_size);
        }
        Frame::Stop(stop) => write_flow_number(stop.stream, stop.flow, stop.code.0, out),
        Frame::Credit(credit) => write_flow_number(credit.stream, credit.flow, credit.max, out),
        Frame::Blocked(blocked) => write_flow_number(blocked.stream, blocked.flow, blocked.at, out),
        Frame::Streams { max: number }
        | Frame::Ping { nonce: number }
        | Frame::Pong { nonce: number } => put_varint(out, *number),
        Frame::Lack(lack) => {
            put_varint(out, lack.link.0);
            put_varint(out, lack.delay_us);
            write_lanes(&lack.lanes, out);
        }
        Frame::Link(update) => {
            put_varint(out, update.link.0);
            out.put(&[state_byte(update.state), role_byte(update.role)]);
            write_lanes(&update.lanes, out);
        }
        Frame::Query { link } => put_varint(out, link.0),
        Frame::Datagram(datagram) => {
            put_varint(out, datagram.flow);
            put_varint(out, datagram.sequence);
            put_varint(out, datagram.ttl_ms);
        }
        Frame::Hello(hello) => out.put(&hello::encode(hello)),
        Frame::Key(key) => out.put(&key.0),
        Frame::Join { mac } => out.put(mac),
        Frame::Auth(proof) => out.put(first(proof, MAX_HELLO_BODY)),
        Frame::Want { sequence, held } => {
            put_varint(out, *sequence);
            out.put(&[u8::from(*held)]);
        }
        Frame::Drain { last } => {
            if let Some(stream) = last {
                put_varint(out, stream.0);
            }
        }
        Frame::Close(close) => write_close(close, out),
        Frame::Ignored { length, .. } => out.put_zeros((*length).min(MAX_HELLO_BODY)),
    }
}

#[inline]
fn write_data_head(data: &Data, out: &mut impl Sink) {
    let mut set = flow_bit(data.flow);
    for (bit, is_set) in [
        (bits::FIN, data.fin),
        (bits::OPEN, data.open.is_some()),
        (bits::FIN_ERRORS, data.fin_errors),
    ] {
        set |= if is_set { bit } else { 0 };
    }
    put_varint(out, data.stream.0);
    out.put(&[set]);
    put_varint(out, data.offset);
    if let Some(open) = &data.open {
        let length = u8::try_from(open.protocol.len()).unwrap_or(u8::MAX);
        out.put(&[class_byte(open.class), length]);
        out.put(first(&open.protocol, length.into()));
    }
}

fn write_flow_number(stream: StreamId, flow: Flow, number: u64, out: &mut impl Sink) {
    put_varint(out, stream.0);
    out.put(&[flow_bit(flow)]);
    put_varint(out, number);
}

fn write_close(close: &Close, out: &mut impl Sink) {
    put_varint(out, close.code.0);
    let end = close.reason.floor_char_boundary(MAX_REASON);
    out.put(first(close.reason.as_bytes(), end));
}

/// Writes `n × (lane, frames)` with `n` in front.
pub(super) fn write_lanes(lanes: &LaneCounts, out: &mut impl Sink) {
    let lanes = first(lanes, MAX_LANES_PER_FRAME);
    put_varint(out, as_number(lanes.len()));
    for (lane, frames) in lanes {
        put_varint(out, lane.0);
        put_varint(out, *frames);
    }
}

#[inline]
pub(super) fn put_varint(out: &mut impl Sink, value: u64) {
    let (bytes, length) = varint::write(value);
    out.put(first(&bytes, length));
}

/// The first `count` items, or all where there are fewer.
#[inline]
fn first<T>(items: &[T], count: usize) -> &[T] {
    items.get(..count).unwrap_or(items)
}

fn flow_bit(flow: Flow) -> u8 {
    match flow {
        Flow::Data => 0,
        Flow::Error => bits::ERR,
    }
}

fn class_byte(class: Class) -> u8 {
    match class {
        Class::Interactive => 0,
        Class::Normal => 1,
        Class::Bulk => 2,
    }
}

fn state_byte(state: LinkState) -> u8 {
    match state {
        LinkState::Alive => 0,
        LinkState::Suspect => 1,
        LinkState::Closing => 2,
        LinkState::Dead => 3,
    }
}

fn role_byte(role: LinkRole) -> u8 {
    match role {
        LinkRole::Active => 0,
        LinkRole::Standby => 1,
    }
}

/// Takes what is written, or only counts it: so lengths come from the code that writes.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
    fn put_zeros(&mut self, count: usize);
}

impl Sink for BytesMut {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_zeros(&mut self, count: usize) {
        self.put_bytes(0, count);
    }
}

struct Counter(usize);

impl Sink for Counter {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }

    fn put_zeros(&mut self, count: usize) {
        self.0 = self.0.saturating_add(count);
    }
}

/// The most bytes of a frame's type and length.
const MAX_FRAME_HEAD: usize = 9;
