//! From chunks of bytes to frames, without a copy where a frame lies within one chunk, or is long.

use bytes::{Bytes, BytesMut};
use netcom_session::wire::{self, DecodeError, Frame, FrameLimits};

use super::{blocks, long::LongFrame};

/// Reads the frames of one lane.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limits: FrameLimits,
    /// The start of a frame whose end has not come; shorter than the longest frame.
    rest: BytesMut,
    /// It lies in a block of the pool.
    is_block: bool,
    /// A long frame that began before `rest`.
    long: Option<LongFrame>,
}

impl FrameReader {
    /// Starts at a frame's boundary.
    pub(crate) fn new(limits: FrameLimits) -> Self {
        Self { limits, rest: BytesMut::new(), is_block: false, long: None }
    }

    /// Takes a chunk in and appends the frames that are complete.
    pub(crate) fn push(
        &mut self,
        mut chunk: BytesMut,
        frames: &mut Vec<Frame>,
    ) -> Result<(), DecodeError> {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(&chunk);
            return self.drain(frames);
        }
        let result = take_all(&mut chunk, self.limits, frames, |_| ());
        // Copied, so that an unfinished frame pins no read buffer.
        self.rest.extend_from_slice(&chunk);
        result
    }

    /// Appends the frames that are complete among the bytes held.
    pub(crate) fn drain(&mut self, frames: &mut Vec<Frame>) -> Result<(), DecodeError> {
        let result = take_all(&mut self.rest, self.limits, frames, |_| ());
        if self.rest.is_empty() {
            self.rest = BytesMut::new();
        }
        result
    }

    /// Keeps a chunk for later.
    pub(crate) fn hold(&mut self, chunk: &[u8]) {
        self.rest.extend_from_slice(chunk);
    }

    /// Takes packets' worth of bytes in and appends the frames that are complete. The payload of a
    /// long one stays in its packets, if `may_hold` allows to begin with one; everything else is
    /// joined in a block, and frames are slices of it. The start of an unfinished frame stays in
    /// the block, unless it is so short that it would pin the block for little. Whenever there are
    /// many frames, `take` empties the vector first.
    pub(crate) fn gather(
        &mut self,
        chunks: impl IntoIterator<Item = Bytes>,
        may_hold: bool,
        frames: &mut Vec<Frame>,
        mut take: impl FnMut(&mut Vec<Frame>),
    ) -> Result<(), DecodeError> {
        // What came behind the link's first frame was held without being read.
        take_all(&mut self.rest, self.limits, frames, &mut take)?;
        for mut chunk in chunks {
            if let Some(long) = &mut self.long {
                long.take(&mut chunk);
                if long.is_whole() {
                    frames.extend(self.long.take().map(LongFrame::finish));
                }
            }
            if chunk.is_empty() {
                continue;
            }
            if self.rest.capacity() - self.rest.len() < chunk.len() {
                let mut block = blocks::take();
                block.extend_from_slice(&self.rest);
                self.replace(block, true);
            }
            self.rest.extend_from_slice(&chunk);
            take_all(&mut self.rest, self.limits, frames, &mut take)?;
            if may_hold {
                self.long = LongFrame::begin(&mut self.rest, self.limits)?;
            }
        }
        if blocks::pins_too_much(self.rest.len()) {
            self.replace(BytesMut::from(&self.rest[..]), false);
        }
        Ok(())
    }

    /// Whether it holds packets of a long frame.
    pub(crate) fn holds_packets(&self) -> bool {
        self.long.is_some()
    }

    fn replace(&mut self, rest: BytesMut, is_block: bool) {
        let before = std::mem::replace(&mut self.rest, rest);
        if std::mem::replace(&mut self.is_block, is_block) {
            blocks::give_back(before);
        }
    }

    /// Takes one frame from the bytes held.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        wire::decode(&mut self.rest, self.limits)
    }

    /// Whether the bytes so far end at a frame's boundary.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.rest.is_empty() && self.long.is_none()
    }
}

impl Drop for FrameReader {
    fn drop(&mut self) {
        self.replace(BytesMut::new(), false);
    }
}

/// Forgets the frames of a read, and what a peer that sends the shortest ones made of their room.
pub(crate) fn forget(frames: &mut Vec<Frame>) {
    frames.clear();
    frames.shrink_to(MAX_FRAMES_PER_READ);
}

/// Frames after which a read goes to the session: in memory the shortest ones are fifty times as
/// long as on the wire. One record more may come with them.
pub(crate) const MAX_FRAMES_PER_READ: usize = 1024;

fn take_all(
    buf: &mut BytesMut,
    limits: FrameLimits,
    frames: &mut Vec<Frame>,
    mut take: impl FnMut(&mut Vec<Frame>),
) -> Result<(), DecodeError> {
    while let Some(mut frame) = wire::decode(buf, limits)? {
        unpin(&mut frame);
        frames.push(frame);
        if frames.len() >= MAX_FRAMES_PER_READ {
            take(frames);
        }
    }
    Ok(())
}

