//! A proxy between two nodes that records, changes and repeats what it carries.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    ToListener,
    ToDialer,
}

/// What was carried.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) to_listener: Vec<u8>,
    pub(crate) to_dialer: Vec<u8>,
}

impl Wire {
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let is_in = |wire: &[u8]| wire.windows(bytes.len()).any(|window| window == bytes);
        is_in(&self.to_listener) || is_in(&self.to_dialer)
    }
}

/// What happens to a chunk: called with its direction and the bytes carried that way before.
type Tamper = dyn Fn(Direction, u64, &mut Vec<u8>) + Send + Sync;

/// A proxy. It ends with the runtime.
pub(crate) struct Wiretap {
    pub(crate) address: SocketAddr,
    pub(crate) wire: Arc<Mutex<Wire>>,
}

impl Wiretap {
    /// Carries TCP connections to `listener`, each chunk after `tamper` had it.
    pub(crate) async fn tcp(
        listener: SocketAddr,
        tamper: impl Fn(Direction, u64, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("bound");
        let (wire, tamper): (Arc<Mutex<Wire>>, Arc<Tamper>) = (Arc::default(), Arc::new(tamper));
        let recorded = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((dialer, _)) = socket.accept().await {
                let Ok(other) = TcpStream::connect(listener).await else { continue };
                let _ = (dialer.set_nodelay(true), other.set_nodelay(true));
                let (from_dialer, to_dialer) = dialer.into_split();
                let (from_listener, to_listener) = other.into_split();
                let carry = |direction| Carry {
                    direction,
                    wire: Arc::clone(&recorded),
                    tamper: Arc::clone(&tamper),
                };
                tokio::spawn(carry(Direction::ToListener).run(from_dialer, to_listener));
                tokio::spawn(carry(Direction::ToDialer).run(from_listener, to_dialer));
            }
        });
        Self { address, wire }
    }

    /// Carries the packets of one dialer to `listener`. `tap` sees each packet and sends further
    /// ones if it likes: to the listener through the socket it is given, from the dialer's side.
    pub(crate) async fn udp(listener: SocketAddr, tap: impl UdpTap) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let far = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = near.local_addr().expect("bound");
        let wire: Arc<Mutex<Wire>> = Arc::default();
        let recorded = Arc::clone(&wire);
        tokio::spawn(async move {
            let (mut out, mut back) = (vec![0; 65_536], vec![0; 65_536]);
            let mut dialer = None;
            loop {
                tokio::select! {
                    Ok((count, from)) = near.recv_from(&mut out) => {
                        dialer = Some(from);
                        let packet = &out[..count];
                        recorded.lock().to_listener.extend_from_slice(packet);
                        tap.passes(Direction::ToListener, packet, &far, listener).await;
                        let _ = far.send_to(packet, listener).await;
                    }
                    Ok((count, _)) = far.recv_from(&mut back) => {
                        let packet = &back[..count];
                        recorded.lock().to_dialer.extend_from_slice(packet);
                        if let Some(dialer) = dialer {
                            tap.passes(Direction::ToDialer, packet, &near, dialer).await;
                            let _ = near.send_to(packet, dialer).await;
                        }
                    }
                }
            }
        });
        Self { address, wire }
    }
}

/// Sees each packet before it goes on.
pub(crate) trait UdpTap: Send + 'static {
    fn passes(
        &self,
        direction: Direction,
        packet: &[u8],
        socket: &UdpSocket,
        to: SocketAddr,
    ) -> impl Future<Output = ()> + Send;
}

/// Looks on.
impl UdpTap for () {
    async fn passes(&self, _: Direction, _: &[u8], _: &UdpSocket, _: SocketAddr) {}
}

/// One direction of a TCP connection.
struct Carry {
    direction: Direction,
    wire: Arc<Mutex<Wire>>,
    tamper: Arc<Tamper>,
}

impl Carry {
    async fn run(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let carried = AtomicU64::new(0);
        let mut chunk = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            let mut bytes = chunk[..count].to_vec();
            {
                let mut wire = self.wire.lock();
                match self.direction {
                    Direction::ToListener => wire.to_listener.extend_from_slice(&bytes),
                    Direction::ToDialer => wire.to_dialer.extend_from_slice(&bytes),
                }
            }
            let before = carried.fetch_add(count as u64, Ordering::Relaxed);
            (self.tamper)(self.direction, before, &mut bytes);
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        drop(to.shutdown().await);
    }
}
