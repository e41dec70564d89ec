//! What streams of one connection leave to each other.
//!
//! The short form looks for a few seconds; `cargo xtask lab fairness` for longer, over more links,
//! and prints what it found.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use netcom::{ByteStream, Connection, LinkKind, Node};
use netcom_lab::{LinkSpec, with_pair};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use crate::support::{Server, address, client};

#[test]
fn a_greedy_stream_leaves_ninety_nine_polite_ones_their_turns() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        let [alone, beside] = with_connection(kind, async |connection| {
            let alone = polite(&connection).await;
            let greedy = tokio::spawn(greedy(connection.clone()));
            sleep(WARM).await;
            let beside = polite(&connection).await;
            assert!(!greedy.is_finished(), "it goes on");
            greedy.abort();
            [alone, beside]
        });
        tell(&format!("{kind:?}: p99 of polite streams {alone:.1?} alone, {beside:.1?} beside it"));
        let most = if is_long() { 2 } else { 5 };
        assert!(
            beside <= alone * most,
            "{kind:?}: {alone:?} alone, {beside:?} beside a greedy one"
        );
    }
}

#[test]
fn equal_streams_share_a_link_equally() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        let bytes = with_connection(kind, async |connection| {
            let mut readers = JoinSet::new();
            for _ in 0..EQUAL {
                let stream = source(&connection).await;
                readers.spawn(read_for(stream, seconds()));
            }
            readers.join_all().await
        });
        let index = jain(&bytes);
        tell(&format!("{kind:?}: Jain's index of {EQUAL} equal streams {index:.3}"));
        assert!(index >= if is_long() { 0.95 } else { 0.8 }, "{kind:?}: {index}, {bytes:?}");
    }
}

/// Works with a connection over a link of 100 Mbit/s and 20 ms.
fn with_connection<T: Send>(kind: LinkKind, work: impl AsyncFnOnce(Connection) -> T + Send) -> T {
    let mut outcome = None;
    with_pair(LinkSpec::new(DELAY).rate(RATE), |pair| {
        let listen = [address(pair.right().ipv4().into(), kind)];
        let server = Server::start(pair.right(), listen, |builder| builder, serve);
        outcome = Some(pair.left().run(async move || {
            let node = client().build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            let outcome = work(connection).await;
            node.close().await;
            outcome
        }));
    });
    outcome.unwrap()
}

/// The time that 99 of 100 short answers take at most, of 99 streams that each ask ten times a
/// second.
async fn polite(connection: &Connection) -> Duration {
    let ask = async |number: u32| {
        let mut stream = connection.bytes_stream().await.unwrap();
        let mut took = Vec::new();
        // Not all at once.
        sleep(PERIOD * number / POLITE).await;
        let (begun, mut due) = (Instant::now(), interval(PERIOD));
        while begun.elapsed() < seconds() {
            due.tick().await;
            let asked = Instant::now();
            stream.write_bytes(ECHO).await.unwrap();
            assert_eq!(stream.read_chunk(CHUNK).await.unwrap().unwrap(), ECHO);
            took.push(asked.elapsed());
        }
        took
    };
    let mut took = join_all((0..POLITE).map(ask)).await.concat();
    took.sort();
    took[took.len() * 99 / 100]
}

/// Reads a stream that is sent to without end.
async fn greedy(connection: Connection) {
    let mut stream = source(&connection).await;
    while stream.read_chunk(CHUNK).await.unwrap().is_some() {}
}

async fn source(connection: &Connection) -> ByteStream {
    let mut stream = connection.bytes_stream().await.unwrap();
    stream.write_bytes(MORE).await.unwrap();
    stream
}

async fn read_for(mut stream: ByteStream, time: Duration) -> u64 {
    // Not before each has begun.
    stream.read_chunk(CHUNK).await.unwrap();
    sleep(WARM).await;
    let (begun, mut bytes) = (Instant::now(), 0);
    while begun.elapsed() < time {
        bytes += stream.read_chunk(CHUNK).await.unwrap().unwrap().len() as u64;
    }
    bytes
}

/// Echoes what is short, and sends without end to whoever asks for more.
async fn serve(node: Node) {
    let mut incoming = node.incoming();
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let mut streams = connection.incoming_streams();
            while let Some(stream) = streams.next().await {
                stream.into_bytes().map(|stream| tokio::spawn(answer(stream)));
            }
        });
    }
}

async fn answer(mut stream: ByteStream) {
    let bulk = Bytes::from(vec![7; CHUNK]);
    while let Ok(Some(asked)) = stream.read_chunk(CHUNK).await {
        if asked == MORE {
            while stream.write_bytes(bulk.clone()).await.is_ok() {}
        } else if stream.write_bytes(asked).await.is_err() {
            return;
        }
    }
}

/// Jain's index of fairness: 1 where all have the same, 1/n where one has all.
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}

/// Whether the lines are held: the short form may have a machine that is busy with other tests.
fn is_long() -> bool {
    seconds() >= Duration::from_secs(10)
}

fn seconds() -> Duration {
    let seconds = std::env::var("NETCOM_SECONDS").ok().and_then(|value| value.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn tell(figure: &str) {
    println!("{figure}");
}

const DELAY: Duration = Duration::from_millis(10);
const RATE: u64 = 100_000_000;
const WARM: Duration = Duration::from_secs(2);
const POLITE: u32 = 99;
const EQUAL: usize = 20;
const PERIOD: Duration = Duration::from_millis(100);
const ECHO: &str = "to be echoed";
const MORE: &str = "without end";
const CHUNK: usize = 64 << 10;
