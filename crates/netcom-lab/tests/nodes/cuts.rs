//! Of two links one fails under load: how long nothing new comes, and that everything comes once.
//!
//! The short form fails a few links; `cargo xtask lab cuts` fails hundreds and prints what it
//! found.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use netcom::{Connection, IncomingStream, LinkKind, Links, Node};
use netcom_lab::{Condition, LinkSpec, Pair, with_links};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::support::{Server, address, client, pattern, until};

/// How a link fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// Its connections are reset.
    Cut,
    /// Packets vanish, and nobody is told.
    BlackHole,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: LinkKind,
    fault: Fault,
    /// A second link stands by; otherwise another address works, and nothing is connected to it.
    has_standby: bool,
}

/// What a reader saw: how many bytes, and the longest time without new ones since it was asked.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) bytes: usize,
    last: Instant,
    pub(crate) longest: Duration,
}

impl Seen {
    /// Nothing so far.
    pub(crate) fn nothing() -> Self {
        Self { bytes: 0, last: Instant::now(), longest: Duration::ZERO }
    }

    fn note(&mut self, bytes: usize) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        (self.last, self.bytes) = (now, self.bytes + bytes);
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, fault) = (self.kind, self.fault);
        let other = if self.has_standby { "standby" } else { "cold" };
        write!(f, "{kind:?}, {fault:?}, {other}")
    }
}

#[test]
fn a_transfer_outlives_the_cut_of_its_link_with_a_standby() {
    check(Case { kind: LinkKind::Tcp, fault: Fault::Cut, has_standby: true });
}

#[test]
fn a_transfer_outlives_a_black_hole_with_a_standby() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        check(Case { kind, fault: Fault::BlackHole, has_standby: true });
    }
}

#[test]
fn a_transfer_outlives_a_black_hole_by_another_address() {
    check(Case { kind: LinkKind::Tcp, fault: Fault::BlackHole, has_standby: false });
}

/// Fails links over and over and looks at the gaps: 95 of 100 may exceed no bound that a machine
/// with other work keeps; the long form prints them.
fn check(case: Case) {
    let cuts = std::env::var("NETCOM_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(2);
    with_links(&[LinkSpec::new(DELAY), LinkSpec::new(DELAY)], |pair| {
        let listen = [0, 1].map(|link| address(pair.right().addresses(link)[0], case.kind));
        let server = Server::start(pair.right(), listen, |builder| builder, stream_without_end);
        let gaps: Vec<Duration> = (0..cuts).map(|_| one_cut(pair, &server, case)).collect();
        report(case, gaps);
    });
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn report(case: Case, mut gaps: Vec<Duration>) {
    gaps.sort();
    let at = |share: usize| gaps[(gaps.len() * share / 100).min(gaps.len() - 1)];
    println!("{case}: {} cuts, gap p50 {:.0?}, p99 {:.0?}", gaps.len(), at(50), at(99));
    assert!(at(50) <= Duration::from_secs(5), "{case}: {gaps:?}");
}

/// Connects, fails the link in use under load, and tells the longest time without new bytes from a
/// second before to five seconds after.
fn one_cut(pair: &Pair, server: &Server, case: Case) -> Duration {
    for link in pair.links() {
        link.set(Condition::Up);
    }
    pair.left().run(async || {
        let links = if case.has_standby { Links::Standby } else { Links::Auto };
        let node = client().links(links).build().await.unwrap();
        let connection = node.connect(server.ticket.clone()).await.unwrap();
        if case.has_standby {
            until(|| connection.path().standby == 1).await;
        }
        let seen = Arc::new(Mutex::new(Seen::nothing()));
        let reader = tokio::spawn(read(connection.clone(), Arc::clone(&seen)));
        until(|| seen.lock().bytes > WARM).await;
        seen.lock().longest = Duration::ZERO;
        sleep(BEFORE).await;
        fail(pair, &connection, case.fault);
        sleep(AFTER).await;
        let (gap, bytes) = {
            let seen = seen.lock();
            (seen.longest, seen.bytes)
        };
        until(|| seen.lock().bytes > bytes + WARM).await;
        assert!(!reader.is_finished(), "the stream goes on");
        reader.abort();
        timeout(AFTER, node.close()).await.unwrap();
        gap
    })
}

/// Fails the way that the connection uses.
fn fail(pair: &Pair, connection: &Connection, fault: Fault) {
    let remote = connection.path().remote.expect("a link is in use").to_string();
    let used = (0..pair.links().len())
        .find(|link| remote.contains(&pair.right().addresses(*link)[0].to_string()))
        .expect("one of the two");
    let condition = if fault == Fault::Cut { Condition::Resetting } else { Condition::Down };
    pair.links()[used].set(condition);
}

/// Sends to each stream of each connection until it is stopped.
pub(crate) async fn stream_without_end(node: Node) {
    let mut incoming = node.incoming();
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let stream = connection.incoming_streams().next().await;
            let Some(mut stream) = stream.and_then(IncomingStream::into_bytes) else { return };
            let mut sent = 0;
            while stream.write_bytes(pattern(sent..sent + CHUNK)).await.is_ok() {
                sent += CHUNK;
                sleep(PAUSE).await;
            }
        });
    }
}

/// Reads the endless stream and checks each byte.
pub(crate) async fn read(connection: Connection, seen: Arc<Mutex<Seen>>) {
    let mut stream = connection.bytes_stream().await.unwrap();
    // The peer learns of a stream by its first byte.
    stream.write_bytes("go").await.unwrap();
    let mut received = 0;
    while let Some(chunk) = stream.read_chunk(CHUNK).await.unwrap() {
        assert!(chunk == pattern(received..received + chunk.len()), "other bytes after {received}");
        received += chunk.len();
        seen.lock().note(chunk.len());
    }
    panic!("a stream without end ended");
}

const DELAY: Duration = Duration::from_millis(10);
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(5);
/// Bytes that show that a transfer runs.
pub(crate) const WARM: usize = 256 << 10;
const CHUNK: usize = 16 << 10;
/// Between two chunks: 3 MB a second at most.
const PAUSE: Duration = Duration::from_millis(5);
