//! Loads for a link, and what is read off it meanwhile.

use std::{
    error::Error,
    fs, io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use netcom_lab::{End, Lateness, LinkSpec, Loss, Pair, Running, Side};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
    time::interval,
};

/// What both ends send at once.
#[derive(Clone, Copy)]
enum Load {
    /// So many datagrams of this length each millisecond.
    Datagrams(usize, usize),
    /// As much as one TCP connection in each direction takes.
    Streams,
}

/// What a link has done since it began.
struct Reading {
    at: Instant,
    bits: u64,
    packets: u64,
    lost: u64,
    busy: Duration,
    lateness: Lateness,
}

/// Measures each kind of link for so long, and prints a line for each.
pub(crate) fn measure(length: Duration) -> Result<(), Box<dyn Error>> {
    let far = LinkSpec::new(Duration::from_millis(20));
    let wide = far.rate(200_000_000).queue(2 << 20);
    let links = [
        ("UDP, one each ms, 20 ms", far, Load::Datagrams(1, 64)),
        ("UDP, 2 x 200 Mbit/s, 20 ms", wide, Load::Datagrams(20, LONGEST)),
        ("TCP, 2 x 50 Mbit/s, 20 ms", far.rate(50_000_000), Load::Streams),
        ("TCP, 2 x 200 Mbit/s, 20 ms", wide, Load::Streams),
        ("the same with 0.1 % loss", wide.loss(Loss::Independent(0.001)), Load::Streams),
        ("TCP, any rate, 20 ms", far, Load::Streams),
        ("TCP, any rate, no delay", LinkSpec::new(Duration::ZERO), Load::Streams),
    ];
    println!(
        "{:<28}{:>8}{:>10}{:>8}{:>9}{:>10}{:>10}",
        "both ways together", "Mbit/s", "packets/s", "lost/s", "of a core", "late p50", "late p99"
    );
    for (name, spec, load) in links {
        let pair = Pair::new(spec)?;
        let _load = [load.start(pair.left(), pair.right()), load.start(pair.right(), pair.left())];
        // Windows grow first.
        thread::sleep(length / 2);
        let before = Reading::take(&pair)?;
        thread::sleep(length);
        let after = Reading::take(&pair)?;
        print(name, &before, &after);
    }
    Ok(())
}

impl Load {
    /// Sends from one end to the other until dropped.
    fn start(self, from: &End, to: &End) -> [Running<()>; 2] {
        let (send, address) = oneshot::channel();
        let ip = to.ipv4();
        match self {
            Self::Datagrams(count, length) => {
                let sink = to.start(async move || {
                    let socket = UdpSocket::bind((ip, 0)).await.expect("the address is there");
                    let _ = send.send(socket.local_addr().expect("it is bound"));
                    let mut buffer = [0; LONGEST];
                    while socket.recv(&mut buffer).await.is_ok() {}
                });
                [sink, from.start(async move || send_datagrams(address, count, length).await)]
            }
            Self::Streams => {
                let sink = to.start(async move || {
                    let listener = TcpListener::bind((ip, 0)).await.expect("the address is there");
                    let _ = send.send(listener.local_addr().expect("it is bound"));
                    let (mut stream, _) = listener.accept().await.expect("somebody connects");
                    let mut buffer = vec![0; 1 << 20];
                    while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
                });
                [sink, from.start(async move || send_stream(address).await)]
            }
        }
    }
}

async fn send_datagrams(address: oneshot::Receiver<SocketAddr>, count: usize, length: usize) {
    let address = address.await.expect("there is a sink");
    let socket = UdpSocket::bind("0.0.0.0:0").await.expect("there is a port");
    let mut beat = interval(Duration::from_millis(1));
    loop {
        beat.tick().await;
        for _ in 0..count {
            socket.send_to(&[0; LONGEST][..length], address).await.expect("the link is up");
        }
    }
}

async fn send_stream(address: oneshot::Receiver<SocketAddr>) {
    let address = address.await.expect("there is a sink");
    let mut stream = TcpStream::connect(address).await.expect("the sink listens");
    let chunk = vec![0; 1 << 20];
    while stream.write_all(&chunk).await.is_ok() {}
}

impl Reading {
    fn take(pair: &Pair) -> io::Result<Self> {
        let counters = Side::BOTH.map(|side| pair.link().counters(side));
        Ok(Self {
            at: Instant::now(),
            bits: counters.iter().map(|counters| counters.bytes * 8).sum(),
            packets: counters.iter().map(|counters| counters.packets).sum(),
            lost: counters.iter().map(|it| it.lost_queue + it.lost_chance).sum(),
            busy: busy()?,
            lateness: pair.link().lateness(),
        })
    }
}

/// The processor time of the forwarding thread.
fn busy() -> io::Result<Duration> {
    let mut busy = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == "lab link" {
            // The first number: nanoseconds on a processor.
            let times = fs::read_to_string(task.join("schedstat"))?;
            let time = times.split_whitespace().next().and_then(|time| time.parse().ok());
            busy += Duration::from_nanos(time.unwrap_or_default());
        }
    }
    Ok(busy)
}

fn print(name: &str, before: &Reading, after: &Reading) {
    let seconds = (after.at - before.at).as_secs_f64();
    let lateness = after.lateness.since(&before.lateness);
    println!(
        "{name:<28}{:>8.0}{:>10.0}{:>8.0}{:>8.0}%{:>10.2?}{:>10.2?}",
        (after.bits - before.bits) as f64 / seconds / 1e6,
        (after.packets - before.packets) as f64 / seconds,
        (after.lost - before.lost) as f64 / seconds,
        (after.busy - before.busy).as_secs_f64() / seconds * 100.0,
        lateness.quantile(0.5),
        lateness.quantile(0.99),
    );
}

/// Of a datagram that fits into one packet.
const LONGEST: usize = 1472;
