//! One stream over a far link: how much of the link it takes, with and without losses, and what it
//! leaves to another flow.
//!
//! The short form takes a slow link for seconds; `cargo xtask lab far` one of 200 Mbit/s, and
//! prints what it found.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use netcom::{IncomingStream, LinkKind, Node};
use netcom_lab::{End, LinkSpec, Loss, Pair, Running, with_pair};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::support::{Server, address, client};

/// What the form of this run is.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Bits a second of the link.
    rate: u64,
    /// Before it is measured, and while.
    warm: Duration,
    measured: Duration,
}

/// What carries a stream, with the congestion control it has.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    /// QUIC, by our own.
    Quic,
    /// TCP, by the kernel's of this name.
    Tcp(&'static str),
}

/// Bytes that arrived.
#[derive(Clone, Debug, Default)]
struct Meter(Arc<AtomicU64>);

/// The part of a link that was used.
#[derive(Clone, Copy, Debug)]
struct Share(f64);

impl Form {
    fn of_this_run() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
        let seconds = |name, default| Duration::from_secs(number(name).unwrap_or(default));
        Self {
            rate: number("NETCOM_MEGABITS").unwrap_or(20) * 1_000_000,
            warm: seconds("NETCOM_WARM", 4),
            measured: seconds("NETCOM_SECONDS", 5),
        }
    }

    /// What a share is held against: in the short form, whose machine has other work, half.
    fn line(self, share: f64) -> f64 {
        if self.measured >= LONG { share } else { share / 2.0 }
    }

    fn link(self, loss: f64) -> LinkSpec {
        let spec = LinkSpec::new(DELAY).rate(self.rate);
        if loss > 0.0 { spec.loss(Loss::Independent(loss)) } else { spec }
    }

    /// Waits until it is warm, then tells what the meters counted.
    async fn measure<const N: usize>(self, meters: [&Meter; N]) -> [Share; N] {
        sleep(self.warm).await;
        let (before, begun) = (meters.map(Meter::bytes), Instant::now());
        sleep(self.measured).await;
        let (after, took) = (meters.map(Meter::bytes), begun.elapsed());
        let most = self.rate as f64 / 8.0 * took.as_secs_f64();
        std::array::from_fn(|flow| Share((after[flow] - before[flow]) as f64 / most))
    }
}

impl Carrier {
    /// QUIC, and TCP with what of the two common controllers this kernel has.
    fn all() -> impl Iterator<Item = Self> {
        let known = fs::read_to_string(TCP_CONTROLLERS).unwrap_or_default();
        let is_known = move |name: &&str| known.split_whitespace().any(|known| known == *name);
        let tcp = ["cubic", "bbr"].into_iter().filter(is_known).map(Self::Tcp);
        std::iter::once(Self::Quic).chain(tcp)
    }

    fn kind(self) -> LinkKind {
        match self {
            Self::Quic => LinkKind::Quic,
            Self::Tcp(_) => LinkKind::Tcp,
        }
    }

    /// Holds a share against its line. What the kernel's controllers reach is told, and is theirs.
    fn hold(self, share: Share, line: f64) {
        assert!(share.0 >= line || self.kind() != LinkKind::Quic, "{share}");
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quic => f.write_str("QUIC"),
            Self::Tcp(controller) => write!(f, "TCP with {controller}"),
        }
    }
}

impl Meter {
    fn count(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0 * 100.0)
    }
}

#[test]
fn one_stream_fills_a_far_link() {
    let form = Form::of_this_run();
    for carrier in Carrier::all() {
        let share = one_stream(form, carrier, 0.0);
        tell(&format!("{carrier} over 100 ms: {share} of the link"));
        carrier.hold(share, form.line(0.8));
    }
}

#[test]
fn one_lost_packet_of_a_thousand_leaves_a_stream_over_quic_half_of_a_far_link() {
    let form = Form::of_this_run();
    for carrier in Carrier::all() {
        let share = one_stream(form, carrier, 0.001);
        tell(&format!("{carrier} over 100 ms, one of a thousand lost: {share} of the link"));
        carrier.hold(share, form.line(0.5));
    }
}

