//! Hosts behind routers: what the public network sees of them, and what reaches them.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket},
    time::Duration,
};

use netcom_lab::{
    Firewall, LinkSpec, Namespace, Nat, RouterSpec, Running, Side, Topology, with_topology,
};
use tokio::{
    net::UdpSocket,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::support::{datagram_round_trip, echo_datagrams, echo_streams, streams};

#[test]
fn a_router_that_keeps_ports_shows_all_destinations_the_same_one() {
    for nat in [Nat::PortPreserving, Nat::EndpointIndependent] {
        with_topology(&[RouterSpec::new(nat)], SPEC, |topology| {
            let (public, _mirrors) = mirrors(topology);
            topology.host().run(async || {
                let socket = socket(topology).await;
                let port = socket.local_addr().unwrap().port();
                let seen = (topology.routers()[0].address(), port).into();
                assert_eq!(ask_all(&socket, &public).await, BTreeSet::from([seen]), "{nat:?}");
            });
        });
    }
}

#[test]
fn a_symmetric_router_shows_each_destination_another_port() {
    with_topology(&[RouterSpec::new(Nat::EndpointDependent)], SPEC, |topology| {
        let (public, _mirrors) = mirrors(topology);
        topology.host().run(async || {
            let socket = socket(topology).await;
            let seen = ask_all(&socket, &public).await;
            // Two of four may have the same by chance, once in ten thousand runs.
            assert!(seen.len() > 2, "{seen:?}");
            let router = topology.routers()[0].address();
            assert!(seen.iter().all(|seen| seen.ip() == router), "{seen:?}");
            assert_eq!(ask_all(&socket, &public).await, seen, "as long as they are in use");
        });
    });
}

#[test]
fn behind_several_routers_the_last_one_is_seen() {
    let routers = [Nat::PortPreserving, Nat::EndpointIndependent, Nat::EndpointDependent];
    with_topology(&routers.map(RouterSpec::new), SPEC, |topology| {
        let (public, _mirrors) = mirrors(topology);
        topology.host().run(async || {
            let seen = ask_all(&socket(topology).await, &public).await;
            let last = topology.routers()[2].address();
            assert!(seen.len() > 2 && seen.iter().all(|seen| seen.ip() == last), "{seen:?}");
        });
        for ip in topology.public_addresses() {
            let (server, _echo) = echo_streams(topology.internet(), ip.into());
            assert!(topology.host().run(async || streams(server).await), "{ip}");
        }
    });
}

#[test]
fn a_stranger_reaches_the_port_of_a_full_cone_and_no_other() {
    let open = RouterSpec::new(Nat::EndpointIndependent);
    let cases = [
        (open, true),
        (open.firewall(Firewall::NoInbound), false),
        (RouterSpec::new(Nat::PortPreserving), false),
        (RouterSpec::new(Nat::EndpointDependent), false),
    ];
    for (router, is_reached) in cases {
        with_topology(&[router], SPEC, |topology| {
            let ([inside, outside], [public, other]) =
                ([topology.host(), topology.internet()], topology.public_addresses());
            let host = bind(inside, topology.host_address());
            let (server, stranger) = (bind(outside, public), bind(outside, other));
            send(&host, server.local_addr().unwrap());
            let seen = receive(&server).expect("nothing is in the way");
            send(&stranger, seen);
            assert_eq!(receive(&host).is_some(), is_reached, "{router:?}");
        });
    }
}

#[test]
fn through_a_firewall_without_translation_only_answers_come_in() {
    for (firewall, comes_in) in [(Firewall::Open, true), (Firewall::NoInbound, false)] {
        let router = RouterSpec::new(Nat::None).firewall(firewall);
        with_topology(&[router], SPEC, |topology| {
            let ([inside, outside], host) =
                ([topology.host(), topology.internet()], topology.host_address().into());
            let public = topology.public_addresses()[0].into();
            let (server, _streams) = echo_streams(outside, public);
            assert!(inside.run(async || streams(server).await), "{firewall:?}");
            let (server, _datagrams) = echo_datagrams(outside, public);
            assert!(inside.run(async || datagram_round_trip(server).await).is_some());
            let (server, _streams) = echo_streams(inside, host);
            assert_eq!(outside.run(async || streams(server).await), comes_in, "{firewall:?}");
            let (server, _datagrams) = echo_datagrams(inside, host);
            let asked = outside.run(async || datagram_round_trip(server).await);
            assert_eq!(asked.is_some(), comes_in, "{firewall:?}");
        });
    }
}

#[test]
fn where_udp_is_blocked_streams_pass() {
    let router = RouterSpec::new(Nat::PortPreserving).firewall(Firewall::NoUdp);
    with_topology(&[router], SPEC, |topology| {
        let public = topology.public_addresses()[0].into();
        let (server, _datagrams) = echo_datagrams(topology.internet(), public);
        assert!(topology.host().run(async || datagram_round_trip(server).await).is_none());
        assert_eq!(topology.uplink().counters(Side::Left).packets, 0, "none left the router");
        let (server, _streams) = echo_streams(topology.internet(), public);
        assert!(topology.host().run(async || streams(server).await));
    });
}

#[test]
fn a_router_that_forgot_lets_nobody_in_until_the_host_has_sent() {
    let cases = [
        (Nat::PortPreserving, true),
        (Nat::EndpointIndependent, true),
        (Nat::EndpointDependent, false),
    ];
    for (nat, is_same) in cases {
        with_topology(&[RouterSpec::new(nat)], SPEC, |topology| {
            let ([inside, outside], [public, _]) =
                ([topology.host(), topology.internet()], topology.public_addresses());
            let host = bind(inside, topology.host_address());
            let server = bind(outside, public);
            let server_address = server.local_addr().unwrap();
            send(&host, server_address);
            let seen = receive(&server).expect("nothing is in the way");
            send(&server, seen);
            assert_eq!(receive(&host), Some(server_address), "{nat:?}");
            topology.routers()[0].forget().unwrap();
            send(&server, seen);
            assert_eq!(receive(&host), None, "{nat:?}");
            send(&host, server_address);
            let again = receive(&server).expect("nothing is in the way");
            assert_eq!(again == seen, is_same, "{nat:?}: {seen}, then {again}");
            send(&server, again);
            assert_eq!(receive(&host), Some(server_address), "{nat:?}");
        });
    }
}

#[test]
fn a_router_that_changed_its_address_is_seen_at_the_new_one() {
    for nat in [Nat::PortPreserving, Nat::EndpointIndependent, Nat::EndpointDependent] {
        with_topology(&[RouterSpec::new(nat)], SPEC, |topology| {
            let (public, _mirrors) = mirrors(topology);
            let router = &topology.routers()[0];
            topology.host().run(async || {
                let socket = socket(topology).await;
                let mut addresses = BTreeSet::new();
                for _ in 0..3 {
                    let seen = ask(&socket, public[1]).await.expect("the mirror is reached");
                    assert_eq!(seen.ip(), router.address(), "{nat:?}");
                    addresses.insert(router.address());
                    router.change_address().unwrap();
                }
                assert_eq!(addresses.len(), 3, "{addresses:?}");
            });
        });
    }
}

#[test]
fn a_host_without_translation_is_reached_after_its_router_changed_its_address() {
    with_topology(&[RouterSpec::new(Nat::None)], SPEC, |topology| {
        topology.routers()[0].change_address().unwrap();
        let (server, _echo) = echo_datagrams(topology.host(), topology.host_address().into());
        assert!(topology.internet().run(async || datagram_round_trip(server).await).is_some());
    });
}

#[test]
fn the_uplink_is_what_it_was_asked_to_be() {
    let routers = [Nat::PortPreserving; 2].map(RouterSpec::new);
    with_topology(&routers, SPEC, |topology| {
        let (server, _echo) =
            echo_datagrams(topology.internet(), topology.public_addresses()[0].into());
        let took = topology.host().run(async || datagram_round_trip(server).await);
        assert!(took.is_some_and(|took| took >= SPEC.round_trip()), "{took:?}");
        let carried = Side::BOTH.map(|side| topology.uplink().counters(side).packets);
        assert_eq!(carried, [1, 1], "and nothing that nobody sent");
        topology.uplink().block_udp(true);
        assert!(topology.host().run(async || datagram_round_trip(server).await).is_none());
    });
}

/// Starts what answers each datagram with the address that it came from, at two ports of each
/// public address.
fn mirrors(topology: &Topology) -> (Vec<SocketAddr>, Vec<Running<()>>) {
    let addresses = topology.public_addresses();
    addresses.iter().chain(&addresses).map(|ip| mirror(topology.internet(), *ip)).unzip()
}

fn mirror(place: &Namespace, ip: Ipv4Addr) -> (SocketAddr, Running<()>) {
    let (send, address) = oneshot::channel();
    let running = place.start(async move || {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        send.send(socket.local_addr().unwrap()).unwrap();
        loop {
            let (_, from) = socket.recv_from(&mut [0; 64]).await.unwrap();
            socket.send_to(from.to_string().as_bytes(), from).await.unwrap();
        }
    });
    (address.blocking_recv().unwrap(), running)
}

async fn socket(topology: &Topology) -> UdpSocket {
    UdpSocket::bind((topology.host_address(), 0)).await.unwrap()
}

/// What the mirrors see a socket at.
async fn ask_all(socket: &UdpSocket, mirrors: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let mut seen = BTreeSet::new();
    for mirror in mirrors {
        seen.insert(ask(socket, *mirror).await.expect("the mirror is reached"));
    }
    seen
}

/// What a mirror sees a socket at; `None` if no answer came.
async fn ask(socket: &UdpSocket, mirror: SocketAddr) -> Option<SocketAddr> {
    socket.send_to(b"who am I", mirror).await.unwrap();
    let until = Instant::now() + SOON;
    let mut buffer = [0; 64];
    loop {
        let answer = timeout_at(until, socket.recv_from(&mut buffer)).await.ok()?;
        let (length, from) = answer.unwrap();
        // Others may have sent something before.
        if from == mirror {
            return std::str::from_utf8(&buffer[..length]).unwrap().parse().ok();
        }
    }
}

/// A socket that is waited for by hand.
fn bind(place: &Namespace, ip: Ipv4Addr) -> StdSocket {
    place.call(|| {
        let socket = StdSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket
    })
}

fn send(socket: &StdSocket, address: SocketAddr) {
    socket.send_to(b"hello", address).unwrap();
}

/// Who sent what arrives at a socket; `None` if nothing does.
fn receive(socket: &StdSocket) -> Option<SocketAddr> {
    socket.recv_from(&mut [0; 64]).ok().map(|(_, from)| from)
}

const SPEC: LinkSpec = LinkSpec::new(Duration::from_millis(5));
/// Many round trips.
const SOON: Duration = Duration::from_millis(500);
