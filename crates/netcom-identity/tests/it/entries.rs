//! What a directory signs about a name, and what is refused as such.

use netcom_identity::{
    DirectoryEntry, DirectoryEntryError, EntityDescription, EntityDocument, MAX_ENTRY_BYTES,
    MAX_ENTRY_LIFETIME_SECONDS, SecretKey, UnixTime,
};

use crate::support::{Message, NOW, key, signed};

const CONTEXT: &str = "netcom/directory-entry/1";
const NAME: &str = "alice.netcom";

fn directory() -> SecretKey {
    key(4)
}

fn document(names: &[&str]) -> EntityDocument {
    let mut description = EntityDescription::new(1, NOW.plus_seconds(100));
    description.names = names.iter().map(|name| (*name).to_owned()).collect();
    EntityDocument::sign(&key(1), description).expect("within its bounds")
}

fn sign(issued: UnixTime, expires: UnixTime) -> Result<DirectoryEntry, DirectoryEntryError> {
    let document = document(&["example.org", NAME]);
    DirectoryEntry::sign(&directory(), NAME, document, 7, issued, expires)
}

fn entry() -> DirectoryEntry {
    sign(NOW, NOW.plus_seconds(50)).expect("it keeps the rules")
}

/// An entry of the directory's with fields as they are given.
fn crafted(name: &str, document: &[u8], numbers: [u64; 3]) -> Vec<u8> {
    let [sequence, issued, expires] = numbers;
    let fields = Message::new().bytes(1, name.as_bytes()).bytes(2, document).number(3, sequence);
    signed(&directory(), CONTEXT, &fields.number(4, issued).number(5, expires).done())
}

fn read(bytes: &[u8]) -> Result<DirectoryEntry, DirectoryEntryError> {
    DirectoryEntry::decode(bytes, &directory().net_id())
}

#[test]
fn an_entry_says_after_its_journey_what_the_directory_signed() {
    let received = read(&entry().encode()).unwrap();
    assert_eq!(received, entry());
    assert_eq!((received.name(), received.sequence()), (NAME, 7));
    assert_eq!(received.document().netid(), &key(1).net_id());
    assert_eq!(received.directory(), &directory().net_id());
    received.verify(NAME, NOW).unwrap();
}

#[test]
fn an_entry_counts_for_its_name_and_time_alone() {
    let entry = entry();
    let other = entry.verify("bob.netcom", NOW).unwrap_err();
    assert_eq!(other, DirectoryEntryError::OtherName { name: NAME.to_owned() });
    let over = entry.verify(NAME, NOW.plus_seconds(50)).unwrap_err();
    assert!(matches!(over, DirectoryEntryError::Expired { .. }));
    // Clocks differ, by five minutes at most.
    entry.verify(NAME, NOW.minus_seconds(300)).unwrap();
    let early = entry.verify(NAME, NOW.minus_seconds(301)).unwrap_err();
    assert!(matches!(early, DirectoryEntryError::NotYet { .. }));
    let long = sign(NOW, NOW.plus_seconds(200)).unwrap();
    let over = long.verify(NAME, NOW.plus_seconds(150)).unwrap_err();
    assert!(matches!(over, DirectoryEntryError::Document(_)), "the document ended before");
}

#[test]
fn an_entry_of_another_key_or_for_another_use_is_refused() {
    let refused = DirectoryEntry::decode(&entry().encode(), &key(3).net_id()).unwrap_err();
    assert!(matches!(refused, DirectoryEntryError::Signature(_)));
    let content = crafted(NAME, &document(&[NAME]).encode(), [1, NOW.0, NOW.0 + 1]);
    read(&content).unwrap();
    let fields = Message::new().bytes(1, NAME.as_bytes()).done();
    let other_use = signed(&directory(), "netcom/entity-document/1", &fields);
    assert!(matches!(read(&other_use), Err(DirectoryEntryError::Signature(_))));
}

#[test]
fn each_changed_byte_and_each_cut_of_an_entry_is_refused() {
    let encoded = entry().encode();
    for at in 0..encoded.len() {
        assert!(read(&encoded[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = encoded.clone();
            changed[at] ^= 1 << bit;
            let accepted = read(&changed);
            assert!(accepted.is_err(), "bit {bit} of byte {at}: {accepted:?}");
        }
    }
    assert!(read(&vec![0; MAX_ENTRY_BYTES + 1]).is_err());
}

#[test]
fn what_a_directory_signs_against_the_rules_is_refused() {
    let good = document(&[NAME]).encode();
    let now = NOW.0;
    let foreign = document(&["example.org"]).encode();
    let unlisted = read(&crafted(NAME, &foreign, [1, now, now + 1])).unwrap_err();
    assert!(matches!(unlisted, DirectoryEntryError::NotListed { .. }), "{unlisted}");
    for name in ["Alice.netcom", "alice.netcom."] {
        let error = read(&crafted(name, &good, [1, now, now + 1])).unwrap_err();
        assert_eq!(error, DirectoryEntryError::NameForm, "{name}");
    }
    for name in ["", "a..netcom", "../netcom", "alice.netcom/", "älice.netcom"] {
        let error = read(&crafted(name, &good, [1, now, now + 1])).unwrap_err();
        assert!(matches!(error, DirectoryEntryError::Name(_)), "{name}: {error}");
    }
    for expires in [0, now, now + MAX_ENTRY_LIFETIME_SECONDS + 1, u64::MAX] {
        let error = read(&crafted(NAME, &good, [1, now, expires])).unwrap_err();
        assert!(matches!(error, DirectoryEntryError::Lifetime { .. }), "{expires}");
    }
    for document in [&[][..], &good[1..], b"document"] {
        let error = read(&crafted(NAME, document, [1, now, now + 1])).unwrap_err();
        assert!(matches!(error, DirectoryEntryError::Document(_)), "{error}");
    }
    read(&crafted(NAME, &good, [u64::MAX, now, now + MAX_ENTRY_LIFETIME_SECONDS])).unwrap();
}
