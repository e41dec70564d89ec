//! `alice.netcom`: a node, a directory over HTTPS on loopback, and nobody else.

use std::{future::Future, pin::Pin, sync::Arc};

use netcom::{
    Scope, Target, generate_key,
    names::{Directories, Directory, Dns, Names, Txt, Web, WebError},
};

use crate::{
    directory_server::DirectoryServer,
    support::{World, answer_as, ask, within},
};

/// Asked for anything, it fails the test.
pub(crate) struct Nobody;

type Answering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Web for Nobody {
    fn get<'a>(&'a self, host: &'a str, _: &'a str) -> Answering<'a, Result<Vec<u8>, WebError>> {
        panic!("{host} is asked")
    }
}

impl Dns for Nobody {
    fn txt<'a>(&'a self, name: &'a str) -> Answering<'a, Txt> {
        panic!("{name} is asked")
    }
}

fn directory(server: &DirectoryServer, suffix: &str) -> Directory {
    let directory = Directory::new(suffix, &server.url, server.key()).unwrap();
    directory.authority(server.authority.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_directory_leads_to_whoever_proves_its_key_and_nobody_else_is_asked() {
    let (world, server) = (World::new(), DirectoryServer::start());
    let alice = generate_key();
    for name in ["alice.netcom", "alice.example.org"] {
        server.list(name, &alice, 1);
    }
    let served = world.node().netid(alice.clone()).build().await.unwrap();
    answer_as(&served, "here");
    let directories = Directories::default().with(directory(&server, "netcom")).unwrap();
    let directories = directories.with(directory(&server, "example.org")).unwrap();
    let nobody = Names::new(Arc::new(Nobody), Arc::new(Nobody));
    let node = world.node().names(nobody).directories(directories).build().await.unwrap();

    // Read with this node's suffixes, and without: the node knows better.
    let suffixes = node.directory_suffixes();
    for name in ["Alice.NetCom.", "alice.example.org"] {
        let targets = [Target::parse(name, suffixes).unwrap(), name.parse::<Target>().unwrap()];
        for target in targets {
            let connection = within(node.connect(target)).await.unwrap();
            assert_eq!(connection.netid(), Some(alice.net_id()));
            assert_eq!(ask(&connection).await, "here");
        }
    }
    let unknown = within(node.connect("bob.netcom".parse::<Target>().unwrap())).await;
    assert_eq!(unknown.unwrap_err().code(), "name_not_in_directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_gives_a_name_to_another_key_is_refused_by_who_knew_the_first() {
    let (world, server) = (World::new(), DirectoryServer::start());
    let (alice, mallory) = (generate_key(), generate_key());
    server.list("alice.netcom", &alice, 1);
    let directories = Directories::default().with(directory(&server, "netcom")).unwrap();
    let node = world.within(Scope::Host).data_dir(world.path("data")).directories(directories);
    let node = node.build().await.unwrap();
    let name: Target = "alice.netcom".parse().unwrap();
    within(node.resolve(name.clone())).await.unwrap();
    server.list("alice.netcom", &mallory, 2);
    let error = within(node.resolve(name.clone())).await.unwrap_err();
    assert_eq!(error.code(), "name_changed");
    assert!(error.hint().unwrap().starts_with("netcom names trust alice.netcom n1"));
    server.list("alice.netcom", &alice, 3);
    within(node.resolve(name)).await.unwrap();
}