#[test]
fn a_flow_of_the_kernels_cubic_beside_it_keeps_its_part() {
    let form = Form::of_this_run();
    with_pair(form.link(0.0), |pair| {
        let server = serve(pair.right(), LinkKind::Quic);
        let (source, _running) = start_cubic(pair.right());
        let [ours, cubic] = pair.left().run(async || {
            let node = client().build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            let meters = [Meter::default(), Meter::default()];
            let flows = [
                tokio::spawn(read_stream(connection.clone(), meters[0].clone())),
                tokio::spawn(read_socket(source, meters[1].clone())),
            ];
            let shares = form.measure([&meters[0], &meters[1]]).await;
            flows.iter().for_each(tokio::task::JoinHandle::abort);
            node.close().await;
            shares
        });
        tell(&format!("a flow of QUIC {ours}, one of the kernel's cubic beside it {cubic}"));
        assert!(cubic.0 >= form.line(0.3) * (cubic.0 + ours.0), "{cubic} beside {ours}");
    });
}

/// The share of a link that one stream takes.
fn one_stream(form: Form, carrier: Carrier, loss: f64) -> Share {
    let mut taken = Share(0.0);
    with_pair(form.link(loss), |pair: &Pair| {
        if let Carrier::Tcp(controller) = carrier {
            pair.right().set_tcp_control(controller).unwrap();
        }
        let server = serve(pair.right(), carrier.kind());
        taken = pair.left().run(async || {
            let node = client().build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            let meter = Meter::default();
            let reader = tokio::spawn(read_stream(connection.clone(), meter.clone()));
            let [share] = form.measure([&meter]).await;
            reader.abort();
            node.close().await;
            share
        });
    });
    taken
}

/// A node that sends without end to each stream.
fn serve(end: &End, kind: LinkKind) -> Server {
    Server::start(end, [address(end.ipv4().into(), kind)], |builder| builder, send_without_end)
}

async fn send_without_end(node: Node) {
    let mut incoming = node.incoming();
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let stream = connection.incoming_streams().next().await;
            let Some(mut stream) = stream.and_then(IncomingStream::into_bytes) else { return };
            let chunk = Bytes::from(vec![7; CHUNK]);
            while stream.write_bytes(chunk.clone()).await.is_ok() {}
        });
    }
}

async fn read_stream(connection: netcom::Connection, meter: Meter) {
    let mut stream = connection.bytes_stream().await.unwrap();
    // The peer learns of a stream by its first byte.
    stream.write_bytes("go").await.unwrap();
    while let Some(chunk) = stream.read_chunk(CHUNK).await.unwrap() {
        meter.count(chunk.len());
    }
}

/// A socket that sends without end by the kernel's cubic.
fn start_cubic(end: &End) -> (SocketAddr, Running<()>) {
    let (send, address) = oneshot::channel();
    let ip: Ipv4Addr = end.ipv4();
    let running = end.start(async move || {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        send.send(listener.local_addr().unwrap()).unwrap();
        let (mut socket, _) = listener.accept().await.unwrap();
        SockRef::from(&socket).set_tcp_congestion(b"cubic").unwrap();
        let chunk = vec![7; CHUNK];
        while socket.write_all(&chunk).await.is_ok() {}
    });
    (address.blocking_recv().unwrap(), running)
}

async fn read_socket(source: SocketAddr, meter: Meter) {
    let mut socket = TcpStream::connect(source).await.unwrap();
    let mut buffer = vec![0; CHUNK];
    while let Ok(bytes @ 1..) = socket.read(&mut buffer).await {
        meter.count(bytes);
    }
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn tell(figure: &str) {
    println!("{figure}");
}

const DELAY: Duration = Duration::from_millis(50);
const TCP_CONTROLLERS: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";
/// A run that measures for so long has the machine for itself.
const LONG: Duration = Duration::from_secs(20);
const CHUNK: usize = 64 << 10;
