use std::time::Duration;

use futures_util::FutureExt as _;
use netcom::{ConnectError, ListenError, Node, NodeEvent, Scope, SessionState, generate_key};

use crate::support::{World, answer_as, ask, loopback, within};

#[tokio::test]
async fn a_session_whose_link_is_cut_comes_back_by_itself() {
    let world = World::new();
    let server = world.node().build().await.unwrap();
    answer_as(&server, "still here");
    let node = world.node().build().await.unwrap();
    let mut events = node.events();
    let connection = within(node.connect_to_peer(server.peer_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "still here");

    let link = &node.commander().links()[0];
    assert!(node.commander().close_link(link.session, link.id));
    let peer = server.peer_id();
    let resumed = async {
        let mut seen = Vec::new();
        while seen.last() != Some(&NodeEvent::Resumed { peer }) {
            seen.push(events.next().await.unwrap());
        }
        seen
    };
    let seen = within(resumed).await;
    assert!(seen.contains(&NodeEvent::Detached { peer }), "{seen:?}");
    assert_eq!(ask(&connection).await, "still here");
    assert_eq!(node.commander().sessions().len(), 1);
}

#[tokio::test]
async fn what_a_node_has_can_be_looked_at_and_ended() {
    let world = World::new();
    let alice = generate_key();
    let server = world.node().netid(alice.clone()).build().await.unwrap();
    answer_as(&server, "hello");
    let node = world.node().build().await.unwrap();
    let connection = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    ask(&connection).await;
    let stream = within(connection.bytes_stream()).await.unwrap();

    let commander = node.commander();
    let peers = commander.peers();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].peer_id, server.peer_id());
    assert!(peers[0].netids.contains(&alice.net_id()));
    let sessions = commander.sessions();
    assert_eq!((sessions.len(), sessions[0].state), (1, SessionState::Live));
    let links = commander.links();
    assert!(links[0].is_active && links[0].is_dialer && links[0].session == sessions[0].id);
    assert_eq!(commander.streams()[0].protocol, "netcom/bytes/1");
    drop(stream);

    assert!(!commander.close_session(sessions[0].id + 1, "no such session"));
    assert!(commander.close_session(sessions[0].id, "enough"));
    within(connection.closed()).await;
    let closed = async {
        while !server.commander().sessions().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(closed).await;
}

