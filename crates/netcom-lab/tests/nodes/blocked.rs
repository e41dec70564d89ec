//! Networks that let only a part through: a session comes up on what passes, and stays up on it
//! when the rest is lost later.

use std::time::Duration;

use netcom::LinkKind;
use netcom_lab::{Link, LinkSpec, PathSpec, Side, with_pair};
use tokio::{sync::watch, time::timeout};

use crate::support::{Server, address, client, echo, pattern, transfer};

/// What a network loses without a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lost {
    Udp,
    Tcp,
    /// Packets that are longer than [`MTU`], of which nobody is told (RFC 2923, section 2.1).
    Long,
}

#[test]
fn a_session_comes_up_on_what_passes() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let server = serve(pair.right());
        for lost in [Lost::Udp, Lost::Tcp, Lost::Long] {
            lost.begin(pair.link());
            pair.left().run(async || {
                let node = client().build().await.unwrap();
                let connection = node.connect(server.ticket.clone());
                let connection = timeout(SOON, connection).await.expect("in time").unwrap();
                let body = pattern(0..BODY);
                let answer = timeout(SOON, connection.request(body.clone())).await;
                assert!(answer.expect("in time").unwrap() == body, "{lost:?}");
                let link = connection.path().link.expect("one is in use");
                println!("{lost:?} lost: {link:?} is used");
                assert!(lost.spares(link), "{lost:?}: {link:?}");
                node.close().await;
            });
            lost.end(pair.link());
        }
    });
}

#[test]
fn a_session_stays_up_on_what_passes() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let server = serve(pair.right());
        let cases = [
            (LinkKind::Quic, Lost::Udp),
            (LinkKind::Tcp, Lost::Tcp),
            (LinkKind::Tcp, Lost::Long),
            (LinkKind::Quic, Lost::Long),
        ];
        for (kind, lost) in cases {
            pair.left().run(async || {
                let node = client().build().await.unwrap();
                let connection = node.connect_with(server.ticket.clone()).link(kind);
                let connection = connection.await.unwrap();
                let (come, mut progress) = watch::channel(0);
                let lose = async {
                    progress.wait_for(|come| *come >= EARLY).await.unwrap();
                    lost.begin(pair.link());
                };
                let transfer = transfer(&connection, LENGTH, |bytes| {
                    come.send_replace(bytes);
                });
                let both = async { tokio::join!(transfer, lose) };
                let (result, ()) = timeout(PATIENCE, both).await.expect("in time");
                result.expect("every byte, once and in order");
                let link = connection.path().link.expect("one is in use");
                println!("{kind:?}, then {lost:?} lost: {link:?} is used");
                assert!(lost.spares(link), "{lost:?}: {link:?}");
                timeout(PATIENCE, node.close()).await.unwrap();
            });
            lost.end(pair.link());
        }
    });
}

impl Lost {
    fn begin(self, link: &Link) {
        match self {
            Self::Udp => link.block_udp(true),
            Self::Tcp => link.block_tcp(true),
            Self::Long => set_mtu(link, MTU),
        }
    }

    fn end(self, link: &Link) {
        match self {
            Self::Udp => link.block_udp(false),
            Self::Tcp => link.block_tcp(false),
            Self::Long => set_mtu(link, WHOLE),
        }
    }

    /// Whether a link of that kind works all the same: QUIC begins with short packets and finds
    /// out how long they may be, TCP is told by its card.
    fn spares(self, kind: LinkKind) -> bool {
        match self {
            Self::Udp => kind == LinkKind::Tcp,
            Self::Tcp | Self::Long => kind == LinkKind::Quic,
        }
    }
}

fn set_mtu(link: &Link, mtu: usize) {
    for side in Side::BOTH {
        link.change(side, PathSpec { mtu, ..link.path(side) });
    }
}

/// A server at all addresses that it has.
fn serve(end: &netcom_lab::End) -> Server {
    let listen = end
        .sockets()
        .into_iter()
        .flat_map(|socket| [LinkKind::Quic, LinkKind::Tcp].map(|kind| address(socket.ip(), kind)));
    Server::start(end, listen, |builder| builder, echo)
}

/// Bytes of a request and of its answer: many long packets.
const BODY: usize = 100 << 10;
const DELAY: Duration = Duration::from_millis(10);
/// Bytes that go there and come back.
const LENGTH: usize = 8 << 20;
/// How many have come back when a part of the network is lost.
const EARLY: usize = 1 << 20;
/// The longest packet that passes, with its IP header: what IPv6 asks of every network.
const MTU: usize = 1280;
const WHOLE: usize = 1500;
const SOON: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);
