//! Bytes through the control socket, with an end and with errors.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
};

use super::MAX_PIECE_BYTES;
use crate::{
    failure::{Exit, Failure},
    transfer::{Sink, Source, TransferError},
};

/// Pieces that come.
pub(crate) struct FramedSource {
    half: OwnedReadHalf,
    buffer: BytesMut,
    is_finished: bool,
}

/// Pieces that go.
pub(crate) struct FramedSink {
    half: OwnedWriteHalf,
}

/// What a piece is.
pub(super) enum Piece {
    Bytes(Bytes),
    End,
    Failed(Failure, bool),
}

const HEAD: usize = 5;
const BYTES: u8 = 0;
const END: u8 = 1;
const FAILED: u8 = 2;
const FAILED_RETRYABLE: u8 = 3;

impl FramedSource {
    /// Goes on after the lines; `buffer` holds what was read too much.
    pub(super) fn new(half: OwnedReadHalf, buffer: BytesMut) -> Self {
        Self { half, buffer, is_finished: false }
    }
}

impl Piece {
    /// Takes one piece off the front; `None` while bytes of it are missing.
    pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Self>, TransferError> {
        let Some(head) = buffer.first_chunk::<HEAD>() else { return Ok(None) };
        let [kind, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_PIECE_BYTES || kind > FAILED_RETRYABLE {
            return Err(broken("a piece that cannot be"));
        }
        if buffer.len() < HEAD + length {
            return Ok(None);
        }
        buffer.advance(HEAD);
        let body = buffer.split_to(length).freeze();
        Ok(Some(match kind {
            BYTES => Self::Bytes(body),
            END => Self::End,
            _ => {
                let value: Option<Value> = serde_json::from_slice(&body).ok();
                let failure = value.as_ref().and_then(Failure::from_json);
                let unknown = || Failure::failed("unknown", "the running node failed");
                Self::Failed(failure.unwrap_or_else(unknown), kind == FAILED_RETRYABLE)
            }
        }))
    }
}

impl Source for FramedSource {
    async fn take(&mut self) -> Result<Option<Bytes>, TransferError> {
        while !self.is_finished {
            match Piece::take(&mut self.buffer)? {
                Some(Piece::Bytes(bytes)) if bytes.is_empty() => continue,
                Some(Piece::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Piece::End) => self.is_finished = true,
                Some(Piece::Failed(failure, is_retryable)) => {
                    return Err(TransferError::stream(failure, is_retryable));
                }
                // A piece that is complete was used up, so there is always something to read for.
                None => match self.half.read_buf(&mut self.buffer).await {
                    Ok(0) => return Err(broken("the running node went away")),
                    Ok(_) => {}
                    Err(error) => return Err(broken(&error.to_string())),
                },
            }
        }
        Ok(None)
    }
}

impl FramedSink {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self { half }
    }

    /// Ends the direction with an error.
    pub(super) async fn fail(
        &mut self,
        failure: &Failure,
        is_retryable: bool,
    ) -> Result<(), TransferError> {
        let kind = if is_retryable { FAILED_RETRYABLE } else { FAILED };
        let mut body = failure.to_json().to_string();
        // It is shown to a person; nobody needs more.
        if body.len() > MAX_PIECE_BYTES {
            body = Failure::failed(failure.code.clone(), "").to_json().to_string();
        }
        self.write(kind, body.as_bytes()).await
    }

    async fn write(&mut self, kind: u8, body: &[u8]) -> Result<(), TransferError> {
        let mut head = [0; HEAD];
        let mut out = &mut head[..];
        out.put_u8(kind);
        out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        let writing = async {
            self.half.write_all(&head).await?;
            self.half.write_all(body).await
        };
        writing.await.map_err(|error| broken(&error.to_string()))
    }
}

impl Sink for FramedSink {
    async fn give(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        for piece in bytes.chunks(MAX_PIECE_BYTES) {
            self.write(BYTES, piece).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        self.write(END, &[]).await
    }
}

/// The socket is gone, and with it the running node: another attempt does without.
fn broken(why: &str) -> TransferError {
    let message = format!("the running node cannot be asked: {why}");
    TransferError::stream(Failure::new(Exit::Unreachable, "control", message), true)
}
