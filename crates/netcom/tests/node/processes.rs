use netcom::{CreateError, DataDir, DataDirError, DataDirUse, IdentityStore, Node, Scope};

use crate::support::{Mortal, World, answer_as, ask, within};

fn identity(world: &World) -> IdentityStore {
    let store = IdentityStore::new(DataDir::open(world.path("data")).unwrap());
    store.create(None).unwrap();
    store
}

async fn process(world: &World, how: DataDirUse) -> Result<Node, CreateError> {
    world.node().data_dir(world.path("data")).data_dir_use(how).build().await
}

#[tokio::test]
async fn a_second_process_has_another_peer_id_and_the_same_netid() {
    let world = World::new();
    let netid = identity(&world).show().unwrap().netid;
    let first = process(&world, DataDirUse::Exclusive).await.unwrap();
    let second = process(&world, DataDirUse::default()).await.unwrap();
    let third = process(&world, DataDirUse::Shared).await.unwrap();
    assert_ne!(first.peer_id(), second.peer_id());
    assert_ne!(second.peer_id(), third.peer_id());
    assert!([&first, &second, &third].iter().all(|node| node.netid() == netid));

    answer_as(&first, "the first");
    let connection = within(third.connect_to_peer(first.peer_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "the first");

    let refused = process(&world, DataDirUse::Exclusive).await.unwrap_err();
    assert!(matches!(refused, CreateError::DataDir(DataDirError::InUse { .. })), "{refused:?}");
    first.close().await;
    let next = process(&world, DataDirUse::Exclusive).await.unwrap();
    assert_eq!(next.peer_id(), first.peer_id(), "the stored key is the next holder's");
}

#[tokio::test]
async fn a_killed_node_that_was_started_again_is_reached_at_once() {
    let world = World::new();
    identity(&world);
    let start = || {
        let builder = world.node().data_dir(world.path("data"));
        Mortal::start(builder.data_dir_use(DataDirUse::Exclusive))
    };
    let server = start().await;
    answer_as(&server.node, "before");
    let peer = server.node.peer_id();
    let node = world.node().build().await.unwrap();
    let before = within(node.connect_to_peer(peer)).await.unwrap();
    assert_eq!(ask(&before).await, "before");
    server.kill();

    // The process is gone once nothing holds its directory any more.
    let directory = DataDir::open(world.path("data")).unwrap();
    while directory.lock().is_err() {
        tokio::task::yield_now().await;
    }
    let server = start().await;
    answer_as(&server.node, "after");
    assert_eq!(server.node.peer_id(), peer);
    let ended = within(before.closed()).await;
    assert_eq!(ended.code, netcom::Code::PEER_RESTARTED, "{ended:?}");
    let after = within(node.connect_to_peer(peer)).await.unwrap();
    assert_eq!(ask(&after).await, "after");
}

#[tokio::test]
async fn two_processes_under_one_key_do_not_evict_each_other() {
    let world = World::new();
    let key = netcom::generate_key();
    let server = world.within(Scope::Off).build().await.unwrap();
    answer_as(&server, "both");
    let mut connections = Vec::new();
    for _ in 0..2 {
        let node = world.within(Scope::Off).identity(key.clone()).build().await.unwrap();
        let connection = within(node.connect(server.ticket())).await.unwrap();
        connections.push((node, connection));
    }
    for _ in 0..10 {
        for (_, connection) in &connections {
            assert_eq!(ask(connection).await, "both");
        }
    }
    assert_eq!(server.commander().sessions().len(), 2);
    assert_eq!(server.commander().peers().len(), 1);
}

#[tokio::test]
async fn a_node_without_a_data_directory_writes_nothing() {
    let world = World::new();
    let node = world.node().build().await.unwrap();
    node.close().await;
    let left = std::fs::read_dir(world.path("registry")).unwrap().map(|file| file.unwrap());
    // The registry keeps a file of its own to lock.
    let left = left.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
    let left: Vec<_> = left.collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!world.path("data").exists());
}
