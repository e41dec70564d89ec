use netcom::{
    Access, ConnectError, CreateError, MdnsConfig, Multiaddr, Node, Representation,
    RepresentationError, Scope, Target, Terms, Ticket, UnixTime, generate_key,
};

use crate::support::{World, answer_as, ask, within};

fn now() -> UnixTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime(now.as_secs())
}

fn bare(address: &Multiaddr) -> String {
    address.to_string().split("/p2p/").next().unwrap().to_owned()
}

#[tokio::test]
async fn who_answers_in_the_place_of_another_is_named_and_gets_nothing() {
    let world = World::new();
    let server = world.within(Scope::Off).build().await.unwrap();
    let node = world.within(Scope::Off).build().await.unwrap();
    let meant = generate_key().peer_id();
    let address = format!("{}/p2p/{meant}", bare(&server.addresses()[0]));

    let error = within(node.connect(address.parse::<Target>().unwrap())).await.unwrap_err();
    match error {
        ConnectError::WrongPeer { expected, found } => {
            assert_eq!((expected, found), (meant, server.peer_id()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.commander().sessions().len(), 0);
    assert_eq!(node.commander().sessions().len(), 0);
}

#[tokio::test]
async fn a_node_that_does_not_prove_its_claim_is_named_and_gets_nothing() {
    let world = World::new();
    let (alice, server_key) = (generate_key(), generate_key());
    let server = world.within(Scope::Off).identity(server_key.clone()).build().await.unwrap();
    answer_as(&server, "never heard");
    let node = world.within(Scope::Off).build().await.unwrap();

    // The ticket lies about the entity.
    let ticket = Ticket::new(server.peer_id(), server.addresses()).unwrap();
    let error = within(node.connect(ticket.with_netid(alice.net_id()))).await.unwrap_err();
    match &error {
        ConnectError::NotRepresented { peer, netid, source } => {
            assert_eq!((*peer, *netid), (server.peer_id(), alice.net_id()));
            assert!(matches!(source, RepresentationError::NotClaimed { .. }));
        }
        other => panic!("{other:?}"),
    }
    assert!(!error.is_retryable());
    assert_eq!(server.commander().sessions().len(), 0);
}

#[tokio::test]
async fn an_expired_proof_is_refused_by_who_shows_it_and_by_who_sees_it() {
    let world = World::new();
    let (alice, server_key) = (generate_key(), generate_key());
    let terms = Terms::new(1, now().minus_seconds(20), now().plus_seconds(2));
    let soon = Representation::issue(&alice, server_key.peer_id(), &terms);
    let server = world.within(Scope::Off).identity(server_key.clone()).representation(soon.clone());
    let server = server.build().await.unwrap();
    let ticket = server.ticket();
    assert_eq!(ticket.netid(), Some(&alice.net_id()));

    // Time passes; nothing tells the server. Its certificate is the one of before.
    while soon.verify(&server_key.peer_id(), now(), None).is_ok() {
        tokio::task::yield_now().await;
    }
    let node = world.within(Scope::Off).build().await.unwrap();
    let error = within(node.connect(ticket)).await.unwrap_err();
    let is_expired = matches!(
        &error,
        ConnectError::NotRepresented { source: RepresentationError::Expired { .. }, .. }
    );
    assert!(is_expired, "{error:?}");
    assert!(error.hint().unwrap().contains("clocks"));
    assert_eq!(server.commander().sessions().len(), 0);

    let late = world.within(Scope::Off).identity(server_key).representation(soon);
    let refused = late.build().await.unwrap_err();
    assert!(matches!(refused, CreateError::Representation { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_proof_of_another_node_is_refused() {
    let world = World::new();
    let (alice, other) = (generate_key(), generate_key());
    let terms = Terms::new(1, now().minus_seconds(20), now().plus_seconds(60));
    let stolen = Representation::issue(&alice, other.peer_id(), &terms);
    let thief = world.within(Scope::Off).identity(generate_key()).representation(stolen);
    let refused = thief.build().await.unwrap_err();
    let CreateError::Representation { netid, source } = refused else { panic!("{refused:?}") };
    assert_eq!(netid, alice.net_id());
    assert!(matches!(*source, RepresentationError::WrongSubject { .. }));
}

#[tokio::test]
async fn a_node_does_not_connect_to_itself() {
    let world = World::new();
    let node = world.node().build().await.unwrap();
    let error = node.connect_to_peer(node.peer_id()).await.unwrap_err();
    assert_eq!(error.code(), "self_dial");
    let error = node.connect(node.ticket()).await.unwrap_err();
    assert_eq!(error.code(), "self_dial");
}

#[tokio::test]
async fn who_is_not_allowed_is_denied_before_any_handler_runs() {
    let world = World::new();
    let (alice, bob) = (generate_key(), generate_key());
    let server = world.node().netid(alice.clone()).access(Access::own_entity());
    let server = server.build().await.unwrap();
    answer_as(&server, "welcome");
    let friend = world.node().netid(alice.clone()).build().await.unwrap();
    let stranger = world.node().netid(bob.clone()).build().await.unwrap();

    let connection = within(friend.connect_to_peer(server.peer_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "welcome");
    let connection = within(stranger.connect_to_peer(server.peer_id())).await.unwrap();
    let denied = within(connection.request("let me in")).await.unwrap_err();
    assert_eq!(denied.code(), "denied", "{denied}");

    server.allow(bob.net_id());
    assert_eq!(ask(&connection).await, "welcome");
}

#[tokio::test]
async fn a_dead_address_is_unreachable_and_says_which() {
    let world = World::new();
    let node = world.within(Scope::Off).build().await.unwrap();
    let nobody = generate_key().peer_id();
    // Bound and not listening, so that nobody else takes the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let target = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{nobody}");
    let error = within(node.connect(target.parse::<Target>().unwrap())).await.unwrap_err();
    assert_eq!(error.code(), "unreachable", "{error:?}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn contradictory_descriptions_make_no_node() {
    let both = Node::builder().local(true).cloud(true).mdns(MdnsConfig::default());
    let error = both.discovery(Scope::Off).build().await.unwrap_err();
    assert!(matches!(error, CreateError::Contradiction));
}
