use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    time::Instant,
};

use netcom_identity::{NodeDescription, NodeRecord};
use tempfile::{TempDir, tempdir};
use tokio::time::timeout;

use super::*;
use crate::{
    source::Finding,
    testing::{description, key, record, representing, verified},
};

fn registry() -> (TempDir, HostRegistry) {
    let directory = tempdir().unwrap();
    let registry = HostRegistry::open(directory.path().join("netcom")).unwrap();
    (directory, registry)
}

fn another(registry: &HostRegistry) -> HostRegistry {
    HostRegistry::open(registry.path()).unwrap()
}

async fn publish(registry: &HostRegistry, record: NodeRecord) {
    registry.publish(verified(record, unix_now())).await.unwrap();
}

/// What a lookup gives at once: the first round of looking, and no waiting.
fn look(registry: &HostRegistry, query: Query) -> Vec<VerifiedRecord> {
    registry.0.look(&query, &mut Seen::default())
}

/// A file in the directory that a living process holds, as far as the lock tells.
fn plant(registry: &HostRegistry, name: &str, content: &[u8]) -> Held {
    registry.0.directory.write(name, content).unwrap()
}

fn peer(seed: u16) -> Query {
    Query::Peer(key(seed).peer_id())
}

#[tokio::test]
async fn nodes_of_one_host_find_each_other_by_peer_and_by_netid() {
    let (_directory, one) = registry();
    let two = another(&one);
    publish(&one, record(1, 1, unix_now())).await;
    publish(&two, representing(2, 50, 1, unix_now())).await;

    assert_eq!(look(&two, peer(1))[0].peer_id(), &key(1).peer_id());
    let found = look(&one, Query::NetId(key(50).net_id()));
    assert!(matches!(&found[..], [only] if only.peer_id() == &key(2).peer_id()));
    assert!(look(&one, Query::NetId(key(51).net_id())).is_empty());
    assert!(look(&one, peer(3)).is_empty());
}

#[tokio::test]
async fn the_files_are_private_and_named_by_peer() {
    let (_directory, registry) = registry();
    publish(&registry, record(1, 1, unix_now())).await;
    let file = registry.path().join(key(1).peer_id().to_string());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&file), mode(registry.path())), (0o600, 0o700));
}

#[tokio::test]
async fn a_record_is_replaced_withdrawn_and_dropped() {
    let (_directory, one) = registry();
    let two = another(&one);
    publish(&one, record(1, 1, unix_now())).await;
    publish(&one, record(1, 2, unix_now())).await;
    assert_eq!(look(&two, peer(1))[0].sequence(), 2);
    publish(&one, record(2, 1, unix_now())).await;
    assert!(look(&two, peer(1)).is_empty());
    one.withdraw().await;
    assert!(look(&two, peer(2)).is_empty());
    publish(&one, record(3, 1, unix_now())).await;
    drop(one);
    let left = fs::read_dir(two.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [".lock"]);
}

#[tokio::test]
async fn a_node_leaves_alone_what_another_process_put_in_its_place() {
    let (_directory, one) = registry();
    let two = another(&one);
    publish(&one, record(1, 1, unix_now())).await;
    publish(&two, record(1, 2, unix_now())).await;
    drop(one);
    assert_eq!(look(&two, peer(1))[0].sequence(), 2);
}

