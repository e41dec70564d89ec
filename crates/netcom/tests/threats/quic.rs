//! T-15 and T-26: packets that others send in a connection's name.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use netcom::{Connection, Node, Target};
use tokio::net::UdpSocket;

use crate::support::{
    Direction, QUIC, TCP, UdpTap, Wiretap, is_long, measured, quiet_node, within,
};

/// What is carried while packets are forged.
const LENGTH: usize = 8 << 20;

async fn pair(dialed: impl Fn(&Node) -> String) -> (Node, Node, Connection) {
    let server = quiet_node(&[QUIC, TCP]).build().await.unwrap();
    let body = Bytes::from(pattern());
    server.on_request(move |_| {
        let body = body.clone();
        async move { Ok(body) }
    });
    let node = quiet_node(&[]).build().await.unwrap();
    let target: Target = dialed(&server).parse().unwrap();
    let connection = within(node.connect(target)).await.unwrap();
    (server, node, connection)
}

fn pattern() -> Vec<u8> {
    (0..LENGTH).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn socket(server: &Node, kind: &str) -> SocketAddr {
    let addresses = server.listen_addresses();
    let address = addresses.iter().map(ToString::to_string).find(|it| it.contains(kind));
    let address = address.expect("it listens");
    let parts: Vec<&str> = address.split('/').collect();
    format!("{}:{}", parts[2], parts[4]).parse().unwrap()
}

/// The one link of a connection, and that nothing was sent on it twice for another one's sake.
fn unharmed(node: &Node, link: u64) {
    let (sessions, links) = (node.commander().sessions(), node.commander().links());
    let ids: Vec<u64> = links.iter().map(|link| link.id).collect();
    assert_eq!(ids, [link], "the link that was there before");
    assert!(sessions.iter().all(|session| session.bytes_repeated == 0), "{sessions:?}");
}

/// Sends forged and repeated packets beside each valid one.
struct Forger {
    sent: Arc<AtomicU64>,
    earlier: parking_lot::Mutex<Vec<Vec<u8>>>,
}

/// Forged packets for each valid one.
const FORGED: usize = 12;

impl UdpTap for Forger {
    async fn passes(&self, _: Direction, packet: &[u8], socket: &UdpSocket, to: SocketAddr) {
        // A packet of a handshake has keys that everybody knows, and no defence on its own path.
        if packet.first().is_none_or(|first| first & 0x80 != 0) {
            return;
        }
        let number = self.sent.load(Ordering::Relaxed);
        let mut forged: Vec<Vec<u8>> = Vec::new();
        for count in 0..FORGED as u64 {
            let mut copy = packet.to_vec();
            // The connection's name stays, so that each gets as far as the keys.
            let body = copy.get_mut(9..).unwrap_or_default();
            match count % 3 {
                0 => body.iter_mut().for_each(|byte| *byte ^= (number + count) as u8 | 1),
                1 => body.iter_mut().rev().take(4).for_each(|byte| *byte ^= 0x80),
                _ => body.iter_mut().take(4).for_each(|byte| *byte ^= count as u8 | 1),
            }
            forged.push(copy);
        }
        // And two that were valid once.
        {
            let mut earlier = self.earlier.lock();
            forged.extend(earlier.iter().rev().take(2).cloned());
            earlier.push(packet.to_vec());
            if earlier.len() > 64 {
                earlier.remove(0);
            }
        }
        for packet in forged {
            if socket.send_to(&packet, to).await.is_ok() {
                self.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_15_forged_and_repeated_packets_move_no_state() {
    let server = quiet_node(&[QUIC]).build().await.unwrap();
    let body = Bytes::from(pattern());
    let answer = body.clone();
    server.on_request(move |_| {
        let answer = answer.clone();
        async move { Ok(answer) }
    });
    let sent = Arc::new(AtomicU64::new(0));
    let forger = Forger { sent: Arc::clone(&sent), earlier: parking_lot::Mutex::default() };
    let tap = Wiretap::udp(socket(&server, "quic"), forger).await;
    let node = quiet_node(&[]).build().await.unwrap();
    let (ip, port, peer) = (tap.address.ip(), tap.address.port(), server.peer_id());
    let target: Target = format!("/ip4/{ip}/udp/{port}/quic-v1/p2p/{peer}").parse().unwrap();
    let connection = within(node.connect(target)).await.unwrap();
    let link = node.commander().links()[0].id;
    let began = Instant::now();
    // One answer has more than 100,000 forged packets beside it.
    let (least, most) = if is_long() { (1_000_000, 30) } else { (20_000, 1) };
    let mut answers = 0;
    while answers < most && sent.load(Ordering::Relaxed) < least {
        let answer = within(connection.request("all of it")).await.unwrap();
        assert!(answer == body, "{} bytes", answer.len());
        answers += 1;
    }
    unharmed(&node, link);
    unharmed(&server, link);
    let (forged, took) = (sent.load(Ordering::Relaxed), began.elapsed());
    measured(format_args!("T-15 {forged} forged packets, {answers} times {LENGTH} B in {took:?}"));
    assert!(forged >= least, "{forged} beside {answers} answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_15_a_repeated_record_ends_its_link_and_loses_nothing() {
    let (server, _node, _) = pair(|server| server.addresses()[0].to_string()).await;
    let repeats = AtomicU64::new(0);
    // Somewhere in the transfer what passed is passed once more.
    let tap = Wiretap::tcp(socket(&server, "/tcp/"), move |direction, before, bytes| {
        if direction == Direction::ToDialer
            && before > 1 << 20
            && repeats.fetch_add(1, Ordering::Relaxed) == 0
        {
            let again = bytes.clone();
            bytes.extend(again);
        }
    })
    .await;
    let node = quiet_node(&[]).build().await.unwrap();
    let (ip, port, peer) = (tap.address.ip(), tap.address.port(), server.peer_id());
    let target: Target = format!("/ip4/{ip}/tcp/{port}/p2p/{peer}").parse().unwrap();
    let connection = within(node.connect(target)).await.unwrap();
    let first = node.commander().links()[0].id;
    let answer = within(connection.request("all of it")).await.unwrap();
    assert!(answer == pattern(), "{} bytes", answer.len());
    let links: Vec<u64> = node.commander().links().iter().map(|link| link.id).collect();
    assert!(!links.contains(&first), "the changed link is gone: {links:?}");
}

/// Sends a copy of each packet from an address of its own, before the packet itself.
struct Hijacker {
    socket: Arc<UdpSocket>,
    seen: AtomicU64,
    copies: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl UdpTap for Hijacker {
    async fn passes(&self, direction: Direction, packet: &[u8], _: &UdpSocket, to: SocketAddr) {
        // The first packets are the handshake's; of the others one in eight.
        if direction == Direction::ToDialer {
            return;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        if number > 20 && number.is_multiple_of(8) {
            drop(self.socket.send_to(packet, to).await);
            self.copies.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(packet.len() as u64, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_26_packets_copied_from_another_address_divert_nothing() {
    let (server, _node, _) = pair(|server| server.addresses()[0].to_string()).await;
    let socket_of_server = socket(&server, "quic");
    let hijacker = Arc::new(UdpSocket::bind("127.0.0.2:0").await.unwrap());
    let (copies, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tap = Hijacker {
        socket: Arc::clone(&hijacker),
        seen: AtomicU64::new(0),
        copies: Arc::clone(&copies),
        bytes: Arc::clone(&bytes),
    };
    let tap = Wiretap::udp(socket_of_server, tap).await;
    let (got, packets) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (its, count) = (Arc::clone(&got), Arc::clone(&packets));
    tokio::spawn(async move {
        let mut packet = vec![0; 65_536];
        while let Ok(length) = hijacker.recv(&mut packet).await {
            its.fetch_add(length as u64, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let node = quiet_node(&[]).build().await.unwrap();
    let (ip, port, peer) = (tap.address.ip(), tap.address.port(), server.peer_id());
    let target: Target = format!("/ip4/{ip}/udp/{port}/quic-v1/p2p/{peer}").parse().unwrap();
    let connection = within(node.connect(target)).await.unwrap();
    let link = node.commander().links()[0].id;
    let began = Instant::now();
    for _ in 0..4 {
        let answer = within(connection.request("all of it")).await.unwrap();
        assert!(answer == pattern(), "{} bytes", answer.len());
    }
    let took = began.elapsed();
    unharmed(&node, link);
    unharmed(&server, link);
    let (got, packets) = (got.load(Ordering::Relaxed), packets.load(Ordering::Relaxed));
    let (copies, bytes) = (copies.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
    measured(format_args!(
        "T-26 {copies} copies of {bytes} B drew {got} B in {packets} packets, of {} B in {took:?}",
        4 * LENGTH
    ));
    assert!(copies > 200, "{copies}");
    // The address is asked twice whether it is there: once as the new one, and once more when the
    // true one came back. A few packets of data may go there before that.
    assert!(packets <= 3 * copies, "{packets} packets for {copies}");
    assert!(got <= 4 * LENGTH as u64 / 10, "{got} bytes went elsewhere");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
