//! Clients that are not peers: they are cut cleanly and cost the peers nothing.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use netcom_identity::Multiaddr;
use netcom_transport::{DialOptions, HandshakeLimits, HelloError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use crate::support::{Node, PATIENCE, key, socket};

/// Reads to the end, which must come in order and without a byte.
async fn is_cut_cleanly(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let read = time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(read.unwrap(), 0, "cut without a word, and not by a reset: {answer:?}");
}

fn limits(change: impl FnOnce(&mut HandshakeLimits)) -> HandshakeLimits {
    let mut limits = HandshakeLimits::default();
    change(&mut limits);
    limits
}

/// A peer still gets through.
async fn serves_peers(listener: &mut Node, address: &Multiaddr) {
    let dialer = Node::new(77);
    let link = dialer.dial(&listener.peer, address).await;
    assert_eq!(link.peer(), listener.peer);
    // A test may have let others in before.
    while listener.accept().await.peer() != dialer.peer {}
}

#[tokio::test]
async fn other_protocols_are_told_apart_and_cut_while_peers_are_served() {
    let mut listener = Node::new(2);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let long_header = format!("GET / HTTP/1.1\r\nx: {}\r\n", "y".repeat(100_000));
    let requests: [&[u8]; 5] = [
        long_header.as_bytes(),
        b"POST /x HTTP/1.1\r\n\r\n",
        b"\x13/multistream/1.0.0\n",
        b"\x00\x00\x00\x2a\x01\x02",
        &[0xff; 5000],
    ];
    for request in requests {
        let mut stranger = TcpStream::connect(socket(&address)).await.unwrap();
        stranger.write_all(request).await.unwrap();
        is_cut_cleanly(&mut stranger).await;
    }
    serves_peers(&mut listener, &address).await;
    let stats = listener.transport.stats();
    assert_eq!((stats.refused_http, stats.refused_multistream, stats.refused_other), (2, 1, 2));
}

#[tokio::test]
async fn a_silent_or_dripping_client_is_cut_at_the_deadline_and_leaves_its_place() {
    let quick = limits(|limits| limits.handshake = Duration::from_millis(50));
    let mut listener = Node::with_limits(2, quick);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let mut silent = TcpStream::connect(socket(&address)).await.unwrap();
    let mut dripping = TcpStream::connect(socket(&address)).await.unwrap();
    dripping.write_all(&[0x16, 3, 1]).await.unwrap();
    for stranger in [&mut silent, &mut dripping] {
        let mut answer = Vec::new();
        // Unread bytes may turn this end into a reset.
        let read = time::timeout(PATIENCE, stranger.read_to_end(&mut answer)).await.unwrap();
        assert!(read.is_err() || answer.is_empty());
    }
    while listener.transport.stats().half_open > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(listener.transport.stats().unfinished, 2);
    serves_peers(&mut listener, &address).await;
}

#[tokio::test]
async fn endless_handshakes_are_cut_off() {
    let mut listener = Node::new(2);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let mut stranger = TcpStream::connect(socket(&address)).await.unwrap();
    // A ClientHello that declares 16 MiB and comes in whole records.
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.extend([1, 0xff, 0xff, 0xff]);
    record.resize(5 + 0x4000, 0x41);
    let flood = async {
        for _ in 0..1000 {
            if stranger.write_all(&record).await.is_err() {
                return;
            }
            record[5..9].fill(0x41);
        }
        panic!("16 MiB of handshake were taken");
    };
    time::timeout(PATIENCE, flood).await.unwrap();
    serves_peers(&mut listener, &address).await;
    assert!(listener.transport.stats().failed_handshakes >= 1);
}

#[tokio::test]
async fn at_the_cap_the_oldest_stranger_makes_room() {
    let small = limits(|limits| limits.half_open = 4);
    let mut listener = Node::with_limits(2, small);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let mut strangers = Vec::new();
    for count in 1..=4 {
        strangers.push(TcpStream::connect(socket(&address)).await.unwrap());
        while listener.transport.stats().half_open < count {
            tokio::task::yield_now().await;
        }
    }
    serves_peers(&mut listener, &address).await;
    assert_eq!(listener.transport.stats().crowded_out, 1);
    is_cut_cleanly(&mut strangers[0]).await;
    // The others are still waited for.
    let still = strangers[3].try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_link_without_hello_makes_room_too() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let small = limits(|limits| limits.half_open = 1);
        let mut listener = Node::with_limits(2, small);
        let address = listener.listen(listen).await;
        let dialer = Node::new(1);
        let _silent = dialer.dial(&listener.peer, &address).await;
        let mut first = listener.accept().await;
        let _next = dialer.dial(&listener.peer, &address).await;
        assert_eq!(first.recv_hello(PATIENCE).await.unwrap_err(), HelloError::Crowded, "{listen}");
    }
}

