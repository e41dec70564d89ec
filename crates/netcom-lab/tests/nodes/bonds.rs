//! Several links that carry data at once: how much more they carry together, and how soon answers
//! come over links that lose packets.
//!
//! The short forms move a little; `cargo xtask lab stripe` and `cargo xtask lab mirror` move enough
//! for figures and print them.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use netcom::{Connection, IncomingStream, LinkKind, Links, Node};
use netcom_lab::{LinkSpec, Loss, with_links};
use parking_lot::Mutex;
use tokio::time::{interval, timeout};

use crate::support::{Server, address, client, until};

#[test]
fn two_links_carry_a_transfer_side_by_side() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        stripe(kind, &[100, 100], 1.8);
        stripe(kind, &[100, 25], 1.1);
    }
}

#[test]
fn mirrored_links_answer_in_spite_of_losses() {
    let gap = Duration::from_millis(50);
    for (what, pause) in [("every 50 ms", gap), ("back to back", Duration::ZERO)] {
        let even = round_trips(&[0.0, 0.0], Links::Mirror, pause);
        let single = round_trips(&[0.05], Links::Auto, pause);
        let mirrored = round_trips(&[0.05, 0.05], Links::Mirror, pause);
        let (Some(even), Some(single), Some(mirrored)) = (even, single, mirrored) else { return };
        report_answers(what, &even, &single, &mirrored);
    }
}

/// Compares a link with it and others beside it, in megabits a second.
#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn stripe(kind: LinkKind, megabits: &[u64], line: f64) {
    let Some(alone) = speeds(kind, &megabits[..1], Links::Auto) else { return };
    let Some(both) = speeds(kind, megabits, Links::Stripe) else { return };
    let ratio = median(&both) / median(&alone);
    println!(
        "{kind:?}, {megabits:?} Mbit/s at 20 ms: alone {alone:.1?}, together {both:.1?} Mbit/s; \
         {ratio:.2} times as much, {line} is asked"
    );
    // Short runs on a machine with other work say little more than that it is no harm.
    let least = if is_long("NETCOM_RUNS") { line } else { 0.5 };
    assert!(ratio >= least, "{kind:?}, {megabits:?}: {both:?} in place of {alone:?}");
}

/// What a client sends to a server over links of these rates, in each of several runs.
fn speeds(kind: LinkKind, megabits: &[u64], links: Links) -> Option<Vec<f64>> {
    let specs: Vec<_> =
        megabits.iter().map(|rate| LinkSpec::new(DELAY).rate(rate * 1_000_000)).collect();
    let length = size("NETCOM_MEGABYTES", 12) << 20;
    let runs = size("NETCOM_RUNS", 1);
    let mut speeds = Vec::new();
    with_links(&specs, |pair| {
        let listen = (0..specs.len()).map(|link| address(pair.right().addresses(link)[0], kind));
        let read = Arc::new(Mutex::new(0));
        let server = Server::start(pair.right(), listen, |builder| builder.links(links), {
            let read = Arc::clone(&read);
            async move |node| sink(node, read).await
        });
        for _ in 0..runs {
            let speed = pair.left().run(async || {
                let node = client().links(links).build().await.unwrap();
                let connection = node.connect(server.ticket.clone()).await.unwrap();
                until(|| connection.path().beside == specs.len() - 1).await;
                // Windows and rates are found before.
                send(&connection, length / 4).await;
                let begun = Instant::now();
                send(&connection, length).await;
                let time = begun.elapsed();
                timeout(PATIENCE, node.close()).await.unwrap();
                length as f64 * 8.0 / 1e6 / time.as_secs_f64()
            });
            speeds.push(speed);
        }
        // What was acknowledged was compared, too, by now or in a moment.
        assert!(*read.lock() > 0);
    });
    (!speeds.is_empty()).then_some(speeds)
}

/// Sends so many bytes and waits until the server has compared them.
async fn send(connection: &Connection, length: usize) {
    let mut stream = connection.bytes_stream().await.unwrap();
    for begin in (0..length).step_by(CHUNK) {
        stream.write_bytes(expected(begin, CHUNK.min(length - begin))).await.unwrap();
    }
    stream.finish().await.unwrap();
    let answer = stream.read_chunk(1).await.unwrap();
    assert!(answer.is_some(), "it has all of them");
}

