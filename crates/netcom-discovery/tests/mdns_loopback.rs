//! mDNS over sockets, on the loopback interface alone.

mod common;

use std::{net::UdpSocket, sync::Arc, time::Duration};

use common::{PATIENCE, find, key, record};
use netcom_discovery::{Discovery, Found, Interfaces, Mdns, MdnsConfig, MdnsError, Query};
use netcom_identity::{Multiaddr, PeerId};

/// A port of its own makes each test a world of its own.
fn config() -> MdnsConfig {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("its address").port();
    MdnsConfig::default().interfaces(Interfaces::Loopback).port(port)
}

fn discovery(config: &MdnsConfig) -> (Discovery, Arc<Mdns>) {
    let mdns = Arc::new(Mdns::start(config.clone()).expect("loopback"));
    let mut discovery = Discovery::default();
    discovery.add(mdns.clone());
    (discovery, mdns)
}

#[tokio::test]
async fn two_nodes_find_each_other_by_peer_and_by_netid() {
    let config = config();
    let (one, _) = discovery(&config);
    let (two, _) = discovery(&config);
    one.publish(record(1, 50)).await.unwrap();
    two.publish(record(2, 50)).await.unwrap();
    let by_peer = find(&one, Query::Peer(key(2).peer_id()), PATIENCE).await;
    assert_eq!(by_peer, Some(key(2).peer_id()));
    let by_netid = find(&two, Query::NetId(key(50).net_id()), PATIENCE).await;
    assert_eq!(by_netid, Some(key(1).peer_id()));
}

#[tokio::test]
async fn a_waiting_lookup_finds_a_node_that_comes_later() {
    let config = config();
    let (one, _) = discovery(&config);
    let mut lookup = one.lookup(Query::NetId(key(50).net_id()), PATIENCE);
    let (two, _) = discovery(&config);
    two.publish(record(2, 50)).await.unwrap();
    assert_eq!(lookup.next().await.unwrap().found.peer(), key(2).peer_id());
}

#[tokio::test]
async fn a_node_that_closes_is_forgotten_at_once() {
    let config = config();
    let (one, _) = discovery(&config);
    let (two, closing) = discovery(&config);
    two.publish(record(2, 50)).await.unwrap();
    let query = Query::Peer(key(2).peer_id());
    assert!(find(&one, query, PATIENCE).await.is_some());
    closing.close().await;
    assert!(two.publish(record(2, 50)).await.is_err());
    // The goodbye is in the socket's buffer by now; what remains is that the task reads it.
    let mut lookups = 0;
    while find(&one, query, Duration::from_millis(50)).await.is_some() {
        lookups += 1;
        assert!(lookups < 100_000, "the node is still known");
    }
}

#[tokio::test]
async fn a_node_that_is_dropped_says_goodbye() {
    let config = config();
    let (one, heard) = discovery(&config);
    let two = discovery(&config);
    two.0.publish(record(2, 50)).await.unwrap();
    let query = Query::Peer(key(2).peer_id());
    assert!(find(&one, query, PATIENCE).await.is_some());
    assert_eq!(heard.stats().peers, 1);
    drop(two);
    let mut lookups = 0;
    while find(&one, query, Duration::from_millis(50)).await.is_some() {
        lookups += 1;
        assert!(lookups < 100_000, "the node is still known");
    }
    assert_eq!(heard.stats().peers, 0);
}

#[tokio::test]
async fn what_a_libp2p_node_answers_is_a_hint_for_its_peer_and_nothing_for_a_netid() {
    let config = config();
    let port = config.port;
    let (one, _) = discovery(&config);
    let peer = key(7).peer_id();
    let by_netid = one.lookup(Query::NetId(key(7).net_id()), Duration::from_millis(500));
    let mut by_peer = one.lookup(Query::Peer(peer), PATIENCE);

    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/4001/p2p/{peer}").parse().unwrap();
    let packet = libp2p_answer(&peer, &address);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = socket2::SockRef::from(&socket);
    socket.set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST).unwrap();
    let group = std::net::SocketAddr::from(([224, 0, 0, 251], port));
    socket.send_to(&packet, &group.into()).unwrap();

    let found = by_peer.next().await.unwrap().found;
    assert!(
        matches!(&found, Found::Hint { addresses, .. } if *addresses == [address]),
        "{found:?}"
    );
    drop(by_peer);
    let mut by_netid = by_netid;
    assert!(by_netid.next().await.is_none());
}

/// An answer byte for byte as rust-libp2p 0.57 writes it, which names the instance by a bare
/// label.
fn libp2p_answer(peer: &PeerId, address: &Multiaddr) -> Vec<u8> {
    let instance = b"\x20abcdefghijklmnopqrstuvwxyz012345\0";
    let service = b"\x04_p2p\x04_udp\x05local\0";
    let text = format!("dnsaddr={address}");
    assert!(text.ends_with(&peer.to_string()));
    let mut packet = b"\xf8\xf8\x84\0\0\0\0\x01\0\0\0\x01".to_vec();
    packet.extend(service);
    packet.extend(b"\0\x0c\0\x01\0\0\x01\x68");
    packet.extend((instance.len() as u16).to_be_bytes());
    packet.extend(instance);
    packet.extend(instance);
    packet.extend(b"\0\x10\x80\x01\0\0\x01\x68");
    packet.extend((text.len() as u16 + 1).to_be_bytes());
    packet.push(text.len() as u8);
    packet.extend(text.as_bytes());
    packet
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named() {
    let config = config().interfaces(Interfaces::Named(vec!["netcom-none".to_owned()]));
    let error = Mdns::start(config).unwrap_err();
    assert!(matches!(error, MdnsError::Missing { .. }));
    assert_eq!(error.to_string(), "there is no network interface netcom-none");
}

#[tokio::test]
async fn a_port_that_another_program_holds_for_itself_is_an_error() {
    let config = config();
    let taken = UdpSocket::bind(("0.0.0.0", config.port)).unwrap();
    let error = Mdns::start(config.clone()).unwrap_err();
    assert!(matches!(error, MdnsError::Socket { .. }), "{error}");
    drop(taken);
    Mdns::start(config).unwrap();
}