#[tokio::test]
async fn quic_clients_prove_their_address_when_many_are_half_open() {
    let wary = limits(|limits| limits.retry_above = 0);
    let mut listener = Node::with_limits(2, wary);
    let address = listener.listen("/ip4/127.0.0.1/udp/0/quic-v1").await;
    serves_peers(&mut listener, &address).await;
    assert_eq!(listener.transport.stats().retries, 1);
}

#[tokio::test]
async fn links_nobody_takes_are_given_up() {
    let impatient = limits(|limits| {
        limits.backlog = 1;
        limits.handshake = Duration::from_millis(200);
    });
    let listener = Node::with_limits(2, impatient);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let dialer = Node::new(1);
    let _first = dialer.dial(&listener.peer, &address).await;
    let _second = dialer.dial(&listener.peer, &address).await;
    let given_up = async {
        while listener.transport.stats().untaken == 0 {
            tokio::task::yield_now().await;
        }
    };
    time::timeout(PATIENCE, given_up).await.unwrap();
}

#[tokio::test]
async fn an_address_is_free_again_after_unlisten() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/memory/0"] {
        let listener = Node::new(2);
        let address = listener.listen(listen).await;
        assert_eq!(listener.transport.listen_addresses(), std::slice::from_ref(&address));
        assert!(listener.transport.unlisten(&address));
        assert!(!listener.transport.unlisten(&address));
        assert!(listener.transport.listen_addresses().is_empty());
        // The task that held the socket ends at its next turn.
        let dialled = async {
            loop {
                let addresses = std::slice::from_ref(&address);
                let dial = Node::new(1);
                let options = DialOptions::default();
                if dial.transport.dial(&listener.peer, addresses, options).await.is_err() {
                    return;
                }
            }
        };
        time::timeout(PATIENCE, dialled).await.unwrap();
    }
}

const CHILD: &str = "NETCOM_TEST_FEW_DESCRIPTORS";

/// Runs itself a second time with few file descriptors, floods that process with connections from
/// this one, and then expects it to serve a peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_out_of_file_descriptors_ends_no_listener() {
    if std::env::var_os(CHILD).is_some() {
        return listen_with_few_descriptors().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("strangers::running_out_of_file_descriptors_ends_no_listener")
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = |word: &str| loop {
        let line = lines.next().expect("the child goes on").unwrap();
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
    };
    let address: Multiaddr = next("LISTENING").parse().unwrap();
    let peer = key(2).peer_id();
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(TcpStream::connect(socket(&address)).await.unwrap());
    }
    assert_eq!(next("SHORT"), "", "the child noticed");
    drop(flood);
    // The first try may be turned away with the last of the flood.
    let dialer = Node::new(1);
    let served = async {
        let addresses = std::slice::from_ref(&address);
        let dial = || dialer.transport.dial(&peer, addresses, DialOptions::default());
        while dial().await.is_err() {}
    };
    time::timeout(PATIENCE, served).await.unwrap();
    assert_eq!(next("SERVED"), "");
    assert!(child.wait().unwrap().success());
}

async fn listen_with_few_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut listener = Node::new(2);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(open + 20);
    setrlimit(Resource::Nofile, limit).unwrap();
    say(&format!("LISTENING {address}"));
    while listener.transport.stats().accept_errors < 3 {
        tokio::task::yield_now().await;
    }
    say("SHORT");
    listener.accept().await;
    say("SERVED");
}

/// Talks to the parent past the test harness, which would hold it back.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}
