//! Names of directories: asked of the one that is configured, by a web server on loopback and by
//! one made up, and of nobody else.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use data_encoding::BASE64;
use netcom_identity::{DirectoryName, DirectorySuffixes, DomainName, DottedName, NetId, UnixTime};
use tempfile::TempDir;

use super::{
    Directories, Directory, DirectoryError, DirectoryFault, NameError, Names, Web, WebError,
    directory_tests::{NAME, NOW, document, entry, key, numbered, page},
    https_tests::server,
    tests::Nobody,
};
use crate::Task;

/// A directory that says what it is told to, and is asked for one name alone.
struct Told {
    says: Mutex<Result<Vec<u8>, WebError>>,
    asked: AtomicUsize,
}

impl Told {
    fn new(says: Result<String, WebError>) -> Arc<Self> {
        let says = Mutex::new(says.map(String::into_bytes));
        Arc::new(Self { says, asked: AtomicUsize::new(0) })
    }

    fn say(&self, says: Result<String, WebError>) {
        *self.says.lock().unwrap() = says.map(String::into_bytes);
    }
}

impl Web for Told {
    fn get<'a>(&'a self, host: &'a str, path: &'a str) -> Task<'a, Result<Vec<u8>, WebError>> {
        assert_eq!((host, path), ("192.0.2.1:8443", "/names/v1/names/alice.netcom"));
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { self.says.lock().unwrap().clone() })
    }
}

fn netid(seed: u8) -> NetId {
    key(seed).net_id()
}

/// Asks `told` for names under `netcom`, and fails the test if anybody else is asked.
fn names(told: &Arc<Told>) -> Names {
    let directory = Directory::new("netcom", "https://192.0.2.1:8443/names/", netid(8)).unwrap();
    let directory = directory.asked_through(Arc::clone(told) as Arc<dyn Web>);
    let directories = Directories::default().with(directory).unwrap();
    Names::new(Arc::new(Nobody), Arc::new(Nobody)).directories(directories)
}

fn name() -> DottedName {
    DottedName::parse(NAME, &DirectorySuffixes::default()).unwrap()
}

async fn ask(names: &Names) -> Result<NetId, NameError> {
    names.resolve(&name(), NOW).await.map(|resolved| resolved.netid)
}

fn silent() -> Result<String, WebError> {
    Err(WebError::Absent { reason: "connection refused".to_owned() })
}

#[tokio::test]
async fn a_name_under_a_suffix_is_asked_of_its_directory_and_of_nobody_else() {
    let told = Told::new(Ok(page(1, 1)));
    assert_eq!(ask(&names(&told)).await.unwrap(), netid(1));
    assert_eq!(told.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_suffix_without_a_directory_is_refused_and_nothing_is_sent() {
    let nobody = Names::new(Arc::new(Nobody), Arc::new(Nobody));
    let error = ask(&nobody).await.unwrap_err();
    assert!(matches!(&error, NameError::NoDirectoryFor { suffix, .. } if suffix == "netcom"));
    assert!(error.hint().unwrap().contains("[naming.directories] netcom = { url"), "{error}");
    assert_eq!(error.code(), "name_no_directory");
}

#[tokio::test]
async fn a_configured_suffix_is_never_a_domain_whoever_read_the_name() {
    let suffixes = DirectorySuffixes::default();
    for (suffix, name) in [("example.org", "alice.example.org"), ("org", "example.org")] {
        let directory = Directory::new(suffix, "https://192.0.2.1:8443/names", netid(8)).unwrap();
        let told = Arc::new(Refusing);
        let directories = Directories::default().with(directory.asked_through(told)).unwrap();
        let names = Names::new(Arc::new(Nobody), Arc::new(Nobody)).directories(directories);
        let domain = DomainName::parse(name, &suffixes).unwrap();
        let error = names.resolve(&domain.into(), NOW).await.unwrap_err();
        assert!(matches!(error, NameError::NotInDirectory { .. }), "{error}");
        if let Ok(alone) = DomainName::parse(suffix, &suffixes) {
            let error = names.resolve(&alone.into(), NOW).await.unwrap_err();
            assert!(matches!(error, NameError::SuffixAlone { .. }), "{error}");
        }
        // Under a suffix that only whoever read the name knows, there is nobody to ask.
        let foreign = DirectorySuffixes::default().with("corp").unwrap();
        let foreign = DirectoryName::parse("bob.corp", &foreign).unwrap().unwrap();
        let error = names.resolve(&foreign.into(), NOW).await.unwrap_err();
        assert!(matches!(error, NameError::NoDirectoryFor { .. }), "{error}");
    }
}

/// Knows nobody.
struct Refusing;

impl Web for Refusing {
    fn get<'a>(&'a self, _: &'a str, _: &'a str) -> Task<'a, Result<Vec<u8>, WebError>> {
        Box::pin(async { Err(WebError::Missing) })
    }
}

