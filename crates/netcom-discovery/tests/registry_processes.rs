//! The same-host registry between processes.

mod common;
mod process;

use std::{env, time::Duration};

use common::{PATIENCE, find, key, record};
use netcom_discovery::{Discovery, DiscoveryConfig, Query, Scope};
use process::{Process, ready, role};
use tempfile::tempdir;

fn discovery(directory: &str) -> Discovery {
    Discovery::open(Scope::Host, &DiscoveryConfig::default().registry(directory))
}

const DIRECTORY: &str = "NETCOM_TEST_DIRECTORY";

/// The only role: publishes one record in the registry until it is ended.
async fn publish() {
    let discovery = discovery(&env::var(DIRECTORY).expect("set with the role"));
    discovery.publish(record(1, 50)).await.expect("it is published");
    ready().await;
}

#[tokio::test]
async fn the_record_of_a_killed_process_is_not_returned() {
    if role().is_some() {
        return publish().await;
    }
    let publisher = ("the_record_of_a_killed_process_is_not_returned", "publisher");
    let temporary = tempdir().unwrap();
    let directory = temporary.path().join("netcom");
    let directory = directory.to_str().unwrap();
    let variables = [(DIRECTORY, directory)];
    let published = Process::start(&[], publisher, &variables);
    let discovery = discovery(directory);
    let queries = [Query::Peer(key(1).peer_id()), Query::NetId(key(50).net_id())];
    for query in queries {
        assert_eq!(find(&discovery, query, PATIENCE).await, Some(key(1).peer_id()));
    }

    drop(published); // by SIGKILL
    for query in queries {
        assert_eq!(find(&discovery, query, Duration::from_millis(200)).await, None);
    }

    // A new process of the same node takes its place.
    let _publisher = Process::start(&[], publisher, &variables);
    assert_eq!(find(&discovery, queries[1], PATIENCE).await, Some(key(1).peer_id()));
}

#[tokio::test]
async fn a_waiting_lookup_finds_a_process_that_starts_later() {
    if role().is_some() {
        return publish().await;
    }
    let publisher = ("a_waiting_lookup_finds_a_process_that_starts_later", "publisher");
    let temporary = tempdir().unwrap();
    let directory = temporary.path().join("netcom");
    let directory = directory.to_str().unwrap();
    let waiting = discovery(directory);
    let query = Query::NetId(key(50).net_id());
    let waiting = tokio::spawn(async move { find(&waiting, query, PATIENCE).await });
    tokio::task::yield_now().await;
    let _publisher = Process::start(&[], publisher, &[(DIRECTORY, directory)]);
    assert_eq!(waiting.await.unwrap(), Some(key(1).peer_id()));
}
