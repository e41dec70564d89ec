use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use netcom::{
    ConnectError, DataDir, DataDirUse, EntityDescription, EntityDocument, IdentityStore, IfTaken,
    Named, NetId, Node, PeerId, PetnameBook, PetnameEntry, Scope, Target, UnixTime, generate_key,
    names::{Answer, Dns, Names, Txt, Web, WebError},
};

use crate::support::{World, alone, answer_as, ask, is_alone, within};

#[tokio::test]
async fn nodes_of_one_host_find_each_other_by_netid() {
    let world = World::new();
    let alice = generate_key();
    let server = world.node().netid(alice.clone()).build().await.unwrap();
    answer_as(&server, "alice");
    let node = world.node().build().await.unwrap();

    let connection = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    assert_eq!(connection.netid(), Some(alice.net_id()));
    assert_eq!(connection.peer_id(), server.peer_id());
    assert_eq!(ask(&connection).await, "alice");
    assert!(connection.path().reason.contains("found by host"), "{}", connection.path().reason);

    // The other way round, by PeerId, on the same session.
    let back = within(server.connect_to_peer(node.peer_id())).await.unwrap();
    assert_eq!(back.netid(), None);
    // Both sides know what the other has proven: a node speaks for its own key in any case.
    let own = |peer: PeerId| NetId::try_from(peer).unwrap();
    assert_eq!(connection.xauth().netids(), [alice.net_id(), own(server.peer_id())]);
    assert_eq!(back.xauth().netids(), [own(node.peer_id())]);
    assert_eq!(server.commander().sessions().len(), 1);
}

#[tokio::test]
async fn a_ticket_leads_to_a_node_without_any_discovery() {
    let world = World::new();
    let server = world.within(Scope::Off).netid(generate_key()).build().await.unwrap();
    answer_as(&server, "by ticket");
    let node = world.within(Scope::Off).build().await.unwrap();
    let ticket = server.ticket().to_string();

    let target: Target = ticket.parse().unwrap();
    let connection = within(node.connect(target)).await.unwrap();
    assert_eq!(ask(&connection).await, "by ticket");
    assert_eq!(connection.netid(), server.netid());

    // What was proven once is remembered, so the entity is found without asking anybody.
    let again = within(node.connect_to_netid(server.netid().unwrap())).await.unwrap();
    assert_eq!(again.peer_id(), server.peer_id());
}

