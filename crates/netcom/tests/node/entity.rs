use std::collections::BTreeSet;

use netcom::{
    Access, ConnectError, DataDir, DomainName, DottedName, HandlerError, IdentityStore, Metadata,
    NodeEvent, RequestOptions, Role, Scope, Service, Target, generate_key,
};

use crate::support::{Mortal, World, answer_as, ask, within};

#[tokio::test]
async fn when_a_node_is_killed_connecting_again_reaches_another_of_its_entity() {
    let world = World::new();
    let alice = generate_key();
    let [one, two] = [(); 2].map(|()| world.node().netid(alice.clone()));
    let (one, two) = (Mortal::start(one).await, Mortal::start(two).await);
    answer_as(&one.node, "one");
    answer_as(&two.node, "two");
    let node = world.node().build().await.unwrap();
    let mut events = node.events();

    let first = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    let answer = ask(&first).await;
    let (used, left) = if answer == "one" { (one, two) } else { (two, one) };
    assert_eq!(first.peer_id(), used.node.peer_id());
    let killed = used.node.peer_id();
    used.kill();
    let gone = async { while events.next().await != Some(NodeEvent::Detached { peer: killed }) {} };
    within(gone).await;

    let second = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    assert_eq!(second.peer_id(), left.node.peer_id());
    assert_ne!(ask(&second).await, answer);
}

