//! How links end: a goodbye, a reset, a cut and a lie are told apart, and none ends a stream.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use netcom_session::{
    Batch, Code, Flow, InstanceId, LaneId, LinkLoss, Poll, ReadState, SessionId, State,
    wire::{Frame, Hello, Purpose},
};
use netcom_transport::{Link, LinkClient};
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::support::{LISTEN, Node, PATIENCE, Shell, pair, socket};

/// A dialer's session on a link whose other end has no session yet.
async fn half(listen: &str) -> (Arc<Shell>, Link, Hello, (Node, Node)) {
    let dialer = Node::new(1);
    let mut listener = Node::new(2);
    let address = listener.listen(listen).await;
    let shell = Shell::new(dialer.peer, listener.peer, true);
    shell.dial_link(dialer.dial(&listener.peer, &address).await);
    let mut link = listener.accept().await;
    let hello = link.recv_hello(PATIENCE).await.unwrap();
    (shell, link, hello, (dialer, listener))
}

#[tokio::test]
async fn a_goodbye_is_a_clean_end_and_a_dropped_link_is_not() {
    for listen in LISTEN {
        let (shell, link, _, _nodes) = half(listen).await;
        let closing = tokio::spawn(link.close());
        assert_eq!(shell.loss().await, LinkLoss::Closed, "{listen}");
        closing.await.unwrap();

        let (shell, link, _, _nodes) = half(listen).await;
        drop(link);
        assert_eq!(shell.loss().await, LinkLoss::Reset, "{listen}");
    }
}

#[tokio::test]
async fn a_refusal_arrives_before_the_goodbye() {
    for listen in LISTEN {
        let (shell, link, hello, _nodes) = half(listen).await;
        let answer = Hello {
            instance: InstanceId([9; 16]),
            purpose: Purpose::Refused { code: Code::OVERLOADED, retry_after_ms: 7 },
            session: Some(SessionId([9; 16])),
            ..hello
        };
        let refusing = tokio::spawn(link.refuse(answer));
        shell.loss().await;
        assert_eq!(*shell.ended.lock(), [Code::OVERLOADED], "{listen}");
        refusing.await.unwrap();
    }
}

/// A relay between two sockets that ends as a test tells it to.
struct Relay {
    address: SocketAddr,
    end: oneshot::Sender<RelayEnd>,
}

enum RelayEnd {
    /// End of file towards the dialer.
    Cut,
    /// A reset towards the dialer.
    Reset,
}

async fn relay(to: SocketAddr) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let end = tokio::select! {
            _ = io::copy_bidirectional(&mut near, &mut far) => return,
            end = ended => end.unwrap(),
        };
        if matches!(end, RelayEnd::Reset) {
            near.set_zero_linger().unwrap();
        }
    });
    Relay { address, end }
}

#[tokio::test]
async fn neither_a_reset_nor_a_truncation_is_a_clean_end() {
    for end in [RelayEnd::Cut, RelayEnd::Reset] {
        let dialer = Node::new(1);
        let mut listener = Node::new(2);
        let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
        let relay = relay(socket(&address)).await;
        let through = format!("/ip4/127.0.0.1/tcp/{}", relay.address.port()).parse().unwrap();
        let left = Shell::new(dialer.peer, listener.peer, true);
        left.dial_link(dialer.dial(&listener.peer, &through).await);
        let right = Shell::new(listener.peer, dialer.peer, false);
        right.accept_link(listener.accept().await).await;
        let stream = right_to_left_hello(&left, &right).await;
        assert!(relay.end.send(end).is_ok());
        assert_eq!(left.loss().await, LinkLoss::Reset);
        let mut chunks = VecDeque::new();
        let read = left.with(|session, now| session.read(stream, Flow::Data, 9, &mut chunks, now));
        assert_eq!(read, Ok(ReadState::Blocked), "the stream waits for another link");
        assert_eq!(left.with(|session, _| session.state()), State::Detached);
    }
}

/// Moves a few bytes, so that both sessions are live, and returns the dialer's end of the stream.
async fn right_to_left_hello(left: &Shell, right: &Shell) -> netcom_session::StreamId {
    let near = left.open();
    left.write(near, Bytes::from_static(b"hi")).await;
    let far = right.accept().await;
    right.write(far, Bytes::from_static(b"hello")).await;
    let got = left.read(near, 5).await;
    assert_eq!(got.iter().map(Bytes::len).sum::<usize>(), 5);
    near
}

/// A client that panics when asked for its nth batch.
struct Fuse {
    inner: Arc<dyn LinkClient>,
    left: AtomicUsize,
}

