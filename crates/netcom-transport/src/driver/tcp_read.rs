//! The reading half of a TCP link.

use std::io;

use bytes::BytesMut;
use netcom_session::{
    LinkLoss,
    wire::{DecodeError, Frame, FrameLimits},
};
use rustls::AlertDescription;
use tokio::{io::Interest, net::TcpStream};

use super::{
    blocks,
    frames::{FrameReader, MAX_FRAMES_PER_READ},
    tcp::loss,
};
use crate::{
    handshake::alert_name,
    record::{MAX_RECORD, Opener, Record, RecordError},
};

/// Reads records and frames.
#[derive(Debug)]
pub(crate) struct Reader {
    opener: Opener,
    /// Bytes as they came. A block of the pool while bytes are ready, else exactly as long as an
    /// unfinished record's start.
    received: BytesMut,
    is_block: bool,
    frames: FrameReader,
    is_key_update_requested: bool,
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum ReadStop {
    /// Nothing more is there now.
    Drained,
    /// As many bytes were read as allowed.
    Limit,
    /// Nothing more will come.
    Ended(ReadEnd),
}

/// How the peer's bytes ended.
#[derive(Debug)]
pub(crate) struct ReadEnd {
    pub(crate) loss: LinkLoss,
    /// What to tell the peer's security layer.
    pub(crate) alert: Option<AlertDescription>,
}

impl Reader {
    /// Takes over after a handshake, with what came behind it.
    pub(crate) fn new(opener: Opener, received: &[u8]) -> Self {
        Self {
            opener,
            // Copied, so that a link that idles from the start keeps no handshake's buffer.
            received: BytesMut::from(received),
            is_block: false,
            frames: FrameReader::new(FrameLimits::TLS),
            is_key_update_requested: false,
        }
    }

    /// Reads at most about `limit` bytes and appends their frames. Frames that came before the
    /// link's end are appended too.
    pub(crate) fn read(
        &mut self,
        stream: &TcpStream,
        frames: &mut Vec<Frame>,
        limit: usize,
    ) -> (ReadStop, usize) {
        let mut count = 0;
        let stop = loop {
            if let Err(end) = self.open_records(frames) {
                break ReadStop::Ended(end);
            }
            if count >= limit || frames.len() >= MAX_FRAMES_PER_READ {
                break ReadStop::Limit;
            }
            match self.receive(stream) {
                Ok(Received::Bytes(received)) => count += received,
                Ok(Received::Last(received)) => {
                    count += received;
                    break match self.open_records(frames) {
                        Ok(()) if frames.len() < MAX_FRAMES_PER_READ => ReadStop::Drained,
                        Ok(()) => ReadStop::Limit,
                        Err(end) => ReadStop::Ended(end),
                    };
                }
                Ok(Received::Nothing) => break ReadStop::Drained,
                Ok(Received::End) => break ReadStop::Ended(ReadEnd::silent(LinkLoss::Reset)),
                Err(error) => break ReadStop::Ended(ReadEnd::silent(loss(&error))),
            }
        };
        if matches!(stop, ReadStop::Drained) {
            self.park();
        }
        (stop, count)
    }

    /// Takes the first frame off what was read, if it is complete.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, ReadEnd> {
        loop {
            if let Some(frame) = self.frames.next().map_err(ReadEnd::malformed)? {
                return Ok(Some(frame));
            }
            match self.opener.open(&mut self.received).map_err(|error| ReadEnd::insecure(&error))? {
                None => return Ok(None),
                Some(Record::Data(chunk)) => self.frames.hold(&chunk),
                Some(other) => self.handle(&other)?,
            }
        }
    }

    /// Reads once, without blocking.
    pub(crate) fn read_once(&mut self, stream: &TcpStream) -> Result<(), ReadEnd> {
        match self.receive(stream) {
            Ok(Received::End) => Err(ReadEnd::silent(LinkLoss::Reset)),
            Ok(_) => Ok(()),
            Err(error) => Err(ReadEnd::silent(loss(&error))),
        }
    }

