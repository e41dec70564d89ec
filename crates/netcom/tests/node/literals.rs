//! What says by itself, or by the book of petnames, whom it means: nobody is asked about it.

use std::sync::Arc;

use netcom::{
    DataDir, DirectorySuffixes, DomainError, IfTaken, Named, Node, PetnameBook, PetnameEntry,
    Target, TargetError, generate_key, names::Names,
};

use crate::{
    directories::Nobody,
    support::{World, answer_as, ask, within},
};

/// A node that knows `alice`, and panics where it asks about a name.
async fn node(world: &World, alice: Named) -> Node {
    DataDir::open(world.path("data")).unwrap();
    let book = PetnameBook::new(world.path("data"));
    let entry = PetnameEntry::new(alice);
    book.add(&"alice".parse().unwrap(), entry, IfTaken::Refuse).unwrap();
    let nobody = Names::new(Arc::new(Nobody), Arc::new(Nobody));
    world.node().data_dir(world.path("data")).names(nobody).build().await.unwrap()
}

#[tokio::test]
async fn keys_petnames_tickets_and_addresses_lead_to_a_node_and_nobody_is_asked() {
    let world = World::new();
    let alice = generate_key();
    let server = world.node().netid(alice.clone()).build().await.unwrap();
    answer_as(&server, "here");
    let (entity, peer) = (Named::NetId(alice.net_id()), Named::Peer(server.peer_id()));
    let node = node(&world, entity).await;
    for (text, whom) in [
        (alice.net_id().to_string(), entity),
        (server.peer_id().to_string(), peer),
        ("Alice".to_owned(), entity),
        (server.ticket().to_string(), entity),
        (server.addresses()[0].to_string(), peer),
    ] {
        let target = Target::parse(&text, node.directory_suffixes()).unwrap();
        assert_eq!(within(node.resolve(target.clone())).await.unwrap(), whom, "{text}");
        let connection = within(node.connect(target)).await.unwrap();
        assert_eq!(connection.peer_id(), server.peer_id());
        assert_eq!(ask(&connection).await, "here");
        connection.close(0, "next").await;
    }
    // About a domain this node does ask, and panics.
    let domain: Target = "example.org".parse().unwrap();
    let asked = tokio::spawn(async move { node.resolve(domain).await }).await;
    assert!(asked.unwrap_err().is_panic());
}

#[tokio::test]
async fn reserved_names_lead_to_nobody_and_nobody_is_asked() {
    let world = World::new();
    let node = node(&world, Named::NetId(generate_key().net_id())).await;
    for top in [
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "invalid",
        "lan",
        "local",
        "localhost",
        "mail",
        "onion",
        "test",
    ] {
        let text = format!("printer.{top}");
        let error = Target::parse(&text, node.directory_suffixes()).unwrap_err();
        assert_eq!(error, TargetError::Domain(DomainError::Reserved { top: top.to_owned() }));
        // Whoever has a directory for it reads a name, and this node has none.
        let suffixes = DirectorySuffixes::default().with(top).unwrap();
        let foreign = Target::parse(&text, &suffixes).unwrap();
        let error = within(node.resolve(foreign)).await.unwrap_err();
        assert_eq!(error.code(), "name_no_directory", "{text}");
        let error = within(node.resolve(top.parse::<Target>().unwrap())).await.unwrap_err();
        assert_eq!(error.code(), "unknown_petname", "{top}");
    }
}
