//! What all peers with streams do on them, at both ends.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf},
    task::{JoinSet, coop::consume_budget},
};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::{
    CHUNK, LETTER, MESSAGE, SMALL_CHUNK,
    case::Case,
    client::{Echo, Message, Sent},
    tasks,
};

/// The sending half of a stream: slices by its writer, and owned bytes if the peer takes them.
pub trait Put: Send + 'static {
    type Writer: AsyncWrite + Send + Unpin;

    fn writer(&mut self) -> &mut Self::Writer;

    /// Writes all of the bytes, by the peer's fastest interface.
    fn put(&mut self, bytes: Bytes) -> impl Future<Output = Result<()>> + Send {
        async move { Ok(self.writer().write_all(&bytes).await?) }
    }

    /// Lets go of what was written, for a peer that holds it back.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(self.writer().flush().await?) }
    }

    /// Ends the stream.
    fn finish(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(self.writer().shutdown().await?) }
    }
}

/// The receiving half of a stream.
pub trait Take: Send + 'static {
    type Reader: AsyncRead + Send + Unpin;

    fn reader(&mut self) -> &mut Self::Reader;

    /// Takes at most so many of the next bytes, by the peer's fastest interface, and tells how
    /// many they were; none at the end.
    fn take(&mut self, max: usize) -> impl Future<Output = Result<usize>> + Send;
}

/// A half that moves slices and nothing else.
#[derive(Debug)]
pub struct Slices<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S> Slices<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }
}

impl<S: AsyncWrite + Send + Unpin + 'static> Put for Slices<S> {
    type Writer = S;

    fn writer(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Send + Unpin + 'static> Take for Slices<S> {
    type Reader = S;

    fn reader(&mut self) -> &mut S {
        &mut self.stream
    }

    async fn take(&mut self, max: usize) -> Result<usize> {
        if self.buffer.len() < max {
            self.buffer.resize(max, 0);
        }
        Ok(self.stream.read(&mut self.buffer[..max]).await?)
    }
}

/// Both halves of a stream that moves slices.
pub type Halves<S> = (Slices<WriteHalf<S>>, Slices<ReadHalf<S>>);

/// Splits a stream that moves slices.
pub fn split<S: AsyncRead + AsyncWrite>(stream: S) -> Halves<S> {
    let (reader, writer) = tokio::io::split(stream);
    (Slices::new(writer), Slices::new(reader))
}

/// Serves one stream: its first byte says what for.
pub async fn serve<P: Put, T: Take>(mut put: P, mut take: T) -> Result<()> {
    match take.reader().read_u8().await? {
        BULK => count(&mut put, &mut take, CHUNK).await?,
        SLICES => {
            let mut buffer = vec![0; CHUNK];
            let mut bytes = 0;
            loop {
                match take.reader().read(&mut buffer).await? {
                    0 => break,
                    read => bytes += read as u64,
                }
            }
            put.writer().write_u64(bytes).await?;
        }
        DOWN => {
            let duration = Duration::from_micros(take.reader().read_u64().await?);
            send(&mut put, duration).await?;
            put.finish().await?;
            // The client finishes once it has all, and is heard.
            ensure!(take.take(1).await? == 0, "nothing follows what was asked");
            return Ok(());
        }
        BOTH => {
            let duration = Duration::from_micros(take.reader().read_u64().await?);
            let are_apart = take.reader().read_u8().await? == 1;
            both(&mut put, take, duration, are_apart, false).await?;
            // Its end tells the client that everything arrived.
            return put.finish().await;
        }
        ECHO => {
            let mut message = [0; MESSAGE];
            while take.reader().read_exact(&mut message).await.is_ok() {
                put.put(Bytes::copy_from_slice(&message)).await?;
                put.flush().await?;
            }
        }
        ECHO_BY_TASKS => return tasks::echo(put, take).await,
        REQUEST => {
            let mut message = [0; MESSAGE];
            take.reader().read_exact(&mut message).await?;
            ensure!(take.take(1).await? == 0, "a request ends after its message");
            put.put(Bytes::copy_from_slice(&message)).await?;
        }
        MESSAGES => {
            let mut messages = FramedRead::with_capacity(
                take.reader(),
                LengthDelimitedCodec::new(),
                MESSAGES_BUFFER,
            );
            let mut count = 0;
            while let Some(message) = messages.next().await {
                ensure!(message?.len() == LETTER, "all messages are of one length");
                count += 1;
            }
            put.writer().write_u64(count).await?;
        }
        STREAMS => {
            put.put(Bytes::from_static(&[STREAMS])).await?;
            put.flush().await?;
            count(&mut put, &mut take, SMALL_CHUNK).await?;
        }
        other => bail!("no stream is for {other}"),
    }
    put.flush().await?;
    put.finish().await
}

