//! What is believed of a directory's answer, as a table.

use netcom_identity::{
    DirectoryEntry, EntityDescription, EntityDocument, NetId, SecretKey, UnixTime,
};
use serde_json::Value;

use super::{
    DirectoryAnswer, NameError, WebError,
    directory::{Question, Verdict},
    pins::{Pinned, PinnedEntry},
};

pub(super) const NAME: &str = "alice.netcom";
pub(super) const NOW: UnixTime = UnixTime(1500);

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

pub(super) fn document(seed: u8, sequence: u64) -> EntityDocument {
    described(seed, sequence, |_| {})
}

fn described(
    seed: u8,
    sequence: u64,
    change: impl FnOnce(&mut EntityDescription),
) -> EntityDocument {
    let mut description = EntityDescription::new(sequence, UnixTime(9000));
    description.names = vec!["example.org".to_owned(), NAME.to_owned()];
    change(&mut description);
    EntityDocument::sign(&key(seed), description).unwrap()
}

/// What the directory, whose key is 8, says of the entity of a key.
pub(super) fn entry(seed: u8, sequence: u64) -> DirectoryEntry {
    of(document(seed, 1), sequence)
}

fn of(document: EntityDocument, sequence: u64) -> DirectoryEntry {
    DirectoryEntry::sign(&key(8), NAME, document, sequence, UnixTime(1000), UnixTime(2000)).unwrap()
}

pub(super) fn page(seed: u8, sequence: u64) -> String {
    json(entry(seed, sequence), Vec::new())
}

/// An entry of this number with a document of key 1 of that one.
pub(super) fn numbered(sequence: u64, document_sequence: u64) -> String {
    json(of(document(1, document_sequence), sequence), Vec::new())
}

fn json(entry: DirectoryEntry, earlier: Vec<EntityDocument>) -> String {
    DirectoryAnswer { entry, earlier }.to_json()
}

/// What a directory gives.
type Page<'a> = Result<&'a str, WebError>;
/// What it gives, what is remembered, when it is asked, and what that comes to.
type Row<'a> = (&'a str, Page<'a>, Option<Pinned>, u64, &'a str);

fn judge(page: &Page<'_>, pinned: Option<&Pinned>, now: u64) -> Result<Verdict, NameError> {
    let directory = key(8).net_id();
    let (name, url) = (NAME, "https://directory");
    let question = Question { name, key: &directory, url, now: UnixTime(now) };
    question.judge(page.as_ref().map(|text| text.as_bytes()), pinned)
}

/// What was seen before: a document of a key, and an entry of a directory with a number.
fn pin(document: Option<EntityDocument>, directory: u8, sequence: u64) -> Pinned {
    let netid = document.as_ref().map_or(key(1).net_id(), |it| *it.netid());
    let directory = key(directory).net_id();
    let expires = UnixTime(1800);
    Pinned { netid, document, entry: Some(PinnedEntry { directory, sequence, expires }) }
}