impl LinkClient for Fuse {
    fn receive(&self, lane: LaneId, frames: &mut Vec<Frame>) {
        self.inner.receive(lane, frames);
    }

    fn transmit(&self, budget: usize, batch: &mut Batch) -> Poll {
        let before = self.left.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "the fuse blew, as the test wants");
        self.inner.transmit(budget, batch)
    }

    fn lost(&self, reason: LinkLoss) {
        self.inner.lost(reason);
    }
}

/// Sends bulk until the sender's driver is dropped in the middle of it.
async fn drop_a_driver_mid_frame(listen: &str) {
    let dialer = Node::new(1);
    let mut listener = Node::new(2);
    let address = listener.listen(listen).await;
    let link = dialer.dial(&listener.peer, &address).await;
    let left = Shell::new(dialer.peer, listener.peer, true);
    let stream = left.open();
    let writer = {
        let left = Arc::clone(&left);
        tokio::spawn(async move { left.write(stream, Bytes::from(vec![1; 64 << 20])).await })
    };
    left.dial_link_through(link, |inner| Arc::new(Fuse { inner, left: AtomicUsize::new(40) }));
    let right = Shell::new(listener.peer, dialer.peer, false);
    right.accept_link(listener.accept().await).await;
    let far = right.accept().await;

    let mut total = 0;
    let loss = right
        .until(|shell| {
            let mut chunks = VecDeque::new();
            let state = loop {
                let read = shell
                    .with(|session, now| session.read(far, Flow::Data, 1 << 20, &mut chunks, now));
                if read != Ok(ReadState::Open) {
                    break read;
                }
            };
            assert_eq!(state, Ok(ReadState::Blocked), "{listen}: truncation looks like the end");
            total += chunks.iter().map(Bytes::len).sum::<usize>();
            shell.first_loss()
        })
        .await;
    assert_eq!(loss, LinkLoss::Reset, "{listen}");
    assert_eq!(left.loss().await, LinkLoss::Local, "{listen}");
    assert!(total < 64 << 20, "{listen}");
    assert_eq!(right.with(|session, _| session.state()), State::Detached);
    assert_eq!(dialer.transport.stats().panics, 1);
    writer.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_quic_driver_mid_frame_is_never_end_of_file() {
    drop_a_driver_mid_frame("/ip4/127.0.0.1/udp/0/quic-v1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_tcp_driver_mid_frame_is_never_end_of_file() {
    drop_a_driver_mid_frame("/ip4/127.0.0.1/tcp/0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_memory_driver_mid_frame_is_never_end_of_file() {
    drop_a_driver_mid_frame("/memory/0").await;
}

#[tokio::test]
async fn a_panic_in_one_session_leaves_other_links_alone() {
    for listen in LISTEN {
        let dialer = Node::new(1);
        let mut listener = Node::new(2);
        let address = listener.listen(listen).await;
        let doomed = dialer.dial(&listener.peer, &address).await;
        let healthy = dialer.dial(&listener.peer, &address).await;
        let (first, second) = (listener.accept().await, listener.accept().await);
        let is_first = first.exporter() == doomed.exporter();
        let (doomed_end, healthy_end) = if is_first { (first, second) } else { (second, first) };

        let left = Shell::new(dialer.peer, listener.peer, true);
        left.dial_link_through(doomed, |inner| Arc::new(Fuse { inner, left: AtomicUsize::new(0) }));
        assert_eq!(left.loss().await, LinkLoss::Local, "{listen}");
        drop(doomed_end);

        let left = Shell::new(dialer.peer, listener.peer, true);
        left.dial_link(healthy);
        let right = Shell::new(listener.peer, dialer.peer, false);
        right.accept_link(healthy_end).await;
        right_to_left_hello(&left, &right).await;
        assert_eq!(dialer.transport.stats().panics, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_exactly_once_and_with_its_runtime_too() {
    for listen in LISTEN {
        let pair = pair(listen).await;
        pair.dialer.with(|session, now| session.close(Code::NO_ERROR, "", now));
        pair.dialer.loss().await;
        pair.listener.loss().await;
        assert_eq!((pair.dialer.losses(), pair.listener.losses()), (1, 1), "{listen}");
    }
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let shell = runtime.block_on(async { pair("/memory/0").await.dialer });
        runtime.shutdown_background();
        sender.send(shell).unwrap();
    });
    let shell = receiver.recv().unwrap();
    other.join().unwrap();
    assert!(matches!(shell.loss().await, LinkLoss::Local | LinkLoss::Reset));
}
