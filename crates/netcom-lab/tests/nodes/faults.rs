//! Links that fail: streams go on, or end with an error that says so.

use std::time::Duration;

use netcom::{LinkKind, Node, NodeBuilder, NodeEvent, StreamError};
use netcom_lab::{Condition, Link, LinkSpec, Side, with_pair};
use tokio::sync::watch;

use crate::support::{Server, address, client, echo, transfer, until, until_event};

const DELAY: Duration = Duration::from_millis(10);
/// Bytes that go there and come back.
const LENGTH: usize = 6 << 20;
/// How many have come back when the link fails.
const EARLY: usize = 1 << 20;

#[test]
fn a_transfer_goes_on_after_its_connection_was_cut_and_the_network_came_back() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        for socket in pair.right().sockets() {
            let listen = [address(socket.ip(), LinkKind::Tcp)];
            let server = Server::start(pair.right(), listen, |builder| builder, echo);
            pair.left().run(async || {
                let node = client().build().await.unwrap();
                let mut events = node.events();
                let connection = node.connect(server.ticket.clone()).await.unwrap();
                let (come, mut progress) = watch::channel(0);
                let cut = async {
                    progress.wait_for(|come| *come >= EARLY).await.unwrap();
                    cut(&node, pair.link()).await;
                    // The first dial into the dead network is lost.
                    let lost = || pair.link().counters(Side::Left).lost_down;
                    let before = lost();
                    until(|| lost() > before).await;
                    pair.link().set(Condition::Up);
                    until_event(&mut events, |event| matches!(event, NodeEvent::Resumed { .. }))
                        .await;
                };
                let transfer = transfer(&connection, LENGTH, |bytes| {
                    come.send_replace(bytes);
                });
                let (result, ()) = tokio::join!(transfer, cut);
                result.expect("every byte, once and in order");
                node.close().await;
            });
        }
    });
}

#[test]
fn outside_the_window_streams_end_with_an_error_that_says_so() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let listen = [address(pair.right().ipv4().into(), LinkKind::Tcp)];
        let server = Server::start(pair.right(), listen, hasty, echo);
        pair.left().run(async || {
            let node = hasty(client()).build().await.unwrap();
            let mut events = node.events();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            let (come, mut progress) = watch::channel(0);
            let cut = async {
                progress.wait_for(|come| *come >= EARLY).await.unwrap();
                cut(&node, pair.link()).await;
            };
            let transfer = transfer(&connection, LENGTH, |bytes| {
                come.send_replace(bytes);
            });
            let (result, ()) = tokio::join!(transfer, cut);
            assert!(matches!(result, Err(StreamError::SessionEnded { .. })), "{result:?}");
            let is_end = |event: &NodeEvent| matches!(event, NodeEvent::Disconnected { .. });
            until_event(&mut events, is_end).await;
            // Not this one: the peer knows nothing of the end while nothing reaches it.
            pair.link().set(Condition::Up);
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            assert_eq!(connection.request("again").await.unwrap(), "again");
            node.close().await;
        });
    });
}

#[test]
fn a_transfer_outlives_a_moment_in_which_nothing_arrives() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        for kind in [LinkKind::Tcp, LinkKind::Quic] {
            let listen = [address(pair.right().ipv6().into(), kind)];
            let server = Server::start(pair.right(), listen, |builder| builder, echo);
            pair.left().run(async || {
                let node = client().build().await.unwrap();
                let connection = node.connect(server.ticket.clone()).await.unwrap();
                let (come, mut progress) = watch::channel(0);
                let gap = async {
                    progress.wait_for(|come| *come >= EARLY).await.unwrap();
                    let lost = || {
                        let sides = [Side::Left, Side::Right];
                        sides.map(|side| pair.link().counters(side).lost_down).iter().sum::<u64>()
                    };
                    let before = lost();
                    pair.link().set(Condition::Down);
                    until(|| lost() > before).await;
                    pair.link().set(Condition::Up);
                };
                let transfer = transfer(&connection, LENGTH, |bytes| {
                    come.send_replace(bytes);
                });
                let (result, ()) = tokio::join!(transfer, gap);
                result.expect("every byte, once and in order");
                assert_eq!(connection.path().link, Some(kind));
                node.close().await;
            });
        }
    });
}

#[test]
fn nodes_connect_over_tcp_where_udp_is_blocked() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        pair.link().block_udp(true);
        let listen = pair.right().sockets().into_iter().flat_map(|socket| {
            [LinkKind::Quic, LinkKind::Tcp].map(|kind| address(socket.ip(), kind))
        });
        let server = Server::start(pair.right(), listen, |builder| builder, async |_| ());
        pair.left().run(async || {
            let node = client().build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            assert_eq!(connection.request("hello").await.unwrap(), "hello");
            assert_eq!(connection.path().link, Some(LinkKind::Tcp));
            let quic = node.connect_with(server.ticket.clone()).link(LinkKind::Quic);
            let error = quic.timeout(Duration::from_secs(2)).await.unwrap_err();
            assert!(error.is_retryable(), "{error}");
            node.close().await;
        });
        assert!(pair.link().counters(Side::Left).lost_blocked > 0);
    });
}

/// Cuts the node's connections, and the network with them once the node knows.
async fn cut(node: &Node, link: &Link) {
    let mut events = node.events();
    link.set(Condition::Resetting);
    until_event(&mut events, |event| matches!(event, NodeEvent::Detached { .. })).await;
    link.set(Condition::Down);
}

/// A node that waits for a lost peer no longer than a second.
fn hasty(builder: NodeBuilder) -> NodeBuilder {
    let mut limits = netcom::Limits::default();
    limits.session.resume_window = Duration::from_secs(1);
    builder.limits(limits)
}
