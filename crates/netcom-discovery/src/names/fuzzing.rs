//! What the fuzz target of answers runs: pages of web servers, TXT records, entries of directories.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use netcom_identity::{
    DirectoryEntry, EntityDescription, EntityDocument, NetId, SecretKey, UnixTime,
    fuzzing::{DIRECTORY, resigned_entry},
};
use serde_json::Value;

use super::{
    answer::{Answer, MAX_ANSWER_BYTES, MAX_EARLIER, is_meant},
    directory::{DirectoryAnswer, Question, Verdict},
};

/// Reads `input` as what a web server, the DNS and a directory may say, and tells whether one of
/// them would be understood.
///
/// # Panics
///
/// When writing and reading it changes it, or when something is believed that must not be.
#[must_use]
pub fn answer(input: &[u8]) -> bool {
    let page = match Answer::from_json(input, NOW) {
        Ok(answer) => {
            check(&answer);
            true
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    };
    let record = str::from_utf8(input).is_ok_and(|text| match Answer::from_txt(text, NOW) {
        Ok(answer) => {
            assert!(is_meant(text));
            check(&answer);
            true
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    });
    // As it is, and as the directory would have signed it.
    let signed = resigned(input);
    let entry = [Some(input), signed.as_deref()].into_iter().flatten().any(directory);
    page || record || entry
}

/// First inputs.
pub(crate) fn seeds() -> impl Iterator<Item = Vec<u8>> {
    let key = |seed| SecretKey::from_bytes(&[seed; 32]);
    let document = |seed, successor: Option<NetId>| {
        let mut description = EntityDescription::new(7, UnixTime(NOW.0 + 1000));
        description.names = vec!["example.org".to_owned(), NAME.to_owned()];
        description.successor = successor;
        EntityDocument::sign(&key(seed), description).expect("within its bounds")
    };
    let mut inputs = Vec::new();
    for earlier in [vec![], vec![document(2, Some(key(1).net_id()))]] {
        let answer = Answer { document: document(1, None), earlier: earlier.clone() };
        inputs.push(answer.to_json().into_bytes());
        inputs.push(answer.to_txt().concat().into_bytes());
        let (issued, expires) = (NOW, UnixTime(NOW.0 + 500));
        let signer = key(DIRECTORY);
        let entry = DirectoryEntry::sign(&signer, NAME, answer.document, 7, issued, expires);
        let entry = entry.expect("within its bounds");
        inputs.push(DirectoryAnswer { entry, earlier }.to_json().into_bytes());
    }
    inputs.into_iter()
}

fn check(answer: &Answer) {
    assert!(answer.earlier.len() <= MAX_EARLIER);
    answer.document.verify(NOW).expect("it is valid now");
    let json = answer.to_json();
    // Pretty or short, what was in 16 KiB may be longer when written anew, by quotes alone.
    if json.len() <= MAX_ANSWER_BYTES {
        assert_eq!(Answer::from_json(json.as_bytes(), NOW).as_ref(), Ok(answer));
    }
    let text = answer.to_txt();
    assert!(text.iter().all(|string| string.len() <= 255));
    let text = text.concat();
    if text.len() <= MAX_ANSWER_BYTES {
        assert_eq!(Answer::from_txt(&text, NOW).as_ref(), Ok(answer));
    }
}

/// A directory's answer is believed for its own name, directory and time alone.
fn directory(text: &[u8]) -> bool {
    let question = |name, now| Question { name, key: &DIRECTORY_KEY, url: "https://a", now };
    let Ok(answer) = DirectoryAnswer::from_json(text, &DIRECTORY_KEY) else {
        let verdict = question(NAME, NOW).judge(Ok(text), None);
        drop(verdict.map_err(|error| (error.to_string(), error.hint())).expect_err("it is none"));
        return false;
    };
    assert!(DirectoryAnswer::from_json(text, &STRANGER).is_err(), "another directory signed it");
    assert_eq!(
        DirectoryEntry::decode(&answer.entry.encode(), &DIRECTORY_KEY).as_ref(),
        Ok(&answer.entry)
    );
    let json = answer.to_json();
    assert!(
        json.len() > MAX_ANSWER_BYTES
            || DirectoryAnswer::from_json(json.as_bytes(), &DIRECTORY_KEY).as_ref() == Ok(&answer)
    );
    let (name, expires) = (answer.entry.name(), answer.entry.expires());
    assert!(question(name, expires).judge(Ok(text), None).is_err(), "it is over");
    assert!(
        question("nobody.netcom", NOW).judge(Ok(text), None).is_err() || name == "nobody.netcom"
    );
    match question(name, NOW).judge(Ok(text), None) {
        Ok(Verdict::Entry(entry)) => assert!(entry.document().has_name(name)),
        Ok(Verdict::Before(_)) => panic!("nothing was remembered"),
        Err(error) => drop((error.to_string(), error.hint())),
    }
    true
}

/// The answer with its entry signed by the directory's key, if the rest is one.
fn resigned(input: &[u8]) -> Option<Vec<u8>> {
    let mut json: Value =
        serde_json::from_slice(input.get(..input.len().min(MAX_ANSWER_BYTES))?).ok()?;
    let entry = BASE64URL_NOPAD.decode(json.get("entry")?.as_str()?.as_bytes()).ok()?;
    json["entry"] = BASE64URL_NOPAD.encode(&resigned_entry(&entry)?).into();
    serde_json::to_vec(&json).ok()
}

const NAME: &str = "alice.netcom";
const NOW: UnixTime = UnixTime(1000);

static DIRECTORY_KEY: LazyLock<NetId> =
    LazyLock::new(|| SecretKey::from_bytes(&[DIRECTORY; 32]).net_id());
static STRANGER: LazyLock<NetId> = LazyLock::new(|| SecretKey::from_bytes(&[9; 32]).net_id());