/// Compares what comes on each stream with what was sent, and answers with a byte.
async fn sink(node: Node, read: Arc<Mutex<usize>>) {
    let mut incoming = node.incoming();
    while let Some(connection) = incoming.next().await {
        let read = Arc::clone(&read);
        tokio::spawn(async move {
            let mut streams = connection.incoming_streams();
            while let Some(mut stream) = streams.next().await.and_then(IncomingStream::into_bytes) {
                let mut received = 0;
                while let Ok(Some(chunk)) = stream.read_chunk(CHUNK).await {
                    assert!(chunk == expected(received, chunk.len()), "others after {received}");
                    received += chunk.len();
                }
                *read.lock() += received;
                let _ = stream.write_bytes("!").await;
                let _ = stream.finish().await;
            }
        });
    }
}

/// How long requests of 64 bytes take over QUIC links that lose these shares each way.
fn round_trips(losses: &[f64], links: Links, pause: Duration) -> Option<Vec<Duration>> {
    let specs: Vec<_> = (1..)
        .zip(losses)
        .map(|(seed, loss)| LinkSpec::new(DELAY).loss(Loss::Independent(*loss)).seed(seed))
        .collect();
    let count = size("NETCOM_REQUESTS", 40);
    let mut times = Vec::new();
    with_links(&specs, |pair| {
        let listen =
            (0..specs.len()).map(|link| address(pair.right().addresses(link)[0], LinkKind::Quic));
        let server =
            Server::start(pair.right(), listen, |builder| builder.links(links), async |_| ());
        times = pair.left().run(async || {
            let node = client().links(links).build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            until(|| connection.path().beside == specs.len() - 1).await;
            let mut times = Vec::new();
            let mut tick = interval(pause.max(Duration::from_micros(1)));
            for _ in 0..count {
                tick.tick().await;
                let begun = Instant::now();
                let answer = connection.request(Bytes::from_static(&[7; 64])).await.unwrap();
                times.push(begun.elapsed());
                assert_eq!(answer.len(), 64);
            }
            timeout(PATIENCE, node.close()).await.unwrap();
            times
        });
    });
    times.sort();
    (!times.is_empty()).then_some(times)
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn report_answers(what: &str, even: &[Duration], single: &[Duration], mirrored: &[Duration]) {
    let at =
        |times: &[Duration], share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    for (name, times) in
        [("without loss", even), ("one link, 5 %", single), ("two links, 5 %", mirrored)]
    {
        let (p50, p99, most) = (at(times, 50), at(times, 99), at(times, 100));
        println!(
            "{what}, {name}: {} answers, p50 {p50:.1?}, p99 {p99:.1?}, {most:.1?} at most",
            times.len()
        );
    }
    let ratio = at(mirrored, 99).as_secs_f64() / at(even, 99).as_secs_f64();
    println!("{what}: p99 {ratio:.2} times that without loss, 1.5 is asked");
    assert!(at(mirrored, 50) <= at(even, 50) * 2, "{what}: {mirrored:?}");
    assert!(ratio <= 1.5 || !is_long("NETCOM_REQUESTS"), "{what}: {ratio:.2}");
}

/// Whether the run is of a size that the lines are for.
fn is_long(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

/// A figure of the long form, or the short form's.
fn size(variable: &str, short: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(short)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The bytes of every transfer from a place on.
fn expected(begin: usize, length: usize) -> Bytes {
    static BLOCK: OnceLock<Bytes> = OnceLock::new();
    // The period is odd, so that no frame comes at the same place of it twice.
    let make = || {
        let period = (0..PERIOD).map(|place| (place.wrapping_mul(0x9e37_79b9) >> 12) as u8);
        let period: Vec<u8> = period.collect();
        Bytes::from(period.repeat(2))
    };
    let begin = begin % PERIOD;
    BLOCK.get_or_init(make).slice(begin..begin + length)
}

const DELAY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);
const CHUNK: usize = 256 << 10;
const PERIOD: usize = (1 << 20) - 3;
