//! Long frames, whose payload is taken as it lies in the packets that brought it.

use bytes::{Bytes, BytesMut};
use netcom_session::wire::{self, Data, DecodeError, Frame, FrameLimits, Payload};

/// A frame of data whose payload is still coming.
#[derive(Debug)]
pub(super) struct LongFrame {
    data: Data,
    missing: usize,
    parts: Parts,
}

/// Slices of packets in order. Those that lie beside each other in memory, as the packets of one
/// read of the socket do, make a run. One that is too short for the buffer that it pins is copied.
#[derive(Debug, Default)]
struct Parts {
    parts: Vec<Bytes>,
    /// The last run begins here.
    run: usize,
    run_bytes: usize,
    /// What is copied together, before the run.
    copied: BytesMut,
}

impl LongFrame {
    /// Begins with the frame that `buf` starts with, if it is a long one, and takes what is there
    /// of it. The end of it must be missing.
    pub(super) fn begin(
        buf: &mut BytesMut,
        limits: FrameLimits,
    ) -> Result<Option<Self>, DecodeError> {
        let Some((data, missing)) = wire::begin_data(buf, limits, LONG)? else {
            return Ok(None);
        };
        let mut long = Self { data, missing, parts: Parts::default() };
        long.parts.parts.reserve(missing / USUAL_PACKET);
        long.parts.copy(buf);
        long.missing -= buf.len().min(missing);
        buf.clear();
        Ok(Some(long))
    }

    /// Takes what belongs to the frame off the front of a packet.
    pub(super) fn take(&mut self, packet: &mut Bytes) {
        let part = packet.split_to(packet.len().min(self.missing));
        self.missing -= part.len();
        self.parts.push(part);
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    pub(super) fn finish(mut self) -> Frame {
        self.data.bytes = Payload::of_parts(self.parts.finish());
        Frame::Data(self.data)
    }
}

impl Parts {
    fn push(&mut self, part: Bytes) {
        if part.len() < SHORT || !self.continues(&part) {
            self.end_run();
        }
        if part.len() < SHORT {
            self.copy(&part);
        } else {
            self.run_bytes += part.len();
            self.parts.push(part);
        }
    }

    fn copy(&mut self, part: &[u8]) {
        self.copied.extend_from_slice(part);
    }

    /// Whether a part begins where the run ends, but for what lies between payloads in packets.
    fn continues(&self, part: &Bytes) -> bool {
        self.parts[self.run..].last().is_none_or(|last| {
            let end = last.as_ptr_range().end.addr();
            part.as_ptr().addr().checked_sub(end).is_some_and(|gap| gap <= MAX_GAP)
        })
    }

    fn end_run(&mut self) {
        if self.run_bytes < SHORT_RUN {
            self.copied.reserve(self.run_bytes);
            let run = self.parts.drain(self.run..);
            run.for_each(|part| self.copied.extend_from_slice(&part));
        } else {
            self.end_copied();
        }
        (self.run, self.run_bytes) = (self.parts.len(), 0);
    }

    fn end_copied(&mut self) {
        if !self.copied.is_empty() {
            self.parts.insert(self.run, std::mem::take(&mut self.copied).freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.end_run();
        self.end_copied();
        self.parts
    }
}

/// Payloads of this length and more are taken so: those of streams whose windows are wide.
const LONG: usize = 32 << 10;
/// The least that a packet of a long frame carries as a rule.
const USUAL_PACKET: usize = 1024;
/// A part shorter than this is copied: its entry in a queue would be long beside it.
const SHORT: usize = 512;
/// A run shorter than this is copied: an eighth of the 64 KiB that one read of the socket brings
/// at most, all of which a run may pin. Two such buffers that the allocator laid side by side look
/// like one, so it can be twice that, never more: all between the ends of a run belongs to it.
const SHORT_RUN: usize = 8 << 10;
/// The most bytes between the payloads of two packets of one read: the end of one and the head of
/// the next.
const MAX_GAP: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts what one read brought into packets with so many bytes of payload each.
    fn packets(payload: usize, count: usize) -> Vec<Bytes> {
        let read = Bytes::from(vec![7; (payload + 40) * count]);
        (0..count)
            .map(|n| read.slice(n * (payload + 40) + 30..(n + 1) * (payload + 40) - 10))
            .collect()
    }

    fn parts_of(packets: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
        let mut parts = Parts::default();
        packets.into_iter().for_each(|packet| parts.push(packet));
        parts.finish()
    }

    fn lengths(parts: &[Bytes]) -> Vec<usize> {
        parts.iter().map(Bytes::len).collect()
    }

    #[test]
    fn packets_of_one_read_are_kept_as_they_are() {
        let read = packets(1400, 10);
        let parts = parts_of(read.clone());
        assert_eq!(lengths(&parts), [1400; 10]);
        assert!(parts.iter().zip(&read).all(|(part, packet)| part.as_ptr() == packet.as_ptr()));
    }

    #[test]
    fn a_packet_alone_in_its_buffer_is_copied() {
        let alone: Vec<Bytes> = (0..4).map(|_| packets(1400, 40).swap_remove(20)).collect();
        let parts = parts_of(alone.clone());
        assert_eq!(lengths(&parts), [4 * 1400]);
        assert!(alone.iter().all(Bytes::is_unique), "nothing pins the buffers");
    }

    #[test]
    fn the_shortest_parts_are_copied_together() {
        let parts = parts_of(packets(1, 60_000));
        assert_eq!(lengths(&parts), [60_000]);
    }

    #[test]
    fn order_is_kept_between_what_is_copied_and_what_is_not() {
        let number = |n: u8, payload: usize, count: usize| {
            packets(payload, count).into_iter().map(move |p| vec![n; p.len()]).map(Bytes::from)
        };
        let sent: Vec<Bytes> = packets(1000, 3)
            .into_iter()
            .chain(number(1, 10, 1))
            .chain(packets(1400, 8))
            .chain(number(2, 1400, 1))
            .chain(number(3, 9000, 1))
            .collect();
        let parts = parts_of(sent.clone());
        assert_eq!(parts.concat(), sent.concat());
        assert_eq!(lengths(&parts)[0], 3010, "what is short is one part");
    }
}
