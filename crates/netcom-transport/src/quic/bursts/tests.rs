use std::net::Ipv4Addr;

use super::*;

#[tokio::test]
async fn full_bursts_of_one_connection_leave_in_one_call() {
    let (socket, kernel) = socket(64);

    for number in 0..4 {
        send(&socket, PEER, number, 10, PACKET).unwrap();
    }

    assert_eq!(kernel.calls(), [(PEER, 40)]);
    assert_eq!(kernel.bursts(PEER), [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_burst_that_nothing_follows_leaves_after_a_turn() {
    let (socket, kernel) = socket(64);

    send(&socket, PEER, 0, 10, PACKET).unwrap();
    assert_eq!(kernel.calls(), []);
    kernel.sent(1).await;

    assert_eq!(kernel.calls(), [(PEER, 10)]);
}

#[tokio::test]
async fn a_burst_that_ends_with_a_shorter_packet_leaves_at_once() {
    let (socket, kernel) = socket(64);

    send(&socket, PEER, 0, 10, PACKET).unwrap();
    send_bytes(&socket, PEER, 1, 4 * PACKET + 7).unwrap();

    assert_eq!(kernel.calls(), [(PEER, 15)]);
}

#[tokio::test]
async fn few_packets_leave_at_once() {
    let (socket, kernel) = socket(64);

    send(&socket, PEER, 0, 1, 64).unwrap();
    send(&socket, PEER, 1, 9, PACKET).unwrap();

    assert_eq!(kernel.calls(), [(PEER, 1), (PEER, 9)]);
}

#[tokio::test]
async fn packets_of_another_length_mark_or_source_leave_apart_and_in_order() {
    let (socket, kernel) = socket(64);
    let contents = burst(1, 10 * PACKET);
    let transmit = Transmit { contents: &contents, ..transmit(PEER, 10 * PACKET, PACKET) };

    send(&socket, PEER, 0, 10, PACKET).unwrap();
    socket.try_send(&Transmit { ecn: Some(EcnCodepoint::Ect0), ..transmit.clone() }).unwrap();
    socket.try_send(&Transmit { src_ip: Some(PEER.ip()), ..transmit }).unwrap();
    send(&socket, PEER, 3, 10, PACKET - 20).unwrap();
    // A probe for a longer packet fits no call but its own.
    send(&socket, PEER, 4, 1, PACKET + 100).unwrap();

    assert_eq!(kernel.bursts(PEER), [0, 1, 1, 3, 4]);
    assert_eq!(kernel.calls(), [(PEER, 10), (PEER, 10), (PEER, 10), (PEER, 10), (PEER, 1)]);
}

#[tokio::test]
async fn a_call_is_never_longer_than_the_kernel_takes() {
    let (socket, kernel) = socket(64);

    for number in 0..200 {
        send(&socket, PEER, number, 10, if number % 2 == 0 { 6_000 } else { 200 }).unwrap();
    }
    kernel.sent(200).await;

    let log = kernel.log.lock();
    assert!(log.iter().all(|call| call.contents.len() <= 65_487 && call.packets() <= 64));
}

#[tokio::test]
async fn connections_do_not_wait_for_each_other() {
    let (socket, kernel) = socket(64);
    let other = SocketAddr::new(PEER.ip(), PEER.port() + 1);

    send(&socket, PEER, 0, 10, PACKET).unwrap();
    send(&socket, other, 1, 1, 64).unwrap();

    assert_eq!(kernel.calls(), [(other, 1)]);
}

#[tokio::test]
async fn what_the_kernel_does_not_take_stays_and_keeps_its_order() {
    let (socket, kernel) = socket(64);
    kernel.block(true);

    // The fifth does not fit beside the four that wait.
    let results: Vec<_> = (0..5).map(|number| send(&socket, PEER, number, 10, PACKET)).collect();
    assert!(results[..4].iter().all(Result::is_ok));
    assert!(is_blocked(&results[4]));
    kernel.block(false);
    send(&socket, PEER, 4, 10, PACKET).unwrap();
    send(&socket, PEER, 5, 1, 64).unwrap();

    assert_eq!(kernel.bursts(PEER), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn what_waits_for_the_kernel_leaves_when_it_takes_more() {
    let (socket, kernel) = socket(64);
    kernel.block(true);
    for number in 0..4 {
        send(&socket, PEER, number, 10, PACKET).unwrap();
    }
    kernel.tried(2).await;
    kernel.block(false);

    kernel.sent(4).await;

    assert_eq!(kernel.calls(), [(PEER, 40)]);
}

#[tokio::test]
async fn without_offload_every_packet_leaves_at_once() {
    let (socket, kernel) = socket(1);

    for number in 0..20 {
        send(&socket, PEER, number, 1, PACKET).unwrap();
    }

    assert_eq!(kernel.calls(), [(PEER, 1); 20]);
}

#[tokio::test]
async fn a_socket_that_is_dropped_ends_its_task() {
    let (socket, kernel) = socket(64);
    send(&socket, PEER, 0, 10, PACKET).unwrap();

    drop(socket);
    while Arc::strong_count(&kernel) > 1 {
        tokio::task::yield_now().await;
    }
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4242);
const PACKET: usize = 1452;

/// What a kernel would be given. It takes so many packets in a call.
#[derive(Debug)]
struct Kernel {
    capacity: usize,
    state: Mutex<State>,
    log: Mutex<Vec<Call>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_blocked: bool,
    tries: usize,
    writers: Vec<std::task::Waker>,
}

#[derive(Debug)]
struct Call {
    destination: SocketAddr,
    contents: Vec<u8>,
    packet: usize,
}

#[derive(Debug)]
struct Writable(Arc<Kernel>);

impl Call {
    fn packets(&self) -> usize {
        self.contents.len().div_ceil(self.packet)
    }
}

impl Kernel {
    fn block(&self, is_blocked: bool) {
        let mut state = self.state.lock();
        state.is_blocked = is_blocked;
        state.writers.drain(..).for_each(std::task::Waker::wake);
    }

    fn calls(&self) -> Vec<(SocketAddr, usize)> {
        self.log.lock().iter().map(|call| (call.destination, call.packets())).collect()
    }

    /// The numbers of the bursts that were sent to an address, each of which begins with its
    /// number and goes on with it.
    fn bursts(&self, destination: SocketAddr) -> Vec<u8> {
        let log = self.log.lock();
        let calls = log.iter().filter(|call| call.destination == destination);
        let mut numbers: Vec<u8> = Vec::new();
        for call in calls {
            let mut of_call: Vec<u8> = call.contents.clone();
            of_call.dedup();
            numbers.extend(of_call);
        }
        numbers
    }

    /// Waits for so many bursts.
    async fn sent(&self, count: usize) {
        while self.bursts(PEER).len() < count {
            self.changed.notified().await;
        }
    }

    /// Waits for so many tries to send.
    async fn tried(&self, count: usize) {
        while self.state.lock().tries < count {
            self.changed.notified().await;
        }
    }
}

impl AsyncUdpSocket for Kernel {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.state.lock();
        state.tries += 1;
        self.changed.notify_one();
        if state.is_blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.log.lock().push(Call {
            destination: transmit.destination,
            contents: transmit.contents.to_vec(),
            packet: transmit.segment_size.unwrap_or(transmit.contents.len()),
        });
        Ok(())
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(PEER)
    }

    fn max_transmit_segments(&self) -> usize {
        self.capacity
    }
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.lock();
        if state.is_blocked {
            state.writers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

fn socket(capacity: usize) -> (Arc<BurstSocket>, Arc<Kernel>) {
    let (state, log, changed) = Default::default();
    let kernel = Arc::new(Kernel { capacity, state, log, changed });
    let inner: Arc<dyn AsyncUdpSocket> = Arc::<Kernel>::clone(&kernel);
    (BurstSocket::new(inner), kernel)
}

fn burst(number: u8, length: usize) -> Vec<u8> {
    vec![number; length]
}

fn transmit(destination: SocketAddr, length: usize, packet: usize) -> Transmit<'static> {
    let segment_size = (length > packet).then_some(packet);
    Transmit { destination, ecn: None, contents: &[], segment_size, src_ip: None }
}

fn send(
    socket: &BurstSocket,
    destination: SocketAddr,
    number: u8,
    packets: usize,
    packet: usize,
) -> io::Result<()> {
    let contents = burst(number, packets * packet);
    let transmit = transmit(destination, contents.len(), packet);
    socket.try_send(&Transmit { contents: &contents, ..transmit })
}

/// Sends a burst whose last packet is shorter.
fn send_bytes(
    socket: &BurstSocket,
    destination: SocketAddr,
    number: u8,
    length: usize,
) -> io::Result<()> {
    let contents = burst(number, length);
    let transmit = transmit(destination, length, PACKET);
    socket.try_send(&Transmit { contents: &contents, ..transmit })
}