/// Sends on a fresh stream for that long.
pub async fn bulk<P: Put, T: Take>(
    mut put: P,
    mut take: T,
    case: Case,
    duration: Duration,
) -> Result<Sent> {
    let by_slices = case == Case::BulkSlices;
    put.put(Bytes::from_static(if by_slices { &[SLICES] } else { &[BULK] })).await?;
    let begin = Instant::now();
    let bytes = match by_slices {
        true => {
            let chunk = chunk(CHUNK);
            let mut bytes = 0;
            while begin.elapsed() < duration {
                put.writer().write_all(&chunk).await?;
                bytes += chunk.len() as u64;
            }
            bytes
        }
        false => send(&mut put, duration).await?,
    };
    put.finish().await?;
    let counted = take.reader().read_u64().await?;
    let took = begin.elapsed();
    ensure!(counted == bytes, "{counted} of {bytes} bytes arrived");
    Ok(Sent { count: bytes, took })
}

/// Receives on a fresh stream what the server sends for that long. This end finishes after the
/// other: a TCP socket that is half closed takes a slower way through the kernel.
pub async fn bulk_down<P: Put, T: Take>(mut put: P, take: T, duration: Duration) -> Result<Sent> {
    let mut head = vec![DOWN];
    head.extend(u64::try_from(duration.as_micros())?.to_be_bytes());
    let begin = Instant::now();
    put.put(head.into()).await?;
    put.flush().await?;
    let count = drain(take).await?;
    let took = begin.elapsed();
    // The server's end of the stream says that this is all.
    let is_whole = count > 0 && count.is_multiple_of(CHUNK as u64);
    ensure!(is_whole, "{count} bytes came, which are no whole chunks");
    put.finish().await?;
    Ok(Sent { count, took })
}

/// Sends and receives on a fresh stream for that long.
pub async fn bulk_both<P: Put, T: Take>(
    mut put: P,
    take: T,
    duration: Duration,
    are_apart: bool,
) -> Result<Sent> {
    let mut head = vec![BOTH];
    head.extend(u64::try_from(duration.as_micros())?.to_be_bytes());
    head.push(u8::from(are_apart));
    put.put(head.into()).await?;
    let begin = Instant::now();
    let count = both(&mut put, take, duration, are_apart, true).await?;
    Ok(Sent { count, took: begin.elapsed() })
}

/// Sends and receives at once, by a task each or by one for both, and tells the bytes of both.
async fn both<P: Put, T: Take>(
    put: &mut P,
    take: T,
    duration: Duration,
    are_apart: bool,
    is_first_to_finish: bool,
) -> Result<u64> {
    let sending = async {
        let sent = send(put, duration).await?;
        if is_first_to_finish {
            put.finish().await?;
        }
        anyhow::Ok(sent)
    };
    let (sent, received) = if are_apart {
        let receiving = tokio::spawn(drain(take));
        (sending.await?, receiving.await??)
    } else {
        tokio::try_join!(sending, drain(take))?
    };
    Ok(sent + received)
}

/// Makes a fresh stream one for round trips.
pub async fn open<P: Put, T: Take>(mut put: P, take: T) -> Result<(P, T)> {
    put.put(Bytes::from_static(&[ECHO])).await?;
    put.flush().await?;
    Ok((put, take))
}

/// The same for a peer without tasks of its own, which gets one at each end.
pub async fn open_by_tasks<P: Put, T: Take>(mut put: P, take: T) -> Result<tasks::Ends> {
    put.put(Bytes::from_static(&[ECHO_BY_TASKS])).await?;
    put.flush().await?;
    Ok(tasks::start(put, take))
}

