//! What holds for every link and its namespaces.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener as StdTcpListener},
    time::{Duration, Instant},
};

use netcom_lab::{Condition, LinkSpec, Pair, Side, with_pair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
};

use crate::support::{DELAY, SLACK, TRIES, datagram_round_trip, echo_datagrams, echo_streams};

#[test]
fn a_datagram_and_its_answer_take_one_round_trip_over_either_protocol() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        for ip in pair.right().addresses(0) {
            let (server, _echo) = echo_datagrams(pair.right(), ip);
            let best = pair.left().run(async || {
                let mut best = Duration::MAX;
                for _ in 0..TRIES {
                    best = best.min(datagram_round_trip(server).await.expect("an answer"));
                }
                best
            });
            assert_round_trips(best, 1, ip);
        }
    });
}

#[test]
fn tcp_connects_in_one_round_trip_and_answers_in_two_over_either_protocol() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        for ip in pair.right().addresses(0) {
            let (server, _echo) = echo_streams(pair.right(), ip);
            let (connected, answered) = pair.left().run(async || {
                let mut best = (Duration::MAX, Duration::MAX);
                for _ in 0..TRIES {
                    let begun = Instant::now();
                    let mut stream = TcpStream::connect(server).await.unwrap();
                    best.0 = best.0.min(begun.elapsed());
                    stream.write_all(b"x").await.unwrap();
                    stream.read_u8().await.unwrap();
                    best.1 = best.1.min(begun.elapsed());
                }
                best
            });
            assert_round_trips(connected, 1, ip);
            assert_round_trips(answered, 2, ip);
        }
    });
}

#[test]
fn every_byte_of_a_long_stream_arrives_in_order() {
    with_pair(LinkSpec::new(Duration::from_millis(5)), |pair| {
        let (server, _echo) = echo_streams(pair.right(), pair.right().ipv6().into());
        let sent: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
        let received = pair.left().run(async || {
            let (mut input, mut output) = split(TcpStream::connect(server).await.unwrap());
            let (mut received, sent) = (Vec::new(), &sent[..]);
            let send = async {
                output.write_all(sent).await.unwrap();
                output.shutdown().await.unwrap();
            };
            tokio::join!(send, async { input.read_to_end(&mut received).await.unwrap() });
            received
        });
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
        let counters = pair.link().counters(Side::Left);
        assert!(counters.bytes > 4_000_000 && counters.packets > 2_000, "{counters:?}");
        assert_eq!((counters.lost_down, counters.lost_queue), (0, 0));
    });
}

#[test]
fn a_link_that_is_down_loses_what_is_on_its_way_too() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let (server, _echo) = echo_datagrams(pair.right(), pair.right().ipv4().into());
        pair.left().run(async || {
            let socket = UdpSocket::bind((pair.left().ipv4(), 0)).await.unwrap();
            socket.send_to(b"lost on its way", server).await.unwrap();
            pair.link().set(Condition::Down);
            socket.send_to(b"lost at once", server).await.unwrap();
            assert!(datagram_round_trip(server).await.is_none());
            pair.link().set(Condition::Up);
            assert!(datagram_round_trip(server).await.is_some());
        });
        let counters = pair.link().counters(Side::Left);
        assert_eq!((counters.packets, counters.lost_down), (1, 3));
    });
}

#[test]
fn udp_can_be_blocked_while_tcp_passes() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        for ip in pair.right().addresses(0) {
            let (datagrams, _echo) = echo_datagrams(pair.right(), ip);
            let (streams, _echo) = echo_streams(pair.right(), ip);
            pair.link().block_udp(true);
            pair.left().run(async || {
                assert!(datagram_round_trip(datagrams).await.is_none());
                TcpStream::connect(streams).await.expect("TCP passes");
                pair.link().block_udp(false);
                assert!(datagram_round_trip(datagrams).await.is_some());
            });
        }
        assert_eq!(pair.link().counters(Side::Left).lost_blocked, 2);
    });
}