#[tokio::test]
async fn what_a_directory_said_is_remembered_and_another_key_needs_its_consent_or_the_users() {
    let data = TempDir::new().unwrap();
    let told = Told::new(Ok(page(1, 5)));
    let names = names(&told).remembering(data.path());
    assert_eq!(ask(&names).await.unwrap(), netid(1));
    told.say(Ok(page(2, 6)));
    let error = ask(&names).await.unwrap_err();
    assert!(matches!(error, NameError::Changed { known, found, .. }
        if known == netid(1) && found == netid(2)));
    assert!(error.hint().unwrap().starts_with("netcom names trust alice.netcom n1"));
    names.trust(&name(), netid(2)).unwrap();
    assert_eq!(ask(&names).await.unwrap(), netid(2));
    // Older answers of the same directory stay refused, whichever key they name.
    told.say(Ok(page(2, 5)));
    let error = ask(&names).await.unwrap_err();
    assert!(matches!(error, NameError::Replayed { sequence: 5, seen: 6, .. }), "{error}");
}

#[tokio::test]
async fn who_looks_for_a_name_at_the_same_time_as_others_finds_the_same_and_the_newest_stays() {
    let data = TempDir::new().unwrap();
    let (older, newer) = (Told::new(Ok(page(1, 5))), Told::new(Ok(page(1, 6))));
    let [older, newer] = [older, newer].map(|told| names(&told).remembering(data.path()));
    for _ in 0..50 {
        let both = tokio::join!(ask(&older), ask(&newer));
        assert_eq!(both.1.unwrap(), netid(1));
        match both.0 {
            Ok(found) => assert_eq!(found, netid(1)),
            // It began after the other one ended.
            Err(error) => assert!(matches!(error, NameError::Replayed { .. }), "{error}"),
        }
    }
    let error = ask(&older).await.unwrap_err();
    assert!(matches!(error, NameError::Replayed { sequence: 5, seen: 6, .. }), "{error}");
}

/// Says something, after somebody else looked for the name.
struct Overtaken {
    by: Names,
    says: String,
}

impl Web for Overtaken {
    fn get<'a>(&'a self, _: &'a str, _: &'a str) -> Task<'a, Result<Vec<u8>, WebError>> {
        Box::pin(async {
            ask(&self.by).await.unwrap();
            Ok(self.says.clone().into_bytes())
        })
    }
}