    /// Reads what is there and forgets it. True at the end of the peer's bytes.
    pub(crate) fn discard(&mut self, stream: &TcpStream) -> io::Result<bool> {
        for _ in 0..16 {
            self.received.clear();
            match self.receive(stream)? {
                Received::End => return Ok(true),
                Received::Nothing | Received::Last(_) => break,
                Received::Bytes(_) => {}
            }
        }
        self.received.clear();
        self.park();
        Ok(false)
    }

    /// Whether the peer asked for a new key of ours since the last call.
    pub(crate) fn take_key_update_request(&mut self) -> bool {
        std::mem::take(&mut self.is_key_update_requested)
    }

    fn open_records(&mut self, frames: &mut Vec<Frame>) -> Result<(), ReadEnd> {
        self.frames.drain(frames).map_err(ReadEnd::malformed)?;
        while frames.len() < MAX_FRAMES_PER_READ
            && let Some(record) =
                self.opener.open(&mut self.received).map_err(|error| ReadEnd::insecure(&error))?
        {
            match record {
                Record::Data(chunk) => {
                    self.frames.push(chunk, frames).map_err(ReadEnd::malformed)?;
                }
                other => self.handle(&other)?,
            }
        }
        Ok(())
    }

    fn handle(&mut self, record: &Record) -> Result<(), ReadEnd> {
        match record {
            Record::CloseNotify if self.frames.is_at_boundary() => {
                Err(ReadEnd::silent(LinkLoss::Closed))
            }
            // A goodbye in the middle of a frame is none.
            Record::CloseNotify => Err(ReadEnd::silent(LinkLoss::Reset)),
            Record::KeyUpdateRequested => {
                self.is_key_update_requested = true;
                Ok(())
            }
            Record::Nothing | Record::Data(_) => Ok(()),
        }
    }

    /// One read into the block, after making room for a whole record at least.
    fn receive(&mut self, stream: &TcpStream) -> io::Result<Received> {
        if self.received.capacity() - self.received.len() < MAX_RECORD {
            let mut block = blocks::take();
            block.extend_from_slice(&self.received);
            let full = std::mem::replace(&mut self.received, block);
            if std::mem::replace(&mut self.is_block, true) {
                blocks::give_back(full);
            }
        }
        let room = self.received.capacity() - self.received.len();
        let mut count = None;
        // A short read emptied the socket: saying so spares the call that would find it empty.
        let result = stream.try_io(Interest::READABLE, || {
            let read = stream.try_read_buf(&mut self.received)?;
            count = Some(read);
            if read > 0 && read < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (count, result) {
            (Some(0), _) => Ok(Received::End),
            (Some(read), Ok(())) => Ok(Received::Bytes(read)),
            (Some(read), Err(_)) => Ok(Received::Last(read)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Received::Nothing)
            }
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(Received::Nothing),
        }
    }

    /// Gives the block back before waiting.
    fn park(&mut self) {
        if std::mem::take(&mut self.is_block) {
            let rest = BytesMut::from(&self.received[..]);
            blocks::give_back(std::mem::replace(&mut self.received, rest));
        }
    }
}

enum Received {
    /// Bytes, and there may be more.
    Bytes(usize),
    /// Bytes, and then nothing for now.
    Last(usize),
    Nothing,
    End,
}

impl ReadEnd {
    fn silent(loss: LinkLoss) -> Self {
        Self { loss, alert: None }
    }

    fn malformed(error: DecodeError) -> Self {
        tracing::debug!(%error, "Peer sent no valid frame");
        Self { loss: LinkLoss::Malformed(error.code()), alert: None }
    }

    fn insecure(error: &RecordError) -> Self {
        let alert = match error {
            RecordError::Alert(alert) => {
                return Self::silent(LinkLoss::Tls(alert_name(*alert)));
            }
            RecordError::Header | RecordError::Idle => AlertDescription::RecordOverflow,
            RecordError::Decrypt => AlertDescription::BadRecordMac,
            RecordError::Unexpected => AlertDescription::UnexpectedMessage,
            RecordError::Protect => AlertDescription::InternalError,
        };
        Self { loss: LinkLoss::Tls(error.to_string()), alert: Some(alert) }
    }
}
