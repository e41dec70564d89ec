//! Network cards go down and change their addresses while streams run: that is acted on at once,
//! long before silence would show it.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use netcom::{Connection, LinkKind, Multiaddr, Node, NodeEvent};
use netcom_lab::{LinkSpec, Pair, with_links, with_pair};
use netcom_transport::{AddressWatch as _, SystemAddresses};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::{
    cuts::{Seen, WARM, read, stream_without_end},
    support::{Server, address, client, finder, until, until_event},
};

/// What becomes of the client's card that is in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    /// It is down, and another leads to the server.
    Down,
    /// It has other addresses.
    Addresses,
}

#[test]
fn the_watch_tells_what_the_kernel_did_and_rests_otherwise() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        pair.left().run(async || {
            let mut watch = SystemAddresses::new();
            let holds = |watch: &SystemAddresses, ips: [IpAddr; 2]| {
                let addresses = watch.addresses().unwrap();
                ips.iter().all(|ip| addresses.contains(ip))
            };
            let before = pair.left().addresses(0);
            assert!(holds(&watch, before));
            assert!(timeout(QUIET, watch.changed()).await.is_err(), "nothing happened");
            pair.left().change_address(0).unwrap();
            timeout(QUIET, watch.changed()).await.unwrap();
            assert!(!holds(&watch, before) && holds(&watch, pair.left().addresses(0)));
            pair.left().interface_down(0).unwrap();
            timeout(QUIET, watch.changed()).await.unwrap();
            let left = watch.addresses().unwrap();
            assert!(left.iter().all(IpAddr::is_loopback), "{left:?}");
        });
    });
}

#[test]
fn a_quic_link_moves_with_the_card_and_is_not_replaced() {
    check(LinkKind::Quic, |connection| {
        let path = connection.path();
        assert_eq!((path.link, path.standby), (Some(LinkKind::Quic), 0));
    });
}

#[test]
fn a_tcp_link_is_replaced_as_soon_as_its_address_is_gone() {
    check(LinkKind::Tcp, |connection| assert_eq!(connection.path().link, Some(LinkKind::Tcp)));
}

#[test]
fn a_session_that_waits_for_a_network_goes_on_as_soon_as_there_is_one() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let listen = [address(pair.right().ipv4().into(), LinkKind::Tcp)];
        let server = Server::start(pair.right(), listen, |builder| builder, async |_| ());
        pair.left().run(async || {
            let node = client().build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            assert_eq!(connection.request("hello").await.unwrap(), "hello");
            let mut events = node.events();
            pair.left().interface_down(0).unwrap();
            until_event(&mut events, is_move).await;
            let request = tokio::spawn(async move { connection.request("again").await });
            // Long enough for the waits between dials to have grown to seconds.
            tokio::time::sleep(AWAY).await;
            pair.left().interface_up(0).unwrap();
            let begun = Instant::now();
            assert_eq!(request.await.unwrap().unwrap(), "again");
            let took = begun.elapsed();
            println!("answered {took:.0?} after the network came");
            assert!(took < SOON, "{took:?}");
            node.close().await;
        });
    });
}

#[test]
fn a_server_that_changes_its_addresses_is_found_at_the_new_ones() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let registry = tempfile::tempdir().unwrap();
        let registry = &registry.path().join("registry");
        let listen: [Multiaddr; 1] = ["/ip4/0.0.0.0/tcp/0".parse().unwrap()];
        let found = |builder| finder(builder, registry);
        let server = Server::start(pair.right(), listen, found, stream_without_end);
        let peer = *server.ticket.peer_id();
        pair.left().run(async || {
            let node = finder(client(), registry).build().await.unwrap();
            let connection = node.connect_to_peer(peer).await.unwrap();
            let seen = Arc::new(Mutex::new(Seen::nothing()));
            let reader = tokio::spawn(read(connection.clone(), Arc::clone(&seen)));
            until(|| seen.lock().bytes > WARM).await;
            seen.lock().longest = Duration::ZERO;
            pair.right().change_address(0).unwrap();
            let bytes = seen.lock().bytes;
            until(|| seen.lock().bytes > bytes + 2 * WARM).await;
            let gap = seen.lock().longest;
            println!("the server's addresses changed: gap {gap:.0?}");
            assert!(gap < COLD, "{gap:?}");
            let remote = connection.path().remote.expect("a link is in use").to_string();
            assert!(remote.contains(&pair.right().ipv4().to_string()), "{remote}");
            reader.abort();
            node.close().await;
        });
    });
}

/// Changes the card in use over and over, and looks at the gaps.
#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn check(kind: LinkKind, look: impl Fn(&Connection) + Copy + Sync) {
    let moves = std::env::var("NETCOM_MOVES").ok().and_then(|count| count.parse().ok());
    for (change, links) in [(Change::Down, 2), (Change::Addresses, 1)] {
        with_links(&vec![LinkSpec::new(DELAY); links], |pair| {
            for ip in pair.right().addresses(0) {
                let listen = [address(ip, kind)];
                let server = Server::start(pair.right(), listen, |b| b, stream_without_end);
                let moves = 0..moves.unwrap_or(MOVES);
                let mut gaps: Vec<Duration> =
                    moves.map(|_| one_move(pair, &server, change, look)).collect();
                gaps.sort();
                println!("{kind:?}, {change:?}, {ip}: gaps {gaps:.0?}");
                // A machine with other work makes some longer.
                assert!(gaps[(gaps.len() - 1) / 2] < SOON, "{kind:?}, {change:?}: {gaps:?}");
            }
        });
    }
}

/// Connects, changes the card under load, and tells the longest time without new bytes.
fn one_move(
    pair: &Pair,
    server: &Server,
    change: Change,
    look: impl Fn(&Connection) + Sync,
) -> Duration {
    let gap = pair.left().run(async || {
        let node = client().build().await.unwrap();
        let connection = node.connect(server.ticket.clone()).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::nothing()));
        let reader = tokio::spawn(read(connection.clone(), Arc::clone(&seen)));
        until(|| seen.lock().bytes > WARM).await;
        seen.lock().longest = Duration::ZERO;
        let mut events = node.events();
        match change {
            Change::Down => pair.left().interface_down(0).unwrap(),
            Change::Addresses => pair.left().change_address(0).unwrap(),
        }
        until_event(&mut events, is_move).await;
        let bytes = seen.lock().bytes;
        until(|| seen.lock().bytes > bytes + WARM).await;
        look(&connection);
        let gap = seen.lock().longest;
        assert!(!reader.is_finished(), "the stream goes on");
        reader.abort();
        close(node).await;
        gap
    });
    if change == Change::Down {
        pair.left().interface_up(0).unwrap();
    }
    gap
}

fn is_move(event: &NodeEvent) -> bool {
    matches!(event, NodeEvent::AddressesChanged { .. })
}

async fn close(node: Node) {
    timeout(PATIENCE, node.close()).await.unwrap();
}

const DELAY: Duration = Duration::from_millis(10);
/// How long nothing is waited for.
const QUIET: Duration = Duration::from_millis(500);
/// Less than the time after which the only link is called silent and another one is dialled: a
/// second and more.
const SOON: Duration = Duration::from_millis(900);
/// What a link that fails without a word may take.
const COLD: Duration = Duration::from_secs(5);
const AWAY: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(30);
/// Of each kind in the short form.
const MOVES: usize = 2;