#[test]
fn each_answer_of_a_directory_has_its_verdict() {
    let absent = || Err(WebError::Absent { reason: "refused".to_owned() });
    let good = page(1, 5);
    let newer = json(of(document(1, 7), 5), Vec::new());
    let replaced = described(1, 1, |it| it.successor = Some(key(2).net_id()));
    let step = described(1, 3, |it| {
        it.successor = Some(key(2).net_id());
        it.expires = UnixTime(1100);
    });
    let moved = json(entry(2, 5), vec![step.clone()]);
    let old_step = json(
        entry(2, 5),
        vec![described(1, 1, |it| {
            it.successor = Some(key(2).net_id());
        })],
    );
    let long_name = "bob.netcom".to_owned();
    let bob = described(1, 1, |it| it.names.push(long_name.clone()));
    let times = (UnixTime(1000), UnixTime(2000));
    let other_name = DirectoryEntry::sign(&key(8), &long_name, bob, 5, times.0, times.1).unwrap();
    let (first, second) = (Some(document(1, 2)), Some(document(2, 1)));
    let rows: [Row<'_>; 22] = [
        ("new", Ok(&good), None, 1500, "entry"),
        ("seen", Ok(&good), Some(pin(Some(document(1, 1)), 8, 5)), 1500, "entry"),
        ("trusted without a document", Ok(&good), Some(pin(None, 8, 5)), 1500, "entry"),
        ("older entry", Ok(&good), Some(pin(None, 8, 6)), 1500, "name_replayed"),
        ("another directory's number", Ok(&good), Some(pin(None, 7, 6)), 1500, "entry"),
        ("older document", Ok(&good), Some(pin(first.clone(), 8, 5)), 1500, "name_replayed"),
        ("newer document", Ok(&newer), Some(pin(first.clone(), 8, 5)), 1500, "entry"),
        ("another key", Ok(&good), Some(pin(second.clone(), 8, 5)), 1500, "name_changed"),
        ("successor", Ok(&moved), Some(pin(first.clone(), 8, 5)), 1500, "entry"),
        ("old successor", Ok(&old_step), Some(pin(first.clone(), 8, 5)), 1500, "name_changed"),
        ("replaced", Ok(&json(of(replaced, 5), Vec::new())), None, 1500, "name_replaced"),
        ("over", Ok(&good), None, 2000, "name_bad_directory"),
        ("too early", Ok(&good), None, 699, "name_bad_directory"),
        ("other name", Ok(&json(other_name, Vec::new())), None, 1500, "name_bad_directory"),
        ("404", Err(WebError::Missing), None, 1500, "name_not_in_directory"),
        (
            "404, seen",
            Err(WebError::Missing),
            Some(pin(first.clone(), 8, 5)),
            1500,
            "name_not_in_directory",
        ),
        ("silent", absent(), None, 1500, "name_directory_silent"),
        ("silent, seen", absent(), Some(pin(first.clone(), 8, 5)), 1500, "before"),
        ("silent, over", absent(), Some(pin(first.clone(), 8, 5)), 1800, "name_directory_silent"),
        ("silent, another's", absent(), Some(pin(first, 7, 5)), 1500, "name_directory_silent"),
        ("silent, trusted", absent(), Some(pin(None, 8, 5)), 1500, "name_directory_silent"),
        (
            "redirect",
            Err(WebError::Bad { reason: "a redirect".to_owned() }),
            Some(pin(second, 8, 5)),
            1500,
            "name_bad_directory",
        ),
    ];
    for (what, page, pinned, now, expected) in rows {
        let verdict = match judge(&page, pinned.as_ref(), now) {
            Ok(Verdict::Entry(_)) => "entry",
            Ok(Verdict::Before(_)) => "before",
            Err(error) => error.code(),
        };
        assert_eq!(verdict, expected, "{what}");
    }
}

#[test]
fn texts_that_are_no_answer_of_a_directory_are_refused() {
    let stranger = DirectoryEntry::sign(&key(7), NAME, document(1, 1), 1, NOW, UnixTime(2000));
    let good: Value = serde_json::from_str(&page(1, 1)).unwrap();
    let with = |member: &str, value: Value| {
        let mut changed = good.clone();
        changed[member] = value;
        changed.to_string()
    };
    let nine = vec![serde_json::json!("AAAA"); 9];
    let texts = [
        json(stranger.unwrap(), Vec::new()),
        String::new(),
        "[".repeat(16 * 1024),
        " ".repeat(16 * 1024 + 1),
        "{}".to_owned(),
        with("version", 2.into()),
        with("entry", 1.into()),
        with("entry", "".into()),
        with("entry", "=".into()),
        with("entry", "AAAA".into()),
        with("earlier", 1.into()),
        with("earlier", vec![1].into()),
        with("earlier", nine.into()),
    ];
    for text in texts {
        let error = judge(&Ok(&text), None, NOW.0).unwrap_err();
        assert_eq!(error.code(), "name_bad_directory", "{text}");
        assert!(error.hint().is_some());
    }
    judge(&Ok(&with("further", 1.into())), None, NOW.0).unwrap();
}

#[test]
fn entries_mean_what_the_vectors_say() {
    let vectors = include_str!("../../../../docs/protocol/vectors/names.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let rows = vectors["entries"].as_array().unwrap();
    assert!(rows.len() >= 10);
    for row in rows {
        let text = |member: &str| row[member].as_str().unwrap();
        let directory: NetId = text("directory").parse().unwrap();
        let now = UnixTime(row["now"].as_u64().unwrap());
        let read = DirectoryAnswer::from_json(text("answer").as_bytes(), &directory);
        let read = read.map_err(|error| error.to_string()).and_then(|answer| {
            answer.entry.verify(text("name"), now).map_err(|error| error.to_string())?;
            Ok(answer.entry.document().netid().to_string())
        });
        match row["netid"].as_str() {
            Some(netid) => assert_eq!(read.as_deref(), Ok(netid), "{row}"),
            None => {
                let (error, why) = (read.unwrap_err(), text("why"));
                assert!(!why.is_empty() && error.contains(why), "{row}: {error}");
            }
        }
    }
}