#[tokio::test]
async fn how_many_sessions_there_may_be_is_changed_while_the_node_runs() {
    let world = World::new();
    let server = world.node().build().await.unwrap();
    let [first, second] =
        [world.node().build().await.unwrap(), world.node().build().await.unwrap()];
    answer_as(&server, "hello");
    let connection = within(first.connect_to_peer(server.peer_id())).await.unwrap();
    ask(&connection).await;

    let commander = server.commander();
    let mut limits = commander.limits().sessions;
    limits.total = 1;
    commander.limit_sessions(limits);
    assert_eq!(commander.limits().sessions.total, 1);
    let error = within(second.connect_to_peer(server.peer_id())).await;
    let refused = match error {
        Ok(connection) => within(connection.request("hello")).await.unwrap_err().code(),
        Err(error) => error.code(),
    };
    assert!(["refused", "session_ended"].contains(&refused), "{refused}");
    assert_eq!(ask(&connection).await, "hello");

    limits.total = 2;
    commander.limit_sessions(limits);
    let connection = within(second.connect_to_peer(server.peer_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "hello");
}

#[tokio::test]
async fn a_closed_node_is_withdrawn_and_tells_its_peers() {
    let world = World::new();
    let server = world.node().build().await.unwrap();
    answer_as(&server, "hello");
    let node = world.node().build().await.unwrap();
    let connection = within(node.connect_to_peer(server.peer_id())).await.unwrap();
    ask(&connection).await;
    let mut events = server.events();
    let mut incoming = server.incoming();

    within(server.close()).await;
    let closed = within(connection.closed()).await;
    assert!(closed.by_peer, "{closed:?}");
    let over = async { while events.next().await != Some(NodeEvent::Closed) {} };
    within(over).await;
    while let Some(early) = within(incoming.next()).await {
        drop(early);
    }
    assert!(matches!(server.connect_to_peer(node.peer_id()).await, Err(ConnectError::Closed)));
    assert!(matches!(server.listen(loopback()).await, Err(ListenError::Closed)));
    assert!(node.discover_peer_id(server.peer_id()).await.is_err());
    within(server.close()).await; // a second time does no harm
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_node() {
    let world = World::new();
    let server = world.node().build().await.unwrap();
    answer_as(&server, "hello");
    let node = world.node().build().await.unwrap();
    let connection = within(node.connect_to_peer(server.peer_id())).await.unwrap();
    ask(&connection).await;
    let clone = server.clone();
    drop(server);
    assert_eq!(ask(&connection).await, "hello");
    drop(clone);
    assert!(within(connection.closed()).await.by_peer);
}

#[tokio::test]
async fn a_draining_node_is_found_no_more_and_finishes_its_work() {
    let world = World::new();
    let server = world.node().build().await.unwrap();
    let (release, released) = tokio::sync::watch::channel(false);
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    server.on_request(move |request| {
        let (mut released, begun) = (released.clone(), begun.clone());
        async move {
            begun.send(()).await.unwrap();
            released.wait_for(|released| *released).await.unwrap();
            Ok(request.into_body())
        }
    });
    let node = world.node().build().await.unwrap();
    let connection = within(node.connect_to_peer(server.peer_id())).await.unwrap();
    let asking = connection.clone();
    let answer = tokio::spawn(async move { asking.request("slow").await });
    within(has_begun.recv()).await.unwrap();

    let mut events = server.events();
    let draining = server.clone();
    let drained = tokio::spawn(async move { draining.drain(Duration::from_secs(20)).await });
    assert_eq!(within(events.next()).await, Some(NodeEvent::Draining));
    release.send(true).unwrap();
    assert_eq!(within(answer).await.unwrap().unwrap(), "slow");
    within(drained).await.unwrap();
    let stranger = world.node().build().await.unwrap();
    assert!(stranger.discover_peer_id(server.peer_id()).await.is_err());
}

#[tokio::test]
async fn peers_that_connect_are_given_out_once() {
    let world = World::new();
    let alice = generate_key();
    let server = world.within(Scope::Off).build().await.unwrap();
    let mut incoming = server.incoming();
    let node = world.within(Scope::Off).netid(alice.clone()).build().await.unwrap();
    answer_as(&node, "asked back");
    let connection = within(node.connect(server.ticket())).await.unwrap();
    let back = within(incoming.next()).await.unwrap();
    assert_eq!(back.peer_id(), node.peer_id());
    assert_eq!(back.netid(), Some(alice.net_id()));
    assert_eq!(ask(&back).await, "asked back");
    drop(connection);
    within(server.close()).await;
    assert!(within(incoming.next()).await.is_none());
}

#[tokio::test]
async fn a_connect_that_is_given_up_leaves_nothing_behind() {
    let world = World::new();
    let server = world.within(Scope::Off).build().await.unwrap();
    let node = world.within(Scope::Off).build().await.unwrap();
    for polls in [1, 2, 3, 5, 8, 13] {
        let mut connect = Box::pin(node.connect(server.ticket()));
        for _ in 0..polls {
            if (&mut connect).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(connect);
    }
    let over = async {
        while !node.commander().sessions().is_empty() || !server.commander().sessions().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(over).await;
}

#[tokio::test]
async fn nodes_that_dial_each_other_at_once_share_one_session() {
    let world = World::new();
    let [one, two] = [world.within(Scope::Off), world.within(Scope::Off)];
    let (one, two) = (one.build().await.unwrap(), two.build().await.unwrap());
    answer_as(&one, "one");
    answer_as(&two, "two");
    let mut met = 0;
    for round in 0..1000 {
        let (there, back) =
            within(async { tokio::join!(one.connect(two.ticket()), two.connect(one.ticket())) })
                .await;
        let (there, back) = (there.unwrap(), back.unwrap());
        let answers = async { tokio::join!(ask(&there), ask(&back)) };
        assert_eq!(answers.await, ("two".to_owned(), "one".to_owned()));
        let dialled = |node: &Node| node.commander().links().iter().any(|link| link.is_dialer);
        met += u32::from(dialled(&one) && dialled(&two));
        for node in [&one, &two] {
            let sessions = node.commander().sessions();
            assert_eq!(sessions.len(), 1, "round {round}: {sessions:?}");
            assert!(node.commander().close_session(sessions[0].id, "the next round"));
        }
        let over = async {
            while [&one, &two].iter().any(|node| !node.commander().sessions().is_empty()) {
                tokio::task::yield_now().await;
            }
        };
        within(over).await;
    }
    assert!(met > 100, "both dialled in {met} rounds only");
}
