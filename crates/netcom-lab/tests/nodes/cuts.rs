//! Of two links one fails under load: how long nothing new comes, and that everything comes once.
//!
//! The short form fails a few links; `cargo xtask lab cuts` fails hundreds, several at once, prints
//! what it found and holds it against the lines to reach.

use std::{
    env, fmt,
    sync::Arc,
    thread,
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
    /// Its connections are reset. UDP has none: there the client's card is unplugged.
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

impl Case {
    /// What half of the gaps and 99 of 100 may take, where that is a line.
    fn lines(self) -> (Option<Duration>, Duration) {
        if self.has_standby { (Some(HALF), MOST) } else { (None, COLD) }
    }
}

#[test]
fn a_transfer_outlives_the_cut_of_its_link_with_a_standby() {
    for kind in KINDS {
        check(Case { kind, fault: Fault::Cut, has_standby: true });
    }
}

#[test]
fn a_transfer_outlives_a_black_hole_with_a_standby() {
    for kind in KINDS {
        check(Case { kind, fault: Fault::BlackHole, has_standby: true });
    }
}

#[test]
fn a_transfer_outlives_the_cut_of_its_link_by_another_address() {
    for kind in KINDS {
        check(Case { kind, fault: Fault::Cut, has_standby: false });
    }
}

#[test]
fn a_transfer_outlives_a_black_hole_by_another_address() {
    for kind in KINDS {
        check(Case { kind, fault: Fault::BlackHole, has_standby: false });
    }
}

/// Fails links over and over and looks at the gaps. The read bytes are compared one by one, so none
/// is lost, repeated or out of order.
fn check(case: Case) {
    let (cuts, at_once) = (number("NETCOM_CUTS").unwrap_or(1), number("NETCOM_AT_ONCE"));
    let at_once = at_once.unwrap_or(1).clamp(1, cuts.max(1));
    let gaps: Vec<Duration> = thread::scope(|scope| {
        let shares = (0..at_once).map(|pair| (cuts + pair) / at_once);
        let shares = shares.map(|share| scope.spawn(move || cut(case, share)));
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().expect("a cut failed")).collect()
    });
    // Without a laboratory there are none.
    if !gaps.is_empty() {
        report(case, gaps);
    }
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn report(case: Case, mut gaps: Vec<Duration>) {
    gaps.sort();
    let at = |share: usize| gaps[(gaps.len() * share / 100).min(gaps.len() - 1)];
    let (p50, p99, most) = (at(50), at(99), at(100));
    let count = gaps.len();
    println!("{case}: {count} cuts, gap p50 {p50:.1?}, p99 {p99:.1?}, {most:.1?} at most");
    // The short form shares its machine with other tests, and has too few cuts for shares.
    let (half, most) = if number("NETCOM_CUTS").is_some() { case.lines() } else { (None, SHORT) };
    assert!(half.is_none_or(|half| p50 <= half), "{case}: {gaps:?}");
    assert!(p99 <= most, "{case}: {gaps:?}");
}

/// The gaps of so many cuts in namespaces of their own, one after the other.
fn cut(case: Case, cuts: usize) -> Vec<Duration> {
    let mut gaps = Vec::new();
    with_links(&[LinkSpec::new(DELAY), LinkSpec::new(DELAY)], |pair| {
        let listen = [0, 1].map(|link| address(pair.right().addresses(link)[0], case.kind));
        let server = Server::start(pair.right(), listen, |builder| builder, stream_without_end);
        gaps.extend((0..cuts).map(|_| one_cut(pair, &server, case)));
    });
    gaps
}

/// Connects, fails the link in use under load, and tells the longest time without new bytes from a
/// second before to five seconds after, or until there are some.
fn one_cut(pair: &Pair, server: &Server, case: Case) -> Duration {
    let mut unplugged = None;
    let gap = pair.left().run(async || {
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
        let used = used(pair, &connection);
        match (case.fault, case.kind) {
            (Fault::BlackHole, _) => pair.links()[used].set(Condition::Down),
            (Fault::Cut, LinkKind::Quic) => {
                pair.left().interface_down(used).unwrap();
                unplugged = Some(used);
            }
            (Fault::Cut, _) => pair.links()[used].set(Condition::Resetting),
        }
        sleep(AFTER).await;
        let bytes = seen.lock().bytes;
        until(|| seen.lock().bytes > bytes + WARM).await;
        let gap = seen.lock().longest;
        assert!(!reader.is_finished(), "the stream goes on");
        reader.abort();
        timeout(AFTER, node.close()).await.unwrap();
        gap
    });
    for link in pair.links() {
        link.set(Condition::Up);
    }
    if let Some(card) = unplugged {
        pair.left().interface_up(card).unwrap();
    }
    gap
}

/// Which of the links the connection uses.
fn used(pair: &Pair, connection: &Connection) -> usize {
    let remote = connection.path().remote.expect("a link is in use").to_string();
    (0..pair.links().len())
        .find(|link| remote.contains(&pair.right().addresses(*link)[0].to_string()))
        .expect("one of the two")
}

/// A figure of the long form.
fn number(name: &str) -> Option<usize> {
    env::var(name).ok()?.parse().ok()
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

const KINDS: [LinkKind; 2] = [LinkKind::Tcp, LinkKind::Quic];
/// The lines: of half of the gaps and of 99 of 100 with a standby, and of 99 of 100 without.
const HALF: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(1);
const COLD: Duration = Duration::from_secs(5);
/// What no gap of the short form exceeds.
const SHORT: Duration = Duration::from_secs(15);
const DELAY: Duration = Duration::from_millis(10);
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(5);
/// Bytes that show that a transfer runs.
pub(crate) const WARM: usize = 256 << 10;
const CHUNK: usize = 16 << 10;
/// Between two chunks: 3 MB a second at most.
const PAUSE: Duration = Duration::from_millis(5);