#[tokio::test]
async fn nodes_of_a_network_find_each_other_by_multicast_dns() {
    let world = World::new();
    let alice = generate_key();
    let server = world.within(Scope::Lan).registry(world.path("one")).netid(alice.clone());
    let server = server.build().await.unwrap();
    answer_as(&server, "by mdns");
    let node = world.within(Scope::Lan).registry(world.path("two")).build().await.unwrap();

    let connection = within(node.connect_to_netid(alice.net_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "by mdns");
    assert!(connection.path().reason.contains("found by mdns"), "{}", connection.path().reason);
}

#[tokio::test]
async fn an_address_and_a_petname_lead_to_a_node() {
    let world = World::new();
    let server = world.within(Scope::Off).netid(generate_key()).build().await.unwrap();
    answer_as(&server, "here");
    let book = PetnameBook::new(world.path("data"));
    DataDir::open(world.path("data")).unwrap();
    let entry = PetnameEntry::new(Named::NetId(server.netid().unwrap()));
    let entry = entry.addresses(server.addresses());
    book.add(&"alice".parse().unwrap(), entry, IfTaken::Refuse).unwrap();

    let node = world.within(Scope::Off).data_dir(world.path("data")).build().await.unwrap();
    let address: Target = server.addresses()[0].to_string().parse().unwrap();
    for target in [address, "alice".parse().unwrap()] {
        let connection = within(node.connect(target)).await.unwrap();
        assert_eq!(ask(&connection).await, "here");
        connection.close(0, "next").await;
    }
    let unknown = node.connect("alise".parse::<Target>().unwrap()).await.unwrap_err();
    assert_eq!(unknown.code(), "unknown_petname");
    let bookless = server.connect("alice".parse::<Target>().unwrap()).await.unwrap_err();
    assert_eq!(bookless.code(), "no_petnames");
}

#[tokio::test]
async fn a_node_that_looks_no_further_than_its_host_asks_nobody_for_names_with_dots() {
    let world = World::new();
    for scope in [Scope::Off, Scope::Host] {
        let node = world.within(scope).build().await.unwrap();
        for (name, code) in [("alice.netcom", "name_no_directory"), ("example.org", "name_offline")]
        {
            let error = node.connect(name.parse::<Target>().unwrap()).await.unwrap_err();
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[tokio::test]
async fn a_domain_whose_key_the_user_set_leads_to_whoever_proves_that_key() {
    let world = World::new();
    let (alice, mallory) = (generate_key(), generate_key().net_id());
    let server = world.within(Scope::Host).netid(alice.clone()).build().await.unwrap();
    answer_as(&server, "here");
    let node = world
        .within(Scope::Host)
        .fixed_name("example.org".parse::<netcom::DomainName>().unwrap(), alice.net_id())
        .fixed_name("example.com".parse::<netcom::DomainName>().unwrap(), mallory);
    let node = node.build().await.unwrap();
    let connection = within(node.connect("Example.ORG.".parse::<Target>().unwrap())).await.unwrap();
    assert_eq!(ask(&connection).await, "here");
    assert_eq!(connection.netid(), Some(alice.net_id()));
    let other = node.connect_with("example.com".parse::<Target>().unwrap());
    let error = within(other.lookup(std::time::Duration::from_millis(100)).connect()).await;
    assert_eq!(error.unwrap_err().code(), "not_found");
}

type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A web server that gives the same page for every name, and a DNS without records.
struct Page(String);

impl Web for Page {
    fn get<'a>(&'a self, _: &'a str, _: &'a str) -> Answering<'a, Result<Vec<u8>, WebError>> {
        Box::pin(async { Ok(self.0.clone().into_bytes()) })
    }
}

impl Dns for Page {
    fn txt<'a>(&'a self, _: &'a str) -> Answering<'a, Txt> {
        Box::pin(async { Txt::Absent { reason: "no record".to_owned() } })
    }
}

#[tokio::test]
async fn proofs_that_a_domains_document_takes_back_are_refused_though_a_session_is_open() {
    let world = World::new();
    let alice = generate_key();
    let server = world.within(Scope::Host).netid(alice.clone()).build().await.unwrap();
    answer_as(&server, "here");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (lowest, is_taken) in [(0, true), (u64::MAX, false)] {
        let mut description = EntityDescription::new(1, UnixTime(now + 3600));
        description.names.push("example.org".to_owned());
        description.lowest_sequence = lowest;
        let document = EntityDocument::sign(&alice, description).unwrap();
        let page = Arc::new(Page(Answer { document, earlier: Vec::new() }.to_json()));
        let names = Names::new(Arc::clone(&page) as Arc<dyn Web>, page);
        let node = world.within(Scope::Host).names(names).build().await.unwrap();
        let by_key = within(node.connect_to_netid(alice.net_id())).await.unwrap();
        assert_eq!(ask(&by_key).await, "here");
        let by_name = within(node.connect("example.org".parse::<Target>().unwrap())).await;
        match by_name {
            Ok(connection) => assert!(is_taken && connection.netid() == by_key.netid()),
            Err(error) => assert!(!is_taken && error.code() == "not_represented", "{error}"),
        }
    }
}

#[tokio::test]
async fn proofs_with_more_delegations_than_a_document_allows_are_refused() {
    let world = World::new();
    let store = |name| IdentityStore::new(DataDir::open(world.path(name)).unwrap());
    let [owner, server] = ["owner", "server"].map(store);
    let alice = owner.create(None).unwrap();
    let request = server.enroll(None, "").unwrap();
    server.accept(&owner.admit(&request, 3600, 1, None).unwrap(), false).unwrap();
    // The second program of the directory is let in by the first one's node: one delegation.
    let serving = world.node().data_dir(world.path("server")).data_dir_use(DataDirUse::Shared);
    let serving = serving.build().await.unwrap();
    answer_as(&serving, "here");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (delegations, is_taken) in [(1, true), (0, false)] {
        let mut description = EntityDescription::new(1, UnixTime(now + 3600));
        description.names.push("example.org".to_owned());
        description.delegations = delegations;
        let document = EntityDocument::sign(&owner.load(None).unwrap(), description).unwrap();
        let page = Arc::new(Page(Answer { document, earlier: Vec::new() }.to_json()));
        let names = Names::new(Arc::clone(&page) as Arc<dyn Web>, page);
        let node = world.node().names(names).build().await.unwrap();
        let by_key = within(node.connect_to_netid(alice)).await.unwrap();
        assert_eq!(ask(&by_key).await, "here");
        match within(node.connect("example.org".parse::<Target>().unwrap())).await {
            Ok(connection) => assert!(is_taken && connection.netid() == Some(alice)),
            Err(error) => assert!(!is_taken && error.code() == "not_represented", "{error}"),
        }
    }
}

#[tokio::test]
async fn who_is_not_found_is_told_with_what_is_missing() {
    let world = World::new();
    let nobody = generate_key().net_id();
    for (scope, words) in [
        (Scope::Off, "discovery is off"),
        (Scope::Host, "scope host"),
        (Scope::Lan, "meeting points"),
    ] {
        let node = world.within(scope).build().await.unwrap();
        let search = node.connect_with(nobody).lookup(std::time::Duration::from_millis(100));
        let error = within(search.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotFound { .. }), "{error:?}");
        assert!(error.is_retryable() && error.to_string().contains(words), "{error}");
        assert!(error.hint().unwrap().contains("ticket"));
    }
}

#[tokio::test]
async fn nodes_are_discovered_with_what_they_say_of_themselves() {
    let world = World::new();
    let alice = generate_key();
    let mut metadata = netcom::Metadata::new();
    metadata.insert("region", "north").unwrap();
    let server = world.node().netid(alice.clone()).metadata(metadata).build().await.unwrap();
    let node = world.node().build().await.unwrap();

    let addresses = node.discover_peer_id(server.peer_id()).await.unwrap();
    assert_eq!(addresses, server.addresses());
    let suffix = format!("/p2p/{}", server.peer_id());
    assert!(addresses.iter().all(|address| address.to_string().ends_with(&suffix)));

    let nodes = node.discover_netid(alice.net_id()).await.unwrap();
    assert_eq!(nodes.keys().collect::<Vec<_>>(), [&server.peer_id()]);
    let info = &nodes[&server.peer_id()];
    assert_eq!(info.metadata.get("region"), Some("north"));
    assert_eq!(info.addresses, addresses);
    assert_eq!(node.commander().sessions().len(), 0, "nobody was connected to");
}

#[tokio::test]
async fn a_node_that_is_its_own_entity_needs_no_proof() {
    let world = World::new();
    let key = generate_key();
    let server = world.node().identity(key.clone()).build().await.unwrap();
    answer_as(&server, "myself");
    let node = world.node().build().await.unwrap();
    let connection = within(node.connect_to_netid(key.net_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "myself");
}

#[tokio::test]
async fn the_identity_of_a_data_directory_is_found() {
    let world = World::new();
    let store = IdentityStore::new(DataDir::open(world.path("data")).unwrap());
    let me = store.create(None).unwrap();
    let server = world.node().data_dir(world.path("data")).build().await.unwrap();
    answer_as(&server, "me");
    assert_eq!(Some(server.peer_id()), store.show().unwrap().peer_id);
    let node = world.node().build().await.unwrap();
    let connection = within(node.connect_to_netid(me)).await.unwrap();
    assert_eq!(ask(&connection).await, "me");
}

/// Its environment says where to look, so it makes its nodes in processes of their own.
#[tokio::test]
async fn nodes_made_with_nothing_said_find_each_other_and_write_nothing() {
    if is_alone() {
        return make_nodes_with_nothing_said().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let child = |scope: &str| {
        alone("find::nodes_made_with_nothing_said_find_each_other_and_write_nothing")
            .current_dir(folder.path())
            .env("NETCOM_DISCOVERY", scope)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HOME", folder.path().join("home"))
            .env("XDG_DATA_HOME", folder.path().join("data"))
            .output()
            .unwrap()
    };
    let found = child("host");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap()).collect();
    assert_eq!(left.len(), 1, "the registry alone: {left:?}");
    assert_eq!(left[0].file_name(), "netcom");

    let refused = child("hots");
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("Scope") && told.contains("hots"), "{told}");
}

async fn make_nodes_with_nothing_said() {
    let server = Node::create().await.unwrap();
    answer_as(&server, "found");
    let node = Node::create().await.unwrap();
    let entity = NetId::try_from(server.peer_id()).unwrap();
    let connection = within(node.connect_to_netid(entity)).await.unwrap();
    assert_eq!(ask(&connection).await, "found");
}
