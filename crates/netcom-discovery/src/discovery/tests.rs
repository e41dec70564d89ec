use tempfile::tempdir;

use super::*;
use crate::{
    source::Task,
    testing::{key, record, representing, verified},
};

/// A source that says what it is told to, and then waits or ends.
struct Scripted {
    found: Vec<Found>,
    ends: bool,
}

impl Source for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn publish(&self, _: VerifiedRecord) -> Task<'_, Result<(), PublishError>> {
        Box::pin(async { Err(PublishError::Closed) })
    }

    fn withdraw(&self) -> Task<'_, ()> {
        Box::pin(async {})
    }

    fn lookup(&self, _: Query, findings: Findings) -> Task<'_, ()> {
        Box::pin(async move {
            for found in &self.found {
                if findings.send(found.clone()).await.is_err() {
                    return;
                }
            }
            if !self.ends {
                std::future::pending::<()>().await;
            }
        })
    }
}

fn discovery(sources: Vec<(Vec<Found>, bool)>) -> Discovery {
    let mut discovery = Discovery::default();
    for (found, ends) in sources {
        discovery.add(Arc::new(Scripted { found, ends }));
    }
    discovery
}

fn signed(record: NodeRecord) -> Found {
    Found::Record(verified(record, unix_now()))
}

fn hint(seed: u16, port: u16) -> Found {
    let peer = key(seed).peer_id();
    let address = format!("/ip4/192.0.2.1/tcp/{port}/p2p/{peer}");
    Found::Hint { peer, addresses: vec![address.parse().unwrap()] }
}

async fn all(mut lookup: Lookup) -> Vec<Found> {
    let mut found = Vec::new();
    while let Some(finding) = lookup.next().await {
        found.push(finding.found);
    }
    found
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_lookup_ends_when_all_sources_have_ended() {
    let one = signed(record(1, 1, unix_now()));
    let discovery = discovery(vec![(vec![one], true), (vec![], true)]);
    let found = all(discovery.lookup(Query::Peer(key(1).peer_id()), LONG)).await;
    assert_eq!(found.len(), 1);
    assert!(all(Discovery::default().lookup(Query::Peer(key(1).peer_id()), LONG)).await.is_empty());
}

#[tokio::test]
async fn a_lookup_ends_when_its_time_is_up() {
    let discovery = discovery(vec![(vec![signed(record(1, 1, unix_now()))], false)]);
    let started = Instant::now();
    let query = Query::Peer(key(1).peer_id());
    assert_eq!(all(discovery.lookup(query, Duration::from_millis(50))).await.len(), 1);
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_node_is_told_again_only_with_something_newer() {
    let now = unix_now();
    let record = |sequence| signed(record(1, sequence, now));
    let said = vec![
        hint(1, 1),
        hint(1, 1),
        record(5),
        record(4),
        record(5),
        hint(1, 1),
        hint(1, 2),
        record(6),
    ];
    let discovery = discovery(vec![(said, true)]);
    let found = all(discovery.lookup(Query::Peer(key(1).peer_id()), LONG)).await;
    let told: Vec<_> = found
        .iter()
        .map(|found| match found {
            Found::Record(record) => record.sequence(),
            Found::Hint { .. } => 0,
        })
        .collect();
    assert_eq!(told, [0, 5, 0, 6]);
}

#[tokio::test]
async fn a_lying_source_cannot_answer_for_others() {
    let now = unix_now();
    let expired = verified(record(1, 1, now.minus_seconds(3_601)), now.minus_seconds(3_600));
    let said = vec![
        Found::Record(expired),
        signed(record(2, 1, now)),
        signed(representing(3, 51, 1, now)),
        hint(1, 1),
        signed(representing(4, 50, 1, now)),
    ];
    let discovery = discovery(vec![(said, true)]);
    let found = all(discovery.lookup(Query::NetId(key(50).net_id()), LONG)).await;
    let peers: Vec<_> = found.iter().map(Found::peer).collect();
    assert_eq!(peers, [key(4).peer_id()]);
    let found = all(discovery.lookup(Query::NetId(key(1).net_id()), LONG)).await;
    assert!(found.is_empty(), "an expired record and a hint prove no NetId");
}

#[tokio::test]
async fn sources_are_asked_at_once_and_a_stuck_one_holds_up_no_other() {
    let said: Vec<_> =
        (0..200).map(|seed| signed(representing(seed, 500, 1, unix_now()))).collect();
    let discovery = discovery(vec![(vec![], false), (said, true)]);
    let mut lookup = discovery.lookup(Query::NetId(key(500).net_id()), LONG);
    for _ in 0..200 {
        assert!(lookup.next().await.is_some());
    }
}

#[tokio::test]
async fn a_dropped_lookup_stops_its_sources() {
    struct Watched(mpsc::Sender<()>);
    impl Source for Watched {
        fn name(&self) -> &'static str {
            "watched"
        }
        fn publish(&self, _: VerifiedRecord) -> Task<'_, Result<(), PublishError>> {
            Box::pin(async { Ok(()) })
        }
        fn withdraw(&self) -> Task<'_, ()> {
            Box::pin(async {})
        }
        fn lookup(&self, _: Query, findings: Findings) -> Task<'_, ()> {
            let running = self.0.clone();
            Box::pin(async move {
                let _running = running;
                let _findings = findings;
                std::future::pending::<()>().await;
            })
        }
    }
    let (running, mut stopped) = mpsc::channel(1);
    let mut discovery = Discovery::default();
    discovery.add(Arc::new(Watched(running)));
    let lookup = discovery.lookup(Query::Peer(key(1).peer_id()), LONG);
    drop(discovery);
    drop(lookup);
    assert_eq!(stopped.recv().await, None);
}

#[tokio::test]
async fn publishing_fails_only_where_no_source_takes_the_record() {
    let directory = tempdir().unwrap();
    let record = record(1, 1, unix_now());
    let mut discovery = discovery(vec![(vec![], true)]);
    assert!(matches!(discovery.publish(record.clone()).await, Err(PublishError::Closed)));
    discovery.add(Arc::new(HostRegistry::open(directory.path().join("netcom")).unwrap()));
    discovery.publish(record).await.unwrap();
    let expired = crate::testing::record(1, 1, unix_now().minus_seconds(3_601));
    assert!(matches!(discovery.publish(expired).await, Err(PublishError::Invalid { .. })));
    Discovery::default().publish(crate::testing::record(1, 1, unix_now())).await.unwrap();
}

#[tokio::test]
async fn the_scope_decides_on_the_sources() {
    let directory = tempdir().unwrap();
    let config = DiscoveryConfig::default()
        .registry(directory.path().join("netcom"))
        .mdns(MdnsConfig::default().interfaces(crate::Interfaces::Loopback).port(free_port()));
    for (scope, expected) in
        [(Scope::Off, &[][..]), (Scope::Host, &["host"]), (Scope::Lan, &["host", "mdns"])]
    {
        assert_eq!(Discovery::open(scope, &config).sources(), expected);
    }
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
