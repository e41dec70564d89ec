//! Servers to connect to, clients that connect, and what they move.

use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netcom::{
    Connection, Events, LinkKind, Multiaddr, NetId, Node, NodeBuilder, NodeEvent, Role,
    StreamError, Ticket, generate_key,
};
use netcom_lab::{Namespace, Running};
use tokio::{
    sync::oneshot,
    time::{interval, timeout},
};

/// A node that speaks for an entity of its own, in a namespace.
pub(crate) struct Server {
    pub(crate) netid: NetId,
    pub(crate) ticket: Ticket,
    _running: Running<()>,
}

impl Server {
    /// Starts one that listens at `addresses` and answers each request with its body; `prepare`
    /// says what else it is and `work` what else it does.
    pub(crate) fn start(
        place: &Namespace,
        addresses: impl IntoIterator<Item = Multiaddr>,
        prepare: impl FnOnce(NodeBuilder) -> NodeBuilder,
        work: impl AsyncFnOnce(Node) + Send + 'static,
    ) -> Self {
        let entity = generate_key();
        let netid = entity.net_id();
        let builder = Node::builder().netid(entity).role(Role::Server);
        let builder = builder.discovery("off".parse().unwrap());
        let builder = prepare(addresses.into_iter().fold(builder, NodeBuilder::listen));
        let (send, ticket) = oneshot::channel();
        let running = place.start(async move || {
            let node = builder.build().await.expect("it can listen");
            node.on_request(|request| async move { Ok(request.into_body()) });
            send.send(node.ticket()).expect("the test waits for it");
            work(node.clone()).await;
            std::future::pending::<()>().await;
        });
        let ticket = ticket.blocking_recv().expect("the server runs");
        Self { netid, ticket, _running: running }
    }
}

/// Where to listen for one kind of link, at a port of the system's choice.
pub(crate) fn address(ip: IpAddr, kind: LinkKind) -> Multiaddr {
    let version = if ip.is_ipv4() { "ip4" } else { "ip6" };
    let rest = if kind == LinkKind::Quic { "udp/0/quic-v1" } else { "tcp/0" };
    format!("/{version}/{ip}/{rest}").parse().unwrap()
}

/// A node that only connects, and knows what it is told.
pub(crate) fn client() -> NodeBuilder {
    Node::builder().role(Role::Client).discovery("off".parse().unwrap())
}

/// The same with a directory in which it finds the nodes of this host.
pub(crate) fn finder(builder: NodeBuilder, registry: &Path) -> NodeBuilder {
    builder.discovery("host".parse().unwrap()).registry(registry)
}

/// Sends back what comes on the first stream of each connection.
pub(crate) async fn echo(node: Node) {
    let mut incoming = node.incoming();
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let stream = connection.incoming_streams().next().await;
            let Some(mut stream) = stream.and_then(netcom::IncomingStream::into_bytes) else {
                return;
            };
            while let Ok(Some(chunk)) = stream.read_chunk(CHUNK).await {
                if stream.write_bytes(chunk).await.is_err() {
                    return;
                }
            }
            // What was not whole is reset by the drop, never ended in order.
            let _ = stream.finish().await;
        });
    }
}

/// Sends so many bytes to an echo and checks each that comes back, telling `progress` how many
/// have come.
pub(crate) async fn transfer(
    connection: &Connection,
    length: usize,
    mut progress: impl FnMut(usize),
) -> Result<(), StreamError> {
    let stream = connection.bytes_stream().await.expect("the session takes streams");
    let (mut sender, mut receiver) = stream.into_split();
    let send = async {
        for begin in (0..length).step_by(CHUNK) {
            sender.write_bytes(pattern(begin..length.min(begin + CHUNK))).await?;
        }
        sender.finish().await
    };
    let receive = async {
        let mut received = 0;
        while let Some(chunk) = receiver.read_chunk(CHUNK).await? {
            let expected = pattern(received..received + chunk.len());
            assert!(chunk == expected, "other bytes after {received}");
            received += chunk.len();
            progress(received);
        }
        assert_eq!(received, length, "ended in order, and short");
        Ok(())
    };
    tokio::try_join!(send, receive).map(drop)
}

/// Waits for an event.
pub(crate) async fn until_event(events: &mut Events, is_it: impl Fn(&NodeEvent) -> bool) {
    let wait = async {
        loop {
            let event = events.next().await.expect("the node runs");
            if is_it(&event) {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the event comes");
}

/// Waits for something outside to become true.
pub(crate) async fn until(is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut look = interval(Duration::from_millis(5));
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "it never happens");
        look.tick().await;
    }
}

/// Bytes of which each says where it stands.
pub(crate) fn pattern(range: std::ops::Range<usize>) -> Bytes {
    range.map(|place| (place.wrapping_mul(0x9e37_79b9) >> 12) as u8).collect()
}

const CHUNK: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);
