//! What all peers do on streams that read and write slices.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Bulk, CHUNK, MESSAGE, Message};

/// Serves one stream: its first byte says what for.
pub(super) async fn serve<S>(mut stream: S) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match stream.read_u8().await? {
        BULK => {
            let mut buffer = vec![0; CHUNK];
            let mut bytes = 0;
            loop {
                match stream.read(&mut buffer).await? {
                    0 => break,
                    read => bytes += read as u64,
                }
            }
            stream.write_u64(bytes).await?;
        }
        ECHO => {
            let mut message = [0; MESSAGE];
            while stream.read_exact(&mut message).await.is_ok() {
                stream.write_all(&message).await?;
                stream.flush().await?;
            }
        }
        REQUEST => {
            let mut message = [0; MESSAGE];
            stream.read_exact(&mut message).await?;
            ensure!(stream.read(&mut [0; 1]).await? == 0, "a request ends after its message");
            stream.write_all(&message).await?;
        }
        other => bail!("no stream is for {other}"),
    }
    stream.flush().await?;
    stream.shutdown().await?;
    Ok(())
}

/// Sends on a fresh stream for that long.
pub(super) async fn bulk<S>(mut stream: S, duration: Duration) -> Result<Bulk>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let chunk = chunk();
    stream.write_u8(BULK).await?;
    let begin = Instant::now();
    let mut bytes = 0;
    while begin.elapsed() < duration {
        stream.write_all(&chunk).await?;
        bytes += chunk.len() as u64;
    }
    stream.shutdown().await?;
    let counted = stream.read_u64().await?;
    let took = begin.elapsed();
    ensure!(counted == bytes, "{counted} of {bytes} bytes arrived");
    Ok(Bulk { bytes, took })
}

/// Makes a fresh stream one for [`round_trip`].
pub(super) async fn open<S>(mut stream: S) -> Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_u8(ECHO).await?;
    stream.flush().await?;
    Ok(stream)
}

/// A message there and back.
pub(super) async fn round_trip<S>(stream: &mut S, message: Message) -> Result<Message>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&message).await?;
    stream.flush().await?;
    let mut answer = [0; MESSAGE];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// A message there and back on a fresh stream, to the end of the stream.
pub(super) async fn request<S>(mut stream: S, message: Message) -> Result<Message>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&request_bytes(message)).await?;
    stream.shutdown().await?;
    let mut answer = [0; MESSAGE];
    stream.read_exact(&mut answer).await?;
    ensure!(stream.read(&mut [0; 1]).await? == 0, "an answer ends after its message");
    Ok(answer)
}

/// What a request is on a stream.
pub(super) fn request_bytes(message: Message) -> [u8; 1 + MESSAGE] {
    let mut bytes = [REQUEST; 1 + MESSAGE];
    bytes[1..].copy_from_slice(&message);
    bytes
}

/// Bytes that are no page of zeros.
pub(super) fn chunk() -> Vec<u8> {
    (0..CHUNK).map(|index| (index % 251) as u8).collect()
}

pub(super) const BULK: u8 = b'b';
pub(super) const ECHO: u8 = b'e';
pub(super) const REQUEST: u8 = b'r';
