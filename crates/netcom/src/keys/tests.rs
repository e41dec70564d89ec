use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Barrier, mpsc},
    thread,
    time::Duration,
};

use netcom_discovery::private_file;
use netcom_identity::{MAX_DELEGATIONS, Representation, RepresentationError};

use super::{
    devices::{Guard, Register},
    file::Purpose,
    *,
};
use crate::{clock::unix_now, data_dir::DataDir};

fn store(folder: &Path) -> IdentityStore {
    IdentityStore::new(DataDir::open(folder.join("data")).unwrap())
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

fn proof_of(keys: &ProcessKeys) -> Representation {
    keys.issuer.as_ref().unwrap().issue(keys.node.peer_id(), unix_now()).unwrap()
}

#[test]
fn an_identity_is_made_once_and_shown_without_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    assert!(!store.has_identity());
    assert_eq!(store.show().unwrap().netid, None);

    let netid = store.create(None).unwrap();
    let refused = store.create(None).unwrap_err();
    assert_eq!(refused.code(), "file_exists");
    assert_eq!(store.load(None).unwrap().net_id(), netid);

    let info = store.show().unwrap();
    assert_eq!(info.netid, Some(netid));
    assert!(info.peer_id.is_some() && !info.is_encrypted);
    let shown = format!("{info:?} {store:?} {:?}", store.process_keys(None, None).unwrap());
    let secret = store.load(None).unwrap().export_secret();
    assert!(!shown.contains(&data_encoding::HEXLOWER.encode(secret.as_ref())));
}

#[test]
fn the_holder_of_the_directory_has_the_stored_node_key_and_others_fresh_ones() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let netid = store.create(None).unwrap();
    let lock = store.directory().lock().unwrap();

    let holder = store.process_keys(Some(&lock), None).unwrap();
    let again = store.process_keys(Some(&lock), None).unwrap();
    let [second, third] = [(); 2].map(|()| store.process_keys(None, None).unwrap());
    assert_eq!(holder.node.peer_id(), again.node.peer_id());
    assert_eq!(Some(holder.node.peer_id()), store.show().unwrap().peer_id);
    assert_ne!(holder.node.peer_id(), second.node.peer_id());
    assert_ne!(second.node.peer_id(), third.node.peer_id());
    for keys in [&holder, &second, &third] {
        let represents = proof_of(keys).verify(&keys.node.peer_id(), unix_now(), None).unwrap();
        assert_eq!(represents.netid, netid);
    }
}

#[test]
fn a_locked_identity_lets_its_node_and_others_speak_without_the_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let words = passphrase("four words of mine");
    let netid = store.create(Some(&words)).unwrap();
    assert!(store.show().unwrap().is_encrypted);
    assert!(matches!(store.load(None), Err(KeyFileError::PassphraseMissing { .. })));
    let wrong = store.load(Some(&passphrase("four words of yours")));
    assert!(matches!(wrong, Err(KeyFileError::WrongPassphrase { .. })));
    assert_eq!(store.load(Some(&words)).unwrap().net_id(), netid);

    let lock = store.directory().lock().unwrap();
    let holder = store.process_keys(Some(&lock), None).unwrap();
    let other = store.process_keys(None, None).unwrap();
    for (keys, delegations) in [(&holder, 0), (&other, 1)] {
        let proof = proof_of(keys);
        assert_eq!(proof.delegations(), delegations);
        let represents = proof.verify(&keys.node.peer_id(), unix_now(), None).unwrap();
        assert_eq!(represents.netid, netid);
    }
    assert!(usize::from(MAX_DELEGATIONS) > proof_of(&other).delegations());

    // The root secret may be taken away altogether.
    fs::remove_file(store.directory().path().join("identity.key")).unwrap();
    let other = store.process_keys(None, None).unwrap();
    assert_eq!(other.issuer.unwrap().netid(), netid);
    assert_eq!(store.show().unwrap().netid, Some(netid));
}

#[test]
fn without_a_proof_a_locked_identity_asks_for_its_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.create(Some(&passphrase("words"))).unwrap();
    let proof = store.directory().path().join("node.proof");
    fs::remove_file(&proof).unwrap();
    for lock in [None, Some(store.directory().lock().unwrap())] {
        let refused = store.process_keys(lock.as_ref(), None).unwrap_err();
        assert_eq!(refused.code(), "passphrase_missing");
    }
    let lock = store.directory().lock().unwrap();
    store.process_keys(Some(&lock), Some(&passphrase("words"))).unwrap();
    assert!(proof.exists(), "giving it once renews the proof");
    store.process_keys(Some(&lock), None).unwrap();
}

