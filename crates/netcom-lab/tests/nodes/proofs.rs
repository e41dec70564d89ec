//! What nodes that prove nothing get to see.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use netcom::{
    ConnectError, LinkKind, NetId, NodeEvent, PeerId, Representation, SecretKey, Terms, Ticket,
    UnixTime, generate_key,
};
use netcom_lab::{End, LinkSpec, Running, with_pair};
use netcom_transport::{HelloError, Transport, TransportConfig};
use tokio::sync::{mpsc, oneshot};

use crate::support::{Server, address, client};

const DELAY: Duration = Duration::from_millis(40);
/// Each kind of link, and the round trips after which the other side is proven.
const KINDS: [(LinkKind, u32); 2] = [(LinkKind::Tcp, 2), (LinkKind::Quic, 1)];
/// The part of a further round trip that two ends and a busy machine may take to compute.
const SLACK: f64 = 0.8;
/// How often a busy machine may be too slow.
const TRIES: usize = 10;

#[test]
fn netid_proof_costs_no_round_trip_and_no_byte_leaves_before_it() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let entity = generate_key();
        for (kind, round_trips) in KINDS {
            for (name, shown) in claims(&entity) {
                let mut liar = Liar::start(pair.right(), kind, shown);
                let ticket = liar.ticket.clone().with_netid(entity.net_id());
                let least = DELAY * 2 * round_trips;
                let most = least + (DELAY * 2).mul_f64(SLACK);
                let what = format!("{name} over {kind:?}");
                pair.left().run(async || {
                    for _ in 0..TRIES {
                        let took = refused(&ticket, entity.net_id(), &what).await;
                        let said = liar.heard.recv().await.expect("the link came about");
                        assert!(matches!(said, Err(HelloError::Ended(_))), "{what}: {said:?}");
                        // Known with the handshake, and not asked for.
                        assert!(took >= least, "{took:?} is too good for {what}");
                        if took < most {
                            return;
                        }
                    }
                    panic!("never before {most:?} for {what}");
                });
            }
        }
    });
}

#[test]
fn a_node_of_another_entity_sees_no_session_and_no_request() {
    with_pair(LinkSpec::new(DELAY), |pair| {
        let wanted = generate_key().net_id();
        for (kind, _) in KINDS {
            let listen = [address(pair.right().ipv6().into(), kind)];
            let requests = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&requests);
            let (send, mut connected) = mpsc::channel(8);
            let server = Server::start(
                pair.right(),
                listen,
                |builder| builder,
                async |node| {
                    let mut events = node.events();
                    node.on_request(move |request| {
                        counter.fetch_add(1, Ordering::SeqCst);
                        async move { Ok(request.into_body()) }
                    });
                    tokio::spawn(async move {
                        while let Some(event) = events.next().await {
                            if let NodeEvent::Connected { peer, .. } = event {
                                send.send(peer).await.unwrap();
                            }
                        }
                    });
                },
            );
            let right = server.ticket.clone();
            let wrong = Ticket::new(*right.peer_id(), right.addresses().to_vec()).unwrap();
            let wrong = wrong.with_netid(wanted);
            pair.left().run(async || {
                let client = client().build().await.unwrap();
                let error = client.connect(wrong).await.unwrap_err();
                assert_eq!(error.code(), "not_represented", "{error}");
                let connection = client.connect(right).await.expect("it is who it says it is");
                assert_eq!(connection.netid(), Some(server.netid));
                assert_eq!(connection.request("hello").await.unwrap(), "hello");
                assert_eq!(connected.recv().await, Some(client.peer_id()));
                client.close().await;
            });
            assert_eq!(requests.load(Ordering::SeqCst), 1);
            assert!(connected.try_recv().is_err(), "a second session");
        }
    });
}

/// How long it takes to be sure that who is meant does not speak for the entity.
async fn refused(ticket: &Ticket, entity: NetId, what: &str) -> Duration {
    let client = client().build().await.unwrap();
    let begun = Instant::now();
    let refused = client.connect(ticket.clone()).await.map(drop);
    let took = begun.elapsed();
    match refused {
        Err(ConnectError::NotRepresented { peer, netid, .. }) => {
            assert_eq!((&peer, netid), (ticket.peer_id(), entity));
        }
        other => panic!("{what}: {other:?}"),
    }
    client.close().await;
    took
}

/// A server without a session behind it that shows what no honest node would.
struct Liar {
    ticket: Ticket,
    heard: mpsc::Receiver<Result<(), HelloError>>,
    _running: Running<()>,
}

impl Liar {
    fn start(end: &End, kind: LinkKind, shown: impl Fn(PeerId) -> Vec<Representation>) -> Self {
        let key = generate_key();
        let peer = key.peer_id();
        let mut config = TransportConfig::new(key);
        config.representations = shown(peer);
        let listen = address(end.ipv4().into(), kind);
        let (send_address, address) = oneshot::channel();
        let (send, heard) = mpsc::channel(8);
        let running = end.start(async move || {
            let (transport, mut links) = Transport::new(config).unwrap();
            send_address.send(transport.listen(&listen).await.unwrap()).unwrap();
            while let Some(mut link) = links.recv().await {
                let said = link.recv_hello(Duration::from_secs(5)).await;
                let _ = send.send(said.map(drop)).await;
            }
        });
        let address = address.blocking_recv().unwrap();
        let ticket = Ticket::new(peer, [address]).unwrap();
        Self { ticket, heard, _running: running }
    }
}

type Claim<'a> = (&'static str, Box<dyn Fn(PeerId) -> Vec<Representation> + 'a>);

/// What a node may show that does not let it speak for the entity.
fn claims(entity: &SecretKey) -> [Claim<'_>; 4] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = |seconds: u64| UnixTime(seconds);
    let current = Terms::new(1, at(now - 600), at(now + 600));
    let expired = Terms::new(1, at(now - 600), at(now - 60));
    let (foreign, stolen) = (current.clone(), current);
    [
        ("nothing", Box::new(|_| Vec::new())),
        (
            "the proof of another entity",
            Box::new(move |peer| vec![Representation::issue(&generate_key(), peer, &foreign)]),
        ),
        (
            "a proof that has expired",
            Box::new(move |peer| vec![Representation::issue(entity, peer, &expired)]),
        ),
        (
            "another node's proof",
            Box::new(move |_| {
                let other = generate_key().peer_id();
                vec![Representation::issue(entity, other, &stolen)]
            }),
        ),
    ]
}
