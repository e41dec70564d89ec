//! What takes hours for a user: the time is passed in.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use netcom_identity::{Representation, Role, SecretKey, Terms};
use netcom_transport::AddressWatch;
use tokio::sync::watch;

use super::{Node, NodeBuilder, Shared};
use crate::{
    Code, NodeEvent, OpenError, clock::unix_now, connection::Connection, keys::generate_key,
    session::SharedSession,
};

fn builder() -> NodeBuilder {
    let scope = netcom_discovery::Scope::Off;
    Node::builder().discovery(scope).listen("/ip4/127.0.0.1/tcp/0".parse().unwrap())
}

async fn connected(server: &Node) -> (Node, Connection, Arc<SharedSession>) {
    server.on_request(|request| async move { Ok(request.into_body()) });
    let node = builder().build().await.unwrap();
    let connection = node.connect(server.ticket()).await.unwrap();
    assert_eq!(connection.request("hello").await.unwrap(), "hello");
    let session = node.shared().sessions.all().pop().unwrap();
    (node, connection, session)
}

async fn server_with_proof_for(netid: &SecretKey, seconds: u64) -> Node {
    let key = generate_key();
    let now = unix_now();
    let terms = Terms::new(1, now.minus_seconds(60), now.plus_seconds(seconds));
    let proof = Representation::issue(netid, key.peer_id(), &terms);
    builder().identity(key).representation(proof).build().await.unwrap()
}

fn speaks_for(session: &SharedSession, netid: &SecretKey) -> bool {
    session.visitor().netids().contains(&netid.net_id())
}

#[tokio::test]
async fn a_proof_that_ended_counts_a_minute_longer_and_no_more() {
    let alice = generate_key();
    let server = server_with_proof_for(&alice, 1000).await;
    let (node, connection, session) = connected(&server).await;
    let shared: &Shared = node.shared();
    assert!(speaks_for(&session, &alice));
    assert_eq!(connection.netid(), Some(alice.net_id()));

    let start = unix_now();
    assert!(session.proofs_due().seconds_since(start) > 900, "not looked at before it ends");
    shared.look_at_proofs(start.plus_seconds(1055));
    assert!(speaks_for(&session, &alice));
    shared.look_at_proofs(start.plus_seconds(1065));
    assert!(!speaks_for(&session, &alice));
    let refused = connection.bytes_stream().await.unwrap_err();
    assert_eq!(refused, OpenError::SessionEnded(Code::REPRESENTATION_EXPIRED));
    // The session between the nodes stays.
    let peer = node.connect_to_peer(server.peer_id()).await.unwrap();
    assert_eq!(peer.request("hello").await.unwrap(), "hello");
    assert_eq!(shared.sessions.all().len(), 1);
    // Also where clocks are set back, nothing comes back that was not proven.
    shared.look_at_proofs(start.plus_seconds(1030));
    assert!(!speaks_for(&session, &alice));
}

#[tokio::test]
async fn proofs_are_renewed_at_half_of_their_life_on_living_sessions() {
    let alice = generate_key();
    let server = builder().netid(alice.clone()).build().await.unwrap();
    let (node, connection, session) = connected(&server).await;
    let (server, node) = (server.shared(), node.shared());
    let before = server.shown.read()[0].expires();

    let later = |hours: u64| unix_now().plus_seconds(hours * 3600);
    server.look_at_proofs(later(11));
    assert_eq!(server.shown.read()[0].expires(), before);
    server.look_at_proofs(later(13));
    assert!(server.shown.read()[0].expires() >= later(36));

    // The proof travels before what is written after it.
    assert_eq!(connection.request("anything").await.unwrap(), "anything");
    let arrived = async {
        while node.renewed.lock().get(&session.key()).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived).await.unwrap();
    node.look_at_proofs(later(25));
    assert!(speaks_for(&session, &alice), "the renewed proof holds");
    node.look_at_proofs(later(38));
    assert!(!speaks_for(&session, &alice));
}

/// The machine's addresses as a test says.
#[derive(Debug)]
struct ByHand(watch::Receiver<BTreeSet<IpAddr>>);

impl AddressWatch for ByHand {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        Ok(self.0.borrow().clone())
    }
}

#[tokio::test]
async fn a_link_that_answers_outlives_the_news_that_its_address_is_gone() {
    let here = BTreeSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let scope = netcom_discovery::Scope::Off;
        let server = Node::builder().discovery(scope).listen(listen.parse().unwrap());
        let server = server.build().await.unwrap();
        server.on_request(|request| async move { Ok(request.into_body()) });
        let (hand, watch) = watch::channel(here.clone());
        let node = Node::builder().discovery(scope).role(Role::Client);
        let node = node.address_watch(ByHand(watch)).build().await.unwrap();
        let connection = node.connect(server.ticket()).await.unwrap();
        assert_eq!(connection.request("hello").await.unwrap(), "hello");
        let mut events = node.events();
        let nothing = BTreeSet::new();
        for (before, present) in [(&here, &nothing), (&nothing, &here)] {
            let [gone, come] = [before, present].map(|those| those.iter().copied().collect());
            hand.send_replace(present.clone());
            let is_move = |event: &NodeEvent| matches!(event, NodeEvent::AddressesChanged { .. });
            let told = loop {
                let event = events.next().await.unwrap();
                if is_move(&event) {
                    break event;
                }
            };
            assert_eq!(told, NodeEvent::AddressesChanged { gone, come });
            assert_eq!(connection.request("hello").await.unwrap(), "hello", "{listen}");
        }
        assert_eq!(node.shared().sessions.all().len(), 1);
    }
}