#[test]
fn a_proof_that_was_taken_back_here_lets_no_node_speak_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.create(Some(&passphrase("words"))).unwrap();
    let path = store.directory().path();
    let mut register = Register::read(path).unwrap();
    register.take_back(store.proof().unwrap().unwrap().sequence() + 1);
    Guard::take(path).unwrap().write(&register).unwrap();
    for lock in [None, Some(store.directory().lock().unwrap())] {
        let refused = store.process_keys(lock.as_ref(), None).unwrap_err();
        assert_eq!(refused.code(), "passphrase_missing");
    }
}

#[test]
fn of_a_key_and_somebody_elses_proof_that_come_at_once_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let owner = store(folder.path());
    owner.create(None).unwrap();
    for round in 0..20 {
        let path = folder.path().join(format!("device-{round}"));
        let device = IdentityStore::new(DataDir::open(path).unwrap());
        let proof = owner.admit(&device.enroll(None, "").unwrap(), 3600, 1, None).unwrap();
        let start = Barrier::new(2);
        let (is_created, is_accepted) = thread::scope(|scope| {
            let creating = scope.spawn(|| {
                start.wait();
                device.create(None).is_ok()
            });
            start.wait();
            let is_accepted = device.accept(&proof, false).is_ok();
            (creating.join().unwrap(), is_accepted)
        });
        assert_ne!(is_created, is_accepted);
    }
}

#[test]
fn a_node_that_starts_while_the_key_is_being_replaced_speaks_by_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.create(None).unwrap();
    let new = generate_key();
    let lock = store.directory().lock().unwrap();
    let guard = Guard::take(store.directory().path()).unwrap();
    let (started, starting) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(|| started.send(store.process_keys(Some(&lock), None)).unwrap());
        let early = starting.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err(), "it waits for who is replacing the key");
        let text = file::plain(&new, Purpose::Identity);
        let path = store.directory().path().join("identity.key");
        private_file::replace(&path, text.as_bytes()).unwrap();
        drop(guard);
    });
    let keys = starting.recv().unwrap().unwrap();
    assert_eq!(keys.issuer.unwrap().netid(), new.net_id());
    assert_eq!(store.proof().unwrap().unwrap().netid(), new.net_id());
}

#[test]
fn a_directory_that_another_process_changes_is_worth_trying_again() {
    let held = || KeyFileError::from(PrivateFileError::Busy { path: PathBuf::from("lock") });
    assert!(held().is_retryable() && EnrollError::from(held()).is_retryable());
    assert!(KeyFileError::Memory.is_retryable() && !KeyFileError::TooManyDevices.is_retryable());
    assert!(!EnrollError::NotAllowed.is_retryable());
}

#[test]
fn a_directory_without_an_identity_keeps_a_node_key_that_speaks_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let lock = store.directory().lock().unwrap();
    let first = store.process_keys(Some(&lock), None).unwrap();
    let second = store.process_keys(Some(&lock), None).unwrap();
    assert!(first.issuer.is_none());
    assert_eq!(first.node.peer_id(), second.node.peer_id());
    assert_ne!(first.node.peer_id(), store.process_keys(None, None).unwrap().node.peer_id());
}

#[test]
fn a_backup_opens_with_its_passphrase_only_and_comes_back_as_the_same_identity() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let netid = store.create(None).unwrap();
    let words = passphrase("paper in a drawer");
    let backup = store.export(None, &words).unwrap();
    assert!(backup.starts_with("netcom-key 1\npurpose: identity\n"));
    assert!(backup.contains(&netid.to_string()));

    let elsewhere = tempfile::tempdir().unwrap();
    let new = self::store(elsewhere.path());
    let missing = new.import(&backup, None, None).unwrap_err();
    assert_eq!(missing.code(), "passphrase_missing");
    let wrong = new.import(&backup, Some(&passphrase("other")), None).unwrap_err();
    assert_eq!(wrong.code(), "passphrase_wrong");
    assert!(!new.has_identity());

    assert_eq!(new.import(&backup, Some(&words), None).unwrap(), netid);
    assert_eq!(new.load(None).unwrap().net_id(), netid);
    let taken = new.import(&backup, Some(&words), None).unwrap_err();
    assert_eq!(taken.code(), "file_exists");
}