#[tokio::test]
async fn a_killed_node_is_left_also_where_its_link_tells_nothing_of_its_end() {
    let world = World::new();
    let alice = generate_key();
    let start = || {
        let builder =
            world.client(Scope::Host).listen("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap());
        Mortal::start(builder.netid(alice.clone()))
    };
    let (one, two) = (start().await, start().await);
    answer_as(&one.node, "one");
    answer_as(&two.node, "two");
    let node = world.node().build().await.unwrap();
    let first = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    let answer = ask(&first).await;
    let used = if answer == "one" { one } else { two };
    used.kill();

    let options = RequestOptions::new().timeout(std::time::Duration::from_millis(300));
    // Its threads may answer once more before they end.
    let lost = within(async {
        loop {
            if let Err(lost) = first.request_with("anybody there?", &options).await {
                return lost;
            }
        }
    });
    let lost = lost.await;
    assert_eq!(lost.code(), "timeout", "{lost:?}");
    let second = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    assert_ne!(second.peer_id(), first.peer_id());
    assert_ne!(ask(&second).await, answer);
}

#[tokio::test]
async fn the_own_netid_leads_to_another_node_and_never_to_oneself() {
    let world = World::new();
    let alice = generate_key();
    let one = world.node().netid(alice.clone()).build().await.unwrap();
    let search = one.connect_with(alice.net_id()).lookup(std::time::Duration::from_millis(100));
    let alone = within(search.connect()).await.unwrap_err();
    assert!(matches!(alone, ConnectError::NoOtherNode { netid, .. } if netid == alice.net_id()));

    let two = world.node().netid(alice.clone()).build().await.unwrap();
    answer_as(&one, "one");
    answer_as(&two, "two");
    for _ in 0..3 {
        let connection = within(one.connect_to_netid(alice.net_id())).await.unwrap();
        assert_eq!(ask(&connection).await, "two");
        connection.close(0, "again").await;
    }
    let connection = within(two.connect_to_netid(alice.net_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "one");
}

#[tokio::test]
async fn a_request_that_may_move_does_not_wait_for_a_node_that_was_killed() {
    let world = World::new();
    let alice = generate_key();
    let [one, two] = [(); 2].map(|()| world.node().netid(alice.clone()));
    let (one, two) = (Mortal::start(one).await, Mortal::start(two).await);
    answer_as(&one.node, "one");
    answer_as(&two.node, "two");
    let node = world.node().build().await.unwrap();
    let moving = within(node.connect_with(alice.net_id()).failover(true).connect()).await.unwrap();
    let answer = ask(&moving).await;
    let (used, left) = if answer == "one" { (one, two) } else { (two, one) };
    used.kill();

    // The session with it could be resumed for a minute; the request goes elsewhere before.
    assert_ne!(ask(&moving).await, answer);
    assert_eq!(moving.peer_id(), left.node.peer_id());
}

#[tokio::test]
async fn a_request_that_may_move_leaves_a_node_that_drains() {
    let world = World::new();
    let alice = generate_key();
    let one = world.node().netid(alice.clone()).build().await.unwrap();
    let two = world.node().netid(alice.clone()).build().await.unwrap();
    let node = world.node().build().await.unwrap();
    answer_as(&one, "one");
    answer_as(&two, "two");
    let moving = within(node.connect_with(alice.net_id()).failover(true).connect()).await.unwrap();
    let answer = ask(&moving).await;
    let used = if answer == "one" { one } else { two };
    let stream = within(moving.bytes_stream()).await.unwrap();

    let draining =
        tokio::spawn(async move { used.drain(std::time::Duration::from_secs(60)).await });
    let moved = within(async {
        loop {
            let now = ask(&moving).await;
            if now != answer {
                return now;
            }
        }
    });
    assert_ne!(moved.await, answer);
    draining.abort();
    drop(stream);
}

#[tokio::test]
async fn a_node_is_made_only_if_it_speaks_for_whom_it_must() {
    let world = World::new();
    let data = world.path("data");
    let store = IdentityStore::new(DataDir::open(&data).unwrap());
    let me = store.create(None).unwrap();
    let somebody = generate_key().net_id();
    let [domain, other] = ["example.org", "example.com"]
        .map(|name| DottedName::from(name.parse::<DomainName>().unwrap()));
    let build = |whom: Target| {
        let named = world.node().fixed_name(domain.clone(), me);
        named.data_dir(&data).speaks_for(whom).build()
    };

    for whom in [Target::NetId(me), Target::Dotted(domain.clone())] {
        let node = within(build(whom)).await.unwrap();
        assert_eq!(node.netid(), Some(me));
        node.close().await;
    }
    let refused = within(build(Target::NetId(somebody))).await.unwrap_err();
    assert_eq!(refused.code(), "no_proof");
    assert!(refused.to_string().contains(&me.to_string()), "it says who it is: {refused}");
    assert!(refused.hint().unwrap().contains("netcom id enroll"));
    let unknown = within(build(Target::Dotted(other))).await.unwrap_err();
    assert_eq!(unknown.code(), "name_offline");
}

#[tokio::test]
async fn a_node_neither_admits_nor_calls_whose_proof_its_own_directory_took_back() {
    let world = World::new();
    let store = |name| IdentityStore::new(DataDir::open(world.path(name)).unwrap());
    let [owner, laptop, kept] = ["owner", "laptop", "kept"].map(store);
    owner.create(None).unwrap();
    for device in [&laptop, &kept] {
        let request = device.enroll(None, "").unwrap();
        device.accept(&owner.admit(&request, 3600, 1, None).unwrap(), false).unwrap();
    }
    let serve = || async {
        let node = world.node().data_dir(world.path("owner")).access(Access::own_entity());
        let node = node.build().await.unwrap();
        answer_as(&node, "mine");
        node
    };
    let is_let_in = |device: &'static str, server: netcom::PeerId| {
        let builder = world.node().data_dir(world.path(device));
        async move {
            let node = builder.build().await.unwrap();
            let answered = match within(node.connect_to_peer(server)).await {
                Ok(connection) => within(connection.request("?")).await.is_ok(),
                Err(_) => false,
            };
            node.close().await;
            answered
        }
    };

    let server = serve().await;
    assert!(
        is_let_in("laptop", server.peer_id()).await && is_let_in("kept", server.peer_id()).await
    );
    server.close().await;
    let lost = laptop.show().unwrap().peer_id.unwrap();
    let revoked = owner.revoke(lost, None).unwrap();
    kept.accept(&revoked.renewed[0].proof, false).unwrap();
    let server = serve().await;
    assert!(!is_let_in("laptop", server.peer_id()).await);
    assert!(is_let_in("kept", server.peer_id()).await);
    server.close().await;

    let lost = world.node().data_dir(world.path("laptop")).build().await.unwrap();
    answer_as(&lost, "lost");
    for key in [None, Some(owner.load(None).unwrap())] {
        let netid = owner.show().unwrap().netid.unwrap();
        let mut builder = world.node().data_dir(world.path("owner"));
        if let Some(key) = key {
            builder = builder.netid(key);
        }
        let node = builder.build().await.unwrap();
        within(node.connect_to_netid(netid)).await.expect_err("it was taken back");
        node.close().await;
    }
}

#[tokio::test]
async fn requests_move_to_another_node_where_failover_is_on() {
    let world = World::new();
    let alice = generate_key();
    let [one, two] = [(); 2].map(|()| world.node().netid(alice.clone()));
    let (one, two) = (Mortal::start(one).await, Mortal::start(two).await);
    answer_as(&one.node, "one");
    answer_as(&two.node, "two");
    let mut limits = netcom::Limits::default();
    limits.session.resume_window = std::time::Duration::from_millis(200);
    let node = world.node().limits(limits).build().await.unwrap();

    let connection = within(node.connect_with(alice.net_id()).failover(true).connect());
    let connection = connection.await.unwrap();
    let answer = ask(&connection).await;
    let used = if answer == "one" { one } else { two };
    used.kill();
    let moved = ask(&connection).await;
    assert_ne!(moved, answer);
    let nodes: BTreeSet<&str> = [moved.as_str(), answer.as_str()].into();
    assert_eq!(nodes, ["one", "two"].into());
}

#[tokio::test]
async fn only_a_node_that_offers_the_service_is_reached() {
    let world = World::new();
    let alice = generate_key();
    let echo = |name: &str| {
        Service::requests(name, ["1"], |request| async move {
            Ok::<_, HandlerError>(request.into_body())
        })
        .unwrap()
    };
    let metadata = |region| {
        let mut metadata = Metadata::new();
        metadata.insert("region", region).unwrap();
        metadata
    };
    let alices = || world.node().netid(alice.clone());
    let chat = alices().metadata(metadata("north")).build().await.unwrap();
    let mail = alices().metadata(metadata("south")).build().await.unwrap();
    let node = world.node().build().await.unwrap();
    let (mut chat_events, mut mail_events) = (chat.events(), mail.events());
    let _chat = chat.serve(echo("chat")).unwrap();
    let _mail = mail.serve(echo("mail")).unwrap();
    for events in [&mut chat_events, &mut mail_events] {
        let published =
            async { while !matches!(events.next().await, Some(NodeEvent::Published { .. })) {} };
        within(published).await;
    }

    for (service, wanted) in [("mail", &mail), ("chat", &chat), ("mail", &mail)] {
        let connection = within(node.connect_with(alice.net_id()).service(service).connect());
        assert_eq!(connection.await.unwrap().peer_id(), wanted.peer_id());
    }
    for (region, wanted) in [("north", &chat), ("south", &mail)] {
        let search = node.connect_with(alice.net_id()).where_is("region", region);
        assert_eq!(within(search.connect()).await.unwrap().peer_id(), wanted.peer_id());
    }
    let search = node.connect_with(alice.net_id()).service("news");
    let search = search.lookup(std::time::Duration::from_millis(200));
    match within(search.connect()).await.unwrap_err() {
        ConnectError::NoSuchService { service, mut offered, .. } => {
            offered.sort();
            assert_eq!(
                (service.as_str(), offered),
                (
                    "news",
                    ["chat (1)", "mail (1)", "region=north", "region=south"]
                        .map(str::to_owned)
                        .into()
                )
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_is_preferred_among_the_nodes_of_an_entity() {
    let world = World::new();
    let alice = generate_key();
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(world.node().netid(alice.clone()).build().await.unwrap());
    }
    let server = world.node().netid(alice.clone()).role(Role::Server).build().await.unwrap();
    for _ in 0..3 {
        let node = world.client(Scope::Host).role(Role::Client).build().await.unwrap();
        let connection = within(node.connect_to_netid(alice.net_id())).await.unwrap();
        assert_eq!(connection.peer_id(), server.peer_id());
    }
}