#[tokio::test]
async fn neither_number_goes_back_where_two_who_look_at_once_see_one_newer_each() {
    let data = TempDir::new().unwrap();
    let told = Told::new(Ok(numbered(5, 10)));
    let other = names(&told).remembering(data.path());
    let web = Arc::new(Overtaken { by: other.clone(), says: numbered(6, 9) });
    let directory = Directory::new("netcom", "https://192.0.2.1:8443/names/", netid(8)).unwrap();
    let directories = Directories::default().with(directory.asked_through(web)).unwrap();
    let overtaken = Names::new(Arc::new(Nobody), Arc::new(Nobody)).directories(directories);
    assert_eq!(ask(&overtaken.remembering(data.path())).await.unwrap(), netid(1));

    for (entry, document, seen) in [(5, 10, 6), (6, 9, 10)] {
        told.say(Ok(numbered(entry, document)));
        let error = ask(&other).await.unwrap_err();
        assert!(matches!(error, NameError::Replayed { seen: last, .. } if last == seen), "{error}");
    }
    told.say(Ok(numbered(6, 10)));
    ask(&other).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_silent_is_stood_in_for_by_its_last_answer_until_that_ends() {
    let data = TempDir::new().unwrap();
    let told = Told::new(silent());
    let names = names(&told).remembering(data.path());
    let error = ask(&names).await.unwrap_err();
    assert!(matches!(&error, NameError::DirectorySilent { reason, .. } if reason.contains("ref")));
    assert!(error.is_retryable());
    told.say(Ok(page(1, 1)));
    ask(&names).await.unwrap();
    told.say(silent());
    assert_eq!(ask(&names).await.unwrap(), netid(1));
    let end = entry(1, 1).expires();
    let last = names.resolve(&name(), UnixTime(end.0 - 1)).await.unwrap();
    assert_eq!((last.netid, last.ground), (netid(1), "it was so before, and nobody answers now"));
    let over = names.resolve(&name(), end).await;
    assert!(matches!(over, Err(NameError::DirectorySilent { .. })), "{over:?}");
    // Whatever else the directory says counts.
    told.say(Err(WebError::Missing));
    assert!(matches!(ask(&names).await, Err(NameError::NotInDirectory { .. })));
}

#[tokio::test]
async fn a_pin_from_before_there_was_a_directory_still_counts() {
    let data = TempDir::new().unwrap();
    std::fs::create_dir(data.path().join("pins")).unwrap();
    let path = data.path().join("pins").join(NAME);
    let before = [format!("{}\n", netid(1)).into_bytes(), document(1, 3).encode()].concat();
    std::fs::write(&path, before).unwrap();
    let told = Told::new(Ok(page(2, 1)));
    let names = names(&told).remembering(data.path());
    assert!(matches!(ask(&names).await, Err(NameError::Changed { .. })));
    std::fs::write(&path, format!("{} {} 1\n", netid(1), netid(8))).unwrap();
    assert!(matches!(ask(&names).await, Err(NameError::Pin(_))));
}

#[tokio::test]
async fn nodes_that_stay_on_their_host_ask_directories_there_alone() {
    for (url, stays) in [
        ("https://127.0.0.1:1", true),
        ("https://127.9.9.9:1", true),
        ("https://[::1]:1", true),
        ("https://LocalHost:1", true),
        ("https://192.0.2.1:1", false),
        ("https://localhost.example.org:1", false),
        ("https://10.0.0.1:1", false),
    ] {
        let directory = Directory::new("netcom", url, netid(8)).unwrap();
        let directory = directory.asked_through(Arc::new(Refusing));
        let directories = Directories::default().with(directory).unwrap();
        let names = Names::offline().directories(directories);
        match ask(&names).await.unwrap_err() {
            NameError::NotInDirectory { .. } => assert!(stays, "{url}"),
            NameError::Offline { .. } => assert!(!stays, "{url}"),
            error => panic!("{url}: {error}"),
        }
    }
}

#[test]
fn directories_that_cannot_be_are_refused_by_name() {
    let new = |suffix: &str, url: &str| Directory::new(suffix, url, netid(8));
    for url in [
        "",
        "example.org",
        "http://example.org",
        "https://",
        "https://a b/",
        "https://alice@example.org",
        "https://example.org/?a",
        "https://example.org/#a",
        "https://ex_ample!.org",
        &format!("https://example.org/{}", "a".repeat(2048)),
    ] {
        assert!(matches!(new("netcom", url), Err(DirectoryError::Url { .. })), "{url}");
    }
    for suffix in ["", ".", "a b", "a..b", "1.2.3.4"] {
        let refused = new(suffix, "https://example.org");
        assert!(matches!(refused, Err(DirectoryError::Suffix { .. })), "{suffix}");
    }
    let directory = new(".NetCom.", "https://Example.org:1/a/").unwrap();
    assert_eq!((directory.suffix(), directory.url()), ("netcom", "https://Example.org:1/a"));
    assert_eq!(directory.path(NAME), "/a/v1/names/alice.netcom");
    for pem in [&b""[..], b"certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        let refused = directory.clone().authority(pem);
        assert!(matches!(refused, Err(DirectoryError::Authority { .. })));
    }
    let one = Directories::default().with(directory.clone()).unwrap();
    assert!(matches!(one.clone().with(directory), Err(DirectoryError::Twice { .. })));
    // A directory is not found by asking the DNS for a name that never reaches it.
    for (suffix, url) in [("corp", "https://a.netcom"), ("corp", "https://corp:1")] {
        let refused = one.clone().with(new(suffix, url).unwrap());
        assert!(matches!(refused, Err(DirectoryError::Host { .. })), "{url}");
    }
    let later = one.with(new("org", "https://192.0.2.1").unwrap());
    assert!(matches!(later, Err(DirectoryError::Host { host, .. }) if host.contains("Example")));
}

/// Asks a real web server on loopback.
async fn ask_server(answer: &str, is_vouched_for: bool) -> Result<NetId, NameError> {
    let path = "/names/v1/names/alice.netcom";
    let (address, certificate) = server("127.0.0.1", path, answer.as_bytes().to_vec()).await;
    let directory = Directory::new("netcom", &format!("https://{address}/names"), netid(8));
    let mut directory = directory.unwrap();
    if is_vouched_for {
        let text = BASE64.encode(&certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        directory = directory.authority(pem.as_bytes()).unwrap();
    }
    let directories = Directories::default().with(directory).unwrap();
    ask(&Names::offline().directories(directories)).await
}

pub(super) fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_directory_on_loopback_is_believed_if_its_own_authority_vouches_for_it() {
    let answer = http("200 OK", &page(1, 1));
    assert_eq!(ask_server(&answer, true).await.unwrap(), netid(1));
    let error = ask_server(&answer, false).await.unwrap_err();
    let fault = match &error {
        NameError::BadDirectory { fault, .. } => fault,
        error => panic!("{error}"),
    };
    assert!(matches!(**fault, DirectoryFault::Certificate { .. }), "{error}");
    assert!(error.hint().unwrap().contains("ca = "), "{error}");
}

#[tokio::test]
async fn a_directorys_answers_that_are_none_are_refused_with_what_they_are() {
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let error = ask_server(&http(status, ""), true).await.unwrap_err();
        assert!(matches!(&error, NameError::BadDirectory { .. }), "{error}");
        assert!(error.to_string().contains("redirect"), "{error}");
    }
    let error = ask_server(&http("404 Not Found", ""), true).await.unwrap_err();
    assert!(matches!(error, NameError::NotInDirectory { .. }), "{error}");
    for status in ["204 None", "403 Forbidden", "410 Gone", "500 Broken", "503 Busy"] {
        let error = ask_server(&http(status, ""), true).await.unwrap_err();
        assert!(matches!(&error, NameError::DirectorySilent { .. }), "{error}");
        assert!(error.to_string().contains(&status[..3]), "{error}");
    }
    let long = http("200 OK", &" ".repeat(16 * 1024 + 1));
    let endless = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned() + &"x".repeat(1 << 20);
    for answer in [long, endless] {
        let error = ask_server(&answer, true).await.unwrap_err();
        assert!(error.to_string().contains("breaks off"), "{error}");
    }
    let error = ask_server(&http("200 OK", "<html>"), true).await.unwrap_err();
    assert_eq!(error.code(), "name_bad_directory");
}