#[test]
fn a_resetting_link_ends_connections_at_both_sides_and_refuses_new_ones() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        for ip in pair.right().addresses(0) {
            let (send, address) = oneshot::channel();
            let server = pair.right().start(async move || {
                let listener = TcpListener::bind((ip, 0)).await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"x").await.unwrap();
                stream.read_u8().await.map_err(|error| error.kind())
            });
            let address = address.blocking_recv().unwrap();
            pair.left().run(async || {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.read_u8().await.unwrap();
                pair.link().set(Condition::Resetting);
                stream.write_all(b"x").await.unwrap();
                let end = stream.read_u8().await.map_err(|error| error.kind());
                assert_eq!(end, Err(ErrorKind::ConnectionReset));
                let refused = TcpStream::connect(address).await.map_err(|error| error.kind());
                assert_eq!(refused.map(drop), Err(ErrorKind::ConnectionRefused));
            });
            assert_eq!(server.join(), Err(ErrorKind::ConnectionReset));
            pair.link().set(Condition::Up);
        }
    });
}

#[test]
fn a_link_whose_queue_is_full_loses_what_does_not_fit() {
    with_pair(LinkSpec::new(DELAY).rate(1_000_000).queue(2000), |pair| {
        let server = SocketAddr::from((pair.right().ipv4(), 9));
        pair.left().run(async || {
            let socket = UdpSocket::bind((pair.left().ipv4(), 0)).await.unwrap();
            for _ in 0..3 {
                socket.send_to(&[0; 1000], server).await.unwrap();
            }
        });
        let begun = Instant::now();
        while pair.link().counters(Side::Left).packets == 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", pair.link());
            std::thread::yield_now();
        }
        assert!(pair.link().counters(Side::Left).lost_queue >= 1);
    });
}

#[test]
fn nothing_leads_out_of_the_namespaces() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let host = StdTcpListener::bind("127.0.0.1:0").unwrap();
        let address = host.local_addr().unwrap();
        for end in [pair.left(), pair.right()] {
            let interfaces = end.call(interfaces);
            assert_eq!(interfaces, BTreeSet::from(["lab0", "lo"].map(str::to_owned)));
            end.run(async || {
                // Addresses for documentation: they are nobody's.
                for out in ["192.0.2.1:9", "[2001:db8::1]:9"] {
                    let refused = TcpStream::connect(out).await.map_err(|error| error.kind());
                    assert_eq!(refused.map(drop), Err(ErrorKind::NetworkUnreachable), "{out}");
                }
                let refused = TcpStream::connect(address).await.map_err(|error| error.kind());
                assert_eq!(refused.map(drop), Err(ErrorKind::ConnectionRefused));
            });
        }
        assert!(!interfaces().contains("lab0"), "it is not in the host's network");
        for side in [Side::Left, Side::Right] {
            assert_eq!(pair.link().counters(side).packets, 0, "idle, it carries nothing");
        }
    });
}

#[test]
fn two_pairs_do_not_meet() {
    with_pair(LinkSpec::new(DELAY), |one| {
        let other = Pair::new(LinkSpec::new(DELAY)).expect("there is one already");
        let (server, _echo) = echo_datagrams(one.right(), one.right().ipv4().into());
        assert!(other.left().run(async || datagram_round_trip(server).await).is_none());
        assert!(one.left().run(async || datagram_round_trip(server).await).is_some());
    });
}

#[track_caller]
fn assert_round_trips(took: Duration, round_trips: u32, ip: IpAddr) {
    let least = DELAY * 2 * round_trips;
    assert!(took >= least, "{took:?} over {ip} is before {round_trips} round trips");
    assert!(took < least + SLACK, "{took:?} over {ip} is long after {round_trips} round trips");
}

/// The interfaces of the calling thread's namespace.
fn interfaces() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = table.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}
