use std::{error::Error, os::unix::fs::PermissionsExt};

use netcom_identity::SecretKey;
use tempfile::{TempDir, tempdir};

use super::*;

fn book() -> (TempDir, PetnameBook) {
    let directory = tempdir().unwrap();
    let book = PetnameBook::new(directory.path().join("data"));
    (directory, book)
}

fn netid(seed: u8) -> PetnameEntry {
    PetnameEntry::new(SecretKey::from_bytes(&[seed; 32]).net_id().into())
}

fn peer(seed: u8) -> PetnameEntry {
    PetnameEntry::new(SecretKey::from_bytes(&[seed; 32]).peer_id().into())
}

fn name(text: &str) -> Petname {
    text.parse().unwrap()
}

fn write(book: &PetnameBook, text: &str) {
    std::fs::create_dir_all(book.path().parent().unwrap()).unwrap();
    std::fs::write(book.path(), text).unwrap();
    std::fs::set_permissions(book.path(), PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn names_are_kept_listed_resolved_and_removed() {
    let (_directory, book) = book();
    let address: Multiaddr = "/ip4/192.0.2.1/tcp/4001".parse().unwrap();
    let bob = peer(2).addresses(vec![address.clone()]);
    book.add(&name("bob"), bob, IfTaken::Refuse).unwrap();
    book.add(&name("alice"), netid(1), IfTaken::Refuse).unwrap();

    let full = with_own_peer_id(&address, &SecretKey::from_bytes(&[2; 32]).peer_id()).unwrap();
    let listed = book.list().unwrap();
    let bob = peer(2).addresses(vec![full]);
    assert_eq!(listed, [(name("alice"), netid(1)), (name("bob"), bob.clone())]);
    assert_eq!(book.resolve(&name("bob")).unwrap(), bob);

    assert_eq!(book.remove(&name("bob")).unwrap(), Some(bob));
    assert!(matches!(book.resolve(&name("bob")), Err(ResolveError::Unknown { .. })));
    assert!(matches!(book.remove(&name("bob")), Err(ResolveError::Unknown { .. })));
}

#[test]
fn a_name_in_use_is_replaced_on_purpose_only() {
    let (_directory, book) = book();
    book.add(&name("alice"), netid(1), IfTaken::Refuse).unwrap();
    let error = book.add(&name("alice"), netid(2), IfTaken::Refuse).unwrap_err();
    assert_eq!(error.to_string(), format!("alice already means {}", netid(1).id));
    assert_eq!(book.resolve(&name("alice")).unwrap(), netid(1));
    book.add(&name("alice"), netid(2), IfTaken::Replace).unwrap();
    assert_eq!(book.resolve(&name("alice")).unwrap(), netid(2));
}

#[test]
fn a_slip_of_the_finger_gets_a_suggestion() {
    let (_directory, book) = book();
    book.add(&name("alice"), netid(1), IfTaken::Refuse).unwrap();
    let error = book.resolve(&name("alcie")).unwrap_err();
    let expected = "there is no name alcie in the petname book, did you mean alice?";
    assert_eq!(error.to_string(), expected);
    let error = book.resolve(&name("bob")).unwrap_err();
    assert_eq!(error.to_string(), "there is no name bob in the petname book");
}

#[test]
fn the_file_is_private_and_keeps_what_its_owner_wrote() {
    let (_directory, book) = book();
    let id = netid(1).id;
    write(&book, &format!("# mine\nversion = 1\n\n[names]\n# her\nalice = {{ id = \"{id}\" }}\n"));
    book.add(&name("bob"), peer(2), IfTaken::Refuse).unwrap();
    let text = std::fs::read_to_string(book.path()).unwrap();
    assert!(text.starts_with("# mine\nversion = 1\n") && text.contains("# her\n"), "{text}");
    let mode = std::fs::metadata(book.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(book.list().unwrap().len(), 2);
}

#[test]
fn a_newer_or_damaged_file_is_refused_and_left_alone() {
    let (_directory, book) = book();
    for (text, expected) in [
        ("version = 2\n", "has version 2, this netcom knows version 1 only"),
        ("version = \"1\"\n", "it lacks the line version = 1"),
        ("[names]\n", "it lacks the line version = 1"),
        ("version = 1\nnames = 3\n", "names is no table"),
        ("version = 1\n[names\n", "line 2: "),
    ] {
        write(&book, text);
        let error = book.list().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(book.add(&name("bob"), peer(2), IfTaken::Replace).is_err());
        assert_eq!(std::fs::read_to_string(book.path()).unwrap(), text);
    }
}

#[test]
fn one_wrong_entry_harms_no_other_and_can_be_removed() {
    let (_directory, book) = book();
    let id = netid(1).id;
    write(&book, &format!("version = 1\n[names]\nalice.id = \"{id}\"\nbob.id = \"n1zzz\"\n"));
    assert_eq!(book.resolve(&name("alice")).unwrap(), netid(1));
    let error = book.resolve(&name("bob")).unwrap_err().to_string();
    assert!(error.contains("the entry bob in "), "{error}");
    assert_eq!(book.remove(&name("bob")).unwrap(), None);
    assert_eq!(book.list().unwrap(), [(name("alice"), netid(1))]);
}

#[test]
fn a_file_others_may_write_is_refused_with_the_remedy() {
    let (_directory, book) = book();
    write(&book, "version = 1\n");
    std::fs::set_permissions(book.path(), PermissionsExt::from_mode(0o622)).unwrap();
    let error = book.list().unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn addresses_have_to_lead_to_the_named() {
    let (_directory, book) = book();
    let other = SecretKey::from_bytes(&[9; 32]).peer_id();
    let foreign: Multiaddr = format!("/ip4/192.0.2.1/tcp/1/p2p/{other}").parse().unwrap();
    let nobody: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
    let add = |entry| book.add(&name("bob"), entry, IfTaken::Refuse);
    let error = add(peer(2).addresses(vec![foreign.clone()])).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("belongs to another node"));
    let error = add(netid(2).addresses(vec![nobody.clone()])).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("does not end in /p2p/"));
    let error = add(peer(2).addresses(vec![nobody; MAX_ADDRESSES + 1])).unwrap_err();
    assert!(matches!(error, AddError::Addresses { .. }));
    add(netid(2).addresses(vec![foreign])).unwrap();
}

#[test]
fn the_book_has_an_end() {
    let (_directory, book) = book();
    let id = netid(1).id;
    let names = (0..MAX_NAMES).map(|number| format!("name{number} = {{ id = \"{id}\" }}\n"));
    write(&book, &format!("version = 1\n[names]\n{}", names.collect::<String>()));
    let error = book.add(&name("bob"), peer(2), IfTaken::Refuse).unwrap_err();
    assert!(matches!(error, AddError::Full), "{error}");
    book.add(&name("name7"), peer(2), IfTaken::Replace).unwrap();
    book.remove(&name("name8")).unwrap();
    book.add(&name("bob"), peer(2), IfTaken::Refuse).unwrap();
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let (_directory, book) = book();
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let book = book.clone();
            scope.spawn(move || {
                let name = name(&format!("name{seed}"));
                book.add(&name, netid(seed), IfTaken::Refuse).unwrap();
            });
        }
    });
    assert_eq!(book.list().unwrap().len(), 8);
}
