//! Servers that answer with what they got or note it, and clients of theirs.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use netcom_lab::{Link, Namespace, Pair, Running, Side};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, split},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
    time::{interval, timeout},
};

pub(crate) const DELAY: Duration = Duration::from_millis(25);
/// What a busy machine may add to a round trip in the best of several tries.
pub(crate) const SLACK: Duration = Duration::from_millis(20);
pub(crate) const TRIES: usize = 8;

/// Notes the numbers of datagrams and when they came.
pub(crate) struct Sink {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<(u32, Instant)>>>,
    _running: Running<()>,
}

impl Sink {
    /// Starts one at the right end of a pair.
    pub(crate) fn start(pair: &Pair) -> Self {
        let (send, address) = oneshot::channel();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (ip, note) = (pair.right().ipv4(), Arc::clone(&arrived));
        let running = pair.right().start(async move || {
            let socket = UdpSocket::bind((ip, 0)).await.unwrap();
            send.send(socket.local_addr().unwrap()).unwrap();
            let mut buffer = [0; 1500];
            loop {
                socket.recv_from(&mut buffer).await.unwrap();
                let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
                note.lock().unwrap().push((number, Instant::now()));
            }
        });
        Self { address: address.blocking_recv().unwrap(), arrived, _running: running }
    }

    /// Sends it so many numbered datagrams in packets of this length at once, from the left end.
    pub(crate) fn send(&self, pair: &Pair, numbers: std::ops::Range<u32>, length: usize) {
        pair.left().run(async || {
            let socket = UdpSocket::bind((pair.left().ipv4(), 0)).await.unwrap();
            for number in numbers {
                let mut datagram = vec![0; length - IP_AND_UDP];
                datagram[..4].copy_from_slice(&number.to_be_bytes());
                socket.send_to(&datagram, self.address).await.unwrap();
            }
        });
    }

    /// The same in small batches, each of which has arrived or is lost before the next one, so
    /// that no other buffer than the link's can be full.
    pub(crate) fn send_gently(&self, pair: &Pair, count: u32, length: usize) {
        for begin in (0..count).step_by(BATCH) {
            let end = count.min(begin + BATCH as u32);
            self.send(pair, begin..end, length);
            self.wait(pair, end);
        }
    }

    /// Waits until so many datagrams have been sent and nothing is on its way.
    pub(crate) fn wait(&self, pair: &Pair, sent: u32) {
        pair.left().run(async || {
            until(|| {
                let counters = pair.link().counters(Side::Left);
                counters.sent == u64::from(sent)
                    && counters.packets + lost(pair.link()) == counters.sent + counters.duplicated
                    && self.numbers().len() as u64 == counters.packets
            })
            .await;
        });
    }

    /// The numbers in the order in which they came.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.arrived().into_iter().map(|(number, _)| number).collect()
    }

    /// The numbers, and when they came.
    pub(crate) fn arrived(&self) -> Vec<(u32, Instant)> {
        self.arrived.lock().unwrap().clone()
    }
}

/// How many packets from the left end were lost, whyever.
fn lost(link: &Link) -> u64 {
    let counters = link.counters(Side::Left);
    counters.lost_chance
        + counters.lost_queue
        + counters.lost_mtu
        + counters.lost_down
        + counters.lost_blocked
        + counters.lost_device
}

/// Answers every datagram with itself.
pub(crate) fn echo_datagrams(place: &Namespace, ip: IpAddr) -> (SocketAddr, Running<()>) {
    let (send, address) = oneshot::channel();
    let echo = place.start(async move || {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        send.send(socket.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    (address.blocking_recv().unwrap(), echo)
}

/// Answers every stream with itself.
pub(crate) fn echo_streams(place: &Namespace, ip: IpAddr) -> (SocketAddr, Running<()>) {
    let (send, address) = oneshot::channel();
    let echo = place.start(async move || {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        send.send(listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut input, mut output) = split(stream);
                let _ = copy(&mut input, &mut output).await;
                let _ = output.shutdown().await;
            });
        }
    });
    (address.blocking_recv().unwrap(), echo)
}

/// Whether a stream to an echo carries a byte there and back, within many round trips.
pub(crate) async fn streams(server: SocketAddr) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await.ok()?;
        stream.write_all(b"x").await.ok()?;
        stream.read_u8().await.ok()
    };
    timeout(DELAY * 2 * 10, exchange).await == Ok(Some(b'x'))
}

/// `None` if no answer came within many round trips.
pub(crate) async fn datagram_round_trip(server: SocketAddr) -> Option<Duration> {
    let any: IpAddr = if server.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
    datagram_round_trip_from(any, server).await
}

/// The same from one address.
pub(crate) async fn datagram_round_trip_from(ip: IpAddr, server: SocketAddr) -> Option<Duration> {
    let socket = UdpSocket::bind((ip, 0)).await.unwrap();
    let begun = Instant::now();
    socket.send_to(b"echo", server).await.unwrap();
    let mut buffer = [0; 16];
    let answer = timeout(DELAY * 2 * 10, socket.recv_from(&mut buffer)).await.ok()?;
    let (length, from) = answer.ok()?;
    assert_eq!((&buffer[..length], from), (&b"echo"[..], server));
    Some(begun.elapsed())
}

/// Waits for something outside to become true.
pub(crate) async fn until(is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut look = interval(Duration::from_millis(1));
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "it never happens");
        look.tick().await;
    }
}

/// Datagrams that a socket's buffer has room for.
const BATCH: usize = 50;
const IP_AND_UDP: usize = 28;
const PATIENCE: Duration = Duration::from_secs(30);