/// Copies a payload that would pin a read buffer many times its size.
fn unpin(frame: &mut Frame) {
    let bytes = match frame {
        Frame::Data(data) => match data.bytes.as_slice_mut() {
            Some(bytes) => bytes,
            None => return,
        },
        Frame::Datagram(datagram) => &mut datagram.bytes,
        Frame::Auth(proof) => proof,
        _ => return,
    };
    if !bytes.is_empty() && blocks::pins_too_much(bytes.len()) {
        *bytes = Bytes::copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use netcom_session::{
        Flow, StreamId,
        wire::{Data, encode},
    };

    use super::*;

    fn data(offset: u64, length: usize) -> Frame {
        Frame::Data(Data {
            stream: StreamId(0),
            flow: Flow::Data,
            offset,
            fin: false,
            fin_errors: false,
            open: None,
            bytes: vec![offset as u8; length].into(),
        })
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let sent: Vec<Frame> =
            vec![data(1, 0), data(2, 5), Frame::Ping { nonce: 7 }, data(3, 16_000), data(4, 300)];
        let mut bytes = BytesMut::new();
        for frame in &sent {
            encode(frame, &mut bytes);
        }
        for cut in [1, 2, 3, 7, 100, 4096, bytes.len()] {
            let mut reader = FrameReader::new(FrameLimits::TLS);
            let mut got = Vec::new();
            for chunk in bytes.chunks(cut) {
                reader.push(BytesMut::from(chunk), &mut got).unwrap();
            }
            assert_eq!(got, sent, "cut into pieces of {cut}");
            assert!(reader.is_at_boundary());
        }
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut_into_packets_and_packets_into_reads() {
        let sent: Vec<Frame> = (0..40)
            .map(|index| data(index, [65_000, 3, 20_000, 1200][index as usize % 4]))
            .collect();
        let mut bytes = BytesMut::new();
        for frame in &sent {
            encode(frame, &mut bytes);
        }
        let cuts = [(1, 64), (100, 7), (1200, 1), (1200, 10), (1452, 64), (60_000, 3)];
        for ((packet, packets), may_hold) in
            cuts.into_iter().flat_map(|cut| [(cut, true), (cut, false)])
        {
            let mut reader = FrameReader::new(FrameLimits::QUIC);
            let mut got = Vec::new();
            let chunks = bytes.chunks(packet).map(Bytes::copy_from_slice);
            for read in chunks.collect::<Vec<_>>().chunks(packets) {
                let few = |_: &mut Vec<Frame>| panic!("these are few");
                reader.gather(read.to_vec(), may_hold, &mut got, few).unwrap();
            }
            assert!(got == sent, "{packets} packets of {packet} bytes a read, held: {may_hold}");
            assert!(reader.is_at_boundary() && !reader.is_block);
        }
    }

    fn gather(reader: &mut FrameReader, bytes: &[u8]) -> usize {
        let (mut frames, mut longest) = (Vec::new(), 0);
        let chunks = bytes.chunks(1400).map(Bytes::copy_from_slice);
        let take = |frames: &mut Vec<Frame>| {
            longest = longest.max(frames.len());
            frames.clear();
        };
        reader.gather(chunks, false, &mut frames, take).unwrap();
        longest.max(frames.len())
    }

    #[test]
    fn what_came_behind_the_first_frame_waits_for_nothing_more() {
        let (sent, mut bytes) = ([Frame::Ping { nonce: 1 }, data(0, 30_000)], BytesMut::new());
        sent.iter().for_each(|frame| encode(frame, &mut bytes));
        let mut reader = FrameReader::new(FrameLimits::QUIC);
        reader.hold(&bytes);
        let mut got = vec![reader.next().unwrap().unwrap()];
        reader.gather([], true, &mut got, |_| panic!("these are few")).unwrap();
        assert_eq!(got, sent);
    }

    #[test]
    fn the_shortest_frames_are_taken_before_they_are_many() {
        let shortest = [0x80, 0].repeat(100_000);
        assert_eq!(gather(&mut FrameReader::new(FrameLimits::QUIC), &shortest), 1024);
    }

    #[test]
    fn a_frame_that_has_hardly_begun_holds_no_block() {
        let mut bytes = BytesMut::new();
        encode(&data(1, 60_000), &mut bytes);
        let mut reader = FrameReader::new(FrameLimits::QUIC);
        gather(&mut reader, &bytes[..100]);
        assert!(!reader.is_block && reader.rest.capacity() <= 128);
        gather(&mut reader, &bytes[100..40_000]);
        assert!(reader.is_block);
    }

    #[test]
    fn a_long_payload_is_a_slice_and_a_short_one_a_copy() {
        let mut bytes = BytesMut::new();
        encode(&data(1, 16_000), &mut bytes);
        encode(&data(2, 100), &mut bytes);
        let range = bytes.as_ptr_range();
        let mut got = Vec::new();
        FrameReader::new(FrameLimits::TLS).push(bytes, &mut got).unwrap();
        let is_slice = |frame: &Frame| match frame {
            Frame::Data(data) => range.contains(&data.bytes.parts()[0].as_ptr()),
            _ => false,
        };
        assert!(is_slice(&got[0]));
        assert!(!is_slice(&got[1]));
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_bytes_come() {
        let mut reader = FrameReader::new(FrameLimits::TLS);
        let mut got = Vec::new();
        let chunk = BytesMut::from(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(reader.push(chunk, &mut got).is_err());
        assert!(reader.rest.capacity() < 1024);
    }
}