#[tokio::test]
async fn a_lookup_waits_for_nodes_that_come_later() {
    let (_directory, one) = registry();
    let two = another(&one);
    let (findings, mut found) = Findings::channel("host");
    let query = Query::NetId(key(50).net_id());
    let looking = tokio::spawn(async move { one.lookup(query, findings).await });
    for seed in 1..=3 {
        publish(&two, representing(seed, 50, 1, unix_now())).await;
        let started = Instant::now();
        let Some(Finding { found: Found::Record(record), source }) = found.recv().await else {
            panic!()
        };
        assert_eq!((record.peer_id(), source), (&key(seed).peer_id(), "host"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    assert!(timeout(Duration::from_millis(200), found.recv()).await.is_err(), "told once");
    drop(found);
    looking.await.unwrap();
}

#[tokio::test]
async fn a_record_without_a_living_owner_is_ignored_and_swept() {
    let (_directory, registry) = registry();
    let name = key(1).peer_id().to_string();
    let held = plant(&registry, &name, &record(1, 1, unix_now()).encode());
    assert_eq!(look(&registry, peer(1)).len(), 1);
    drop(held); // the lock goes as it does when a process is killed
    assert!(look(&registry, peer(1)).is_empty());
    assert!(!registry.path().join(&name).exists());
}

#[tokio::test]
async fn forged_expired_misnamed_and_oversized_records_never_come_out() {
    let (_directory, registry) = registry();
    let now = unix_now();
    let name = |seed| key(seed).peer_id().to_string();
    let mut forged = record(1, 1, now).encode();
    *forged.last_mut().unwrap() ^= 1;
    let expired = record(2, 1, now.minus_seconds(3_601)).encode();
    let endless = NodeDescription::new(1, now.plus_seconds(8 * 86_400));
    let endless = NodeRecord::sign(&key(3), endless).unwrap().encode();
    let misnamed = record(9, 1, now).encode();
    let oversized = [record(5, 1, now).encode(), vec![0; MAX_FILE]].concat();
    let contents = [(1, forged), (2, expired), (3, endless), (4, misnamed), (5, oversized)];
    let _held: Vec<_> =
        contents.iter().map(|(seed, content)| plant(&registry, &name(*seed), content)).collect();
    for seed in [1, 2, 3, 4, 5, 9] {
        assert!(look(&registry, peer(seed)).is_empty(), "{seed}");
        let netid = Query::NetId(key(seed).net_id());
        assert!(look(&registry, netid).is_empty(), "{seed}");
    }
    assert!(registry.rejected() >= 5, "{}", registry.rejected());
}

#[tokio::test]
async fn files_that_others_could_have_written_are_ignored() {
    let (_directory, registry) = registry();
    publish(&registry, record(1, 1, unix_now())).await;
    let file = registry.path().join(key(1).peer_id().to_string());
    for (mode, found) in [(0o644, 1), (0o666, 0), (0o620, 0), (0o755, 0), (0o4644, 0), (0o600, 1)] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert_eq!(look(&registry, peer(1)).len(), found, "{mode:o}");
    }
    if geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
        assert!(look(&registry, peer(1)).is_empty());
    } else {
        println!("SKIP: only root can give a file to another user");
        let is_forbidden = env::var("NETCOM_NO_SKIP").is_ok_and(|value| value == "1");
        assert!(!is_forbidden, "skipping is forbidden");
    }
}

#[tokio::test]
async fn links_pipes_and_directories_are_ignored_without_waiting() {
    let (_directory, registry) = registry();
    let name = |seed| registry.path().join(key(seed).peer_id().to_string());
    let outside = registry.path().parent().unwrap().join("record");
    fs::write(&outside, record(1, 1, unix_now()).encode()).unwrap();
    std::os::unix::fs::symlink(&outside, name(1)).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, name(2), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::create_dir(name(3)).unwrap();
    for seed in 1..=3 {
        assert!(look(&registry, peer(seed)).is_empty());
    }
}

#[test]
fn a_directory_that_is_not_private_is_refused_with_the_remedy() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("netcom");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let error = HostRegistry::open(&path).unwrap_err();
    let expected = format!("{0} has mode 755, run: chmod 700 {0}", path.display());
    assert_eq!(error.to_string(), expected);

    let link = directory.path().join("link");
    std::os::unix::fs::symlink(directory.path(), &link).unwrap();
    assert!(matches!(HostRegistry::open(&link), Err(RegistryError::Directory { .. })));
    let missing = directory.path().join("missing/netcom");
    assert!(matches!(HostRegistry::open(missing), Err(RegistryError::Directory { .. })));
}

#[tokio::test]
async fn a_full_registry_takes_no_more_but_makes_room_from_the_dead() {
    let (_directory, registry) = registry();
    let dead: Vec<_> = (0..MAX_FILES).map(|n| registry.path().join(format!("file{n}"))).collect();
    for path in &dead {
        fs::write(path, b"").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap(); // not ours to judge
    }
    let record = verified(record(1, 1, unix_now()), unix_now());
    let full = registry.publish(record.clone()).await;
    assert!(matches!(full, Err(PublishError::Full { .. })), "{full:?}");
    for path in &dead {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }
    registry.publish(record).await.unwrap();
    assert_eq!(look(&registry, peer(1)).len(), 1);
}

#[tokio::test]
async fn a_record_too_large_for_a_file_is_refused() {
    let (_directory, registry) = registry();
    let mut description = description(1, 1, unix_now());
    for host in 10..41 {
        let name = "a".repeat(200);
        description.addresses.push(format!("/dns4/{name}{host}/tcp/1").parse().unwrap());
    }
    for key in ["a", "b", "c", "d"] {
        description.metadata.insert(key, &"x".repeat(200)).unwrap();
    }
    let record = NodeRecord::sign(&key(1), description).unwrap();
    let refused = registry.publish(verified(record, unix_now())).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_a_killed_writer_left_half_written_is_cleared() {
    let (_directory, registry) = registry();
    let left = registry.path().join(".new-somebody");
    fs::write(&left, b"half").unwrap();
    publish(&registry, record(1, 1, unix_now())).await;
    assert!(!left.exists());
}