#[test]
fn no_change_of_a_backup_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.create(None).unwrap();
    let words = passphrase("w");
    let backup = store.export(None, &words).unwrap();
    let target = tempfile::tempdir().unwrap();
    let target = self::store(target.path());

    // One letter of each line, so that each field counts; Argon2 is slow on purpose.
    let starts = std::iter::once(0).chain(backup.match_indices('\n').map(|(at, _)| at + 1));
    for start in starts.filter(|start| *start < backup.len()) {
        let mut altered = backup.clone().into_bytes();
        let end = backup[start..].find('\n').unwrap() + start;
        altered[end - 1] = if altered[end - 1] == b'0' { b'1' } else { b'0' };
        let altered = String::from_utf8(altered).unwrap();
        assert!(target.import(&altered, Some(&words), None).is_err(), "{altered}");
    }
    for greedy in ["argon2id 4294967295 3 4 ", "argon2id 65536 4000000000 4 ", "argon2id 8 1 1 "] {
        let start = backup.find("argon2id ").unwrap();
        let salt = start + backup[start..].rfind("argon2id 65536 3 4 ").unwrap() + 19;
        let altered = format!("{}{greedy}{}", &backup[..start], &backup[salt..]);
        let refused = target.import(&altered, Some(&words), None).unwrap_err();
        assert_eq!(refused.code(), "key_corrupted", "{altered}");
    }
}

#[test]
fn damaged_and_foreign_key_files_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.create(None).unwrap();
    let path = store.directory().path().join("identity.key");
    let whole = fs::read_to_string(&path).unwrap();

    for length in 0..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        let refused = store.load(None).unwrap_err();
        let is_typed = matches!(refused.code(), "key_truncated" | "key_corrupted");
        assert!(is_typed, "{length}: {refused}");
        assert!(refused.to_string().contains("netcom id import"), "{refused}");
        assert_eq!(refused.code() == "key_truncated", length >= 12, "{length}: {refused}");
    }
    for at in 0..whole.len() - 1 {
        let mut altered = whole.clone().into_bytes();
        altered[at] ^= 1;
        fs::write(&path, &altered).unwrap();
        assert!(store.load(None).is_err(), "{}", String::from_utf8_lossy(&altered));
    }
    fs::write(&path, [0xff; 100]).unwrap();
    assert_eq!(store.load(None).unwrap_err().code(), "key_corrupted");
    fs::write(&path, whole.replace("netcom-key 1", "netcom-key 2")).unwrap();
    assert_eq!(store.load(None).unwrap_err().code(), "key_newer");
    fs::copy(store.directory().path().join("node.key"), &path).unwrap();
    assert_eq!(store.load(None).unwrap_err().code(), "key_wrong_purpose");

    fs::write(&path, &whole).unwrap();
    store.load(None).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let open = store.load(None).unwrap_err();
    assert_eq!(open.code(), "file_open_to_others");
    assert_eq!(open.hint(), Some(format!("chmod 600 {}", path.display())));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    if netcom_discovery::private_file::user() == 0 {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        let foreign = store.load(None).unwrap_err();
        assert_eq!(foreign.code(), "file_foreign");
        assert!(foreign.hint().unwrap().starts_with("chown 0 "));
    }
}

#[test]
fn a_given_proof_is_for_its_own_node_alone() {
    let [entity, node, other] = [(); 3].map(|()| generate_key());
    let issuer = Issuer::Identity { key: entity, lowest: 0 };
    let given = issuer.issue(node.peer_id(), unix_now()).unwrap();
    let refused = given.verify(&other.peer_id(), unix_now(), None).unwrap_err();
    assert!(matches!(refused, RepresentationError::WrongSubject { .. }));
    assert!(Issuer::Given(Box::new(given.clone())).issue(other.peer_id(), unix_now()).is_none());
    assert_eq!(
        Issuer::Given(Box::new(given.clone())).issue(node.peer_id(), unix_now()),
        Some(given)
    );
}

#[test]
fn passphrases_are_bounded_and_never_shown() {
    assert_eq!(Passphrase::new("").unwrap_err(), PassphraseError::Empty);
    assert_eq!(Passphrase::new("x".repeat(1025)).unwrap_err(), PassphraseError::TooLong);
    assert_eq!(format!("{:?}", passphrase("secret")), "Passphrase(..)");
}