impl<P: Put, T: Take> Echo for (P, T) {
    async fn exchange(&mut self, message: Message) -> Result<Message> {
        let (put, take) = self;
        put.put(Bytes::copy_from_slice(&message)).await?;
        put.flush().await?;
        let mut answer = [0; MESSAGE];
        take.reader().read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// A message there and back on a fresh stream, to the end of the stream.
pub async fn request<P: Put, T: Take>(
    mut put: P,
    mut take: T,
    message: Message,
) -> Result<Message> {
    let mut bytes = [REQUEST; 1 + MESSAGE];
    bytes[1..].copy_from_slice(&message);
    put.put(Bytes::copy_from_slice(&bytes)).await?;
    put.finish().await?;
    let mut answer = [0; MESSAGE];
    take.reader().read_exact(&mut answer).await?;
    ensure!(take.take(1).await? == 0, "an answer ends after its message");
    Ok(answer)
}

/// Sends messages behind their lengths on a fresh stream for that long.
pub async fn messages<P: Put, T: Take>(
    mut put: P,
    mut take: T,
    duration: Duration,
) -> Result<Sent> {
    put.put(Bytes::from_static(&[MESSAGES])).await?;
    let message = Bytes::from(chunk(LETTER));
    let begin = Instant::now();
    let mut sent = 0;
    let mut framed = FramedWrite::new(put.writer(), LengthDelimitedCodec::new());
    framed.set_backpressure_boundary(MESSAGES_BUFFER);
    while begin.elapsed() < duration {
        framed.feed(message.clone()).await?;
        sent += 1;
    }
    SinkExt::<Bytes>::flush(&mut framed).await?;
    put.finish().await?;
    let counted = take.reader().read_u64().await?;
    let took = begin.elapsed();
    ensure!(counted == sent, "{counted} of {sent} messages arrived");
    Ok(Sent { count: sent, took })
}

/// Makes a fresh stream one of [`many`], and waits until the server has it.
pub async fn greet<P: Put, T: Take>(mut put: P, mut take: T) -> Result<(P, T)> {
    put.put(Bytes::from_static(&[STREAMS])).await?;
    put.flush().await?;
    ensure!(take.reader().read_u8().await? == STREAMS, "the server greets");
    Ok((put, take))
}

/// Sends on all streams at once for that long, and waits until the server has counted each.
pub async fn many<P: Put, T: Take>(streams: Vec<(P, T)>, duration: Duration) -> Result<Sent> {
    let chunk = Bytes::from(chunk(SMALL_CHUNK));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut put, mut take) in streams {
        let chunk = chunk.clone();
        tasks.spawn(async move {
            let mut bytes = 0;
            while begin.elapsed() < duration {
                put.put(chunk.clone()).await?;
                bytes += chunk.len() as u64;
            }
            put.finish().await?;
            let counted = take.reader().read_u64().await?;
            ensure!(counted == bytes, "{counted} of {bytes} bytes arrived");
            ensure!(take.take(1).await? == 0, "a stream ends after the count");
            Ok(bytes)
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended??;
    }
    Ok(Sent { count, took: begin.elapsed() })
}

/// Bytes that are no page of zeros.
pub fn chunk(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

async fn send<P: Put>(put: &mut P, duration: Duration) -> Result<u64> {
    let chunk = Bytes::from(chunk(CHUNK));
    let begin = Instant::now();
    let mut bytes = 0;
    while begin.elapsed() < duration {
        put.put(chunk.clone()).await?;
        bytes += chunk.len() as u64;
        // Whoever shares the task comes to its turn.
        consume_budget().await;
    }
    Ok(bytes)
}

async fn drain<T: Take>(mut take: T) -> Result<u64> {
    let mut bytes = 0;
    loop {
        match take.take(CHUNK).await? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
        consume_budget().await;
    }
}

async fn count<P: Put, T: Take>(put: &mut P, take: &mut T, max: usize) -> Result<()> {
    let mut bytes = 0;
    loop {
        match take.take(max).await? {
            0 => break,
            read => bytes += read as u64,
        }
    }
    put.put(Bytes::copy_from_slice(&u64::to_be_bytes(bytes))).await
}

/// How much a writer of messages gathers, and a reader reads at once.
const MESSAGES_BUFFER: usize = 64 << 10;

const BULK: u8 = b'b';
const SLICES: u8 = b's';
const DOWN: u8 = b'd';
const BOTH: u8 = b'2';
const ECHO: u8 = b'e';
const ECHO_BY_TASKS: u8 = b't';
const REQUEST: u8 = b'r';
const MESSAGES: u8 = b'm';
const STREAMS: u8 = b'n';

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn what_the_server_sends_is_counted_to_its_end() {
        let (client, server) = duplex(CHUNK);
        let (put, take) = split(server);
        let served = tokio::spawn(serve(put, take));
        let (put, take) = split(client);

        let sent = bulk_down(put, take, Duration::from_millis(5)).await.unwrap();

        assert!(sent.count > 0 && sent.count.is_multiple_of(CHUNK as u64));
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_the_server_ends_within_a_chunk_is_refused() {
        let (client, server) = duplex(CHUNK);
        tokio::spawn(async move {
            let (mut put, _take) = split(server);
            put.put(Bytes::from(chunk(CHUNK + 1))).await?;
            put.finish().await
        });
        let (put, take) = split(client);

        let refused = bulk_down(put, take, Duration::from_millis(5)).await.unwrap_err();

        assert!(refused.to_string().contains("no whole chunks"), "{refused}");
    }
}
