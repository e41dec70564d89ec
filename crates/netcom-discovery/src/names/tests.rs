use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use netcom_identity::{
    DomainName, DottedName, EntityDescription, EntityDocument, NetId, SecretKey, UnixTime,
};
use tempfile::TempDir;

use super::{Dns, NameError, Names, PinError, Txt, Web, WebError, answer::Answer};
use crate::{Task, private_file::PrivateFileError};

const NOW: UnixTime = UnixTime(1500);

/// What the world says about `example.org`.
#[derive(Clone)]
struct World {
    web: Result<Vec<u8>, WebError>,
    dns: Txt,
}

struct Fake {
    world: World,
    asked: AtomicUsize,
}

impl Web for Fake {
    fn get<'a>(&'a self, host: &'a str, path: &'a str) -> Task<'a, Result<Vec<u8>, WebError>> {
        assert_eq!((host, path), ("example.org", "/.well-known/netid.json"));
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { self.world.web.clone() })
    }
}

impl Dns for Fake {
    fn txt<'a>(&'a self, name: &'a str) -> Task<'a, Txt> {
        assert_eq!(name, "_netid.example.org");
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { self.world.dns.clone() })
    }
}

/// Asked for anything, it fails the test.
pub(super) struct Nobody;

impl Web for Nobody {
    fn get<'a>(&'a self, host: &'a str, _: &'a str) -> Task<'a, Result<Vec<u8>, WebError>> {
        panic!("{host} is asked")
    }
}

impl Dns for Nobody {
    fn txt<'a>(&'a self, name: &'a str) -> Task<'a, Txt> {
        panic!("{name} is asked")
    }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

fn netid(seed: u8) -> NetId {
    key(seed).net_id()
}

fn domain() -> DottedName {
    "example.org".parse::<DomainName>().unwrap().into()
}

fn document(
    seed: u8,
    sequence: u64,
    change: impl FnOnce(&mut EntityDescription),
) -> EntityDocument {
    let mut description = EntityDescription::new(sequence, UnixTime(2000));
    description.names.push("example.org".to_owned());
    change(&mut description);
    EntityDocument::sign(&key(seed), description).unwrap()
}

/// Names a successor, in a document that has expired since.
fn to(seed: u8) -> impl FnOnce(&mut EntityDescription) {
    move |description| {
        description.successor = Some(netid(seed));
        description.expires = UnixTime(1000);
    }
}

fn plain(seed: u8) -> EntityDocument {
    document(seed, 1, |_| {})
}

fn page(document: EntityDocument, earlier: Vec<EntityDocument>) -> Result<Vec<u8>, WebError> {
    Ok(Answer { document, earlier }.to_json().into_bytes())
}

fn text(document: EntityDocument) -> Vec<String> {
    vec!["v=spf1 -all".to_owned(), Answer { document, earlier: Vec::new() }.to_txt().concat()]
}

fn no_page() -> Result<Vec<u8>, WebError> {
    Err(WebError::Absent { reason: "404".to_owned() })
}

fn no_record() -> Txt {
    Txt::Absent { reason: "no such name".to_owned() }
}

fn names(web: Result<Vec<u8>, WebError>, dns: Txt) -> Names {
    let fake = Arc::new(Fake { world: World { web, dns }, asked: AtomicUsize::new(0) });
    Names::new(Arc::clone(&fake) as Arc<dyn Web>, fake)
}

async fn ask(names: &Names) -> Result<NetId, NameError> {
    names.resolve(&domain(), NOW).await.map(|resolved| resolved.netid)
}

#[tokio::test]
async fn a_name_that_the_user_set_is_asked_of_nobody() {
    let names = Names::new(Arc::new(Nobody), Arc::new(Nobody));
    let names = names.fixed([(domain(), netid(1))]);
    assert_eq!(ask(&names).await.unwrap(), netid(1));
}

#[tokio::test]
async fn either_authenticated_source_is_enough_and_both_are_asked() {
    let world = World { web: page(plain(1), Vec::new()), dns: no_record() };
    let fake = Arc::new(Fake { world, asked: AtomicUsize::new(0) });
    let by_web = Names::new(Arc::clone(&fake) as Arc<dyn Web>, Arc::clone(&fake) as Arc<dyn Dns>);
    assert_eq!(ask(&by_web).await.unwrap(), netid(1));
    assert_eq!(fake.asked.load(Ordering::Relaxed), 2);
    let by_dns = names(no_page(), Txt::Secure(text(plain(1))));
    assert_eq!(ask(&by_dns).await.unwrap(), netid(1));
}

#[tokio::test]
async fn a_newer_document_of_the_same_key_counts_whoever_gives_it() {
    let hint = format!("/ip4/1.1.1.1/tcp/1/p2p/{}", key(2).peer_id()).parse().unwrap();
    // Into somebody's own network no stranger's document leads.
    let near = format!("/ip4/192.168.0.1/tcp/1/p2p/{}", key(2).peer_id()).parse().unwrap();
    let hints = vec![hint, near];
    let newer = document(1, 2, |description| description.hints.clone_from(&hints));
    let names = names(page(plain(1), Vec::new()), Txt::Secure(text(newer)));
    let resolved = names.resolve(&domain(), NOW).await.unwrap();
    assert_eq!(resolved.hints, hints[..1]);
}

#[tokio::test]
async fn two_sources_that_differ_lead_to_nobody() {
    let names = names(page(plain(1), Vec::new()), Txt::Secure(text(plain(2))));
    let error = ask(&names).await.unwrap_err();
    assert!(
        matches!(error, NameError::Different { web, dns, .. } if web == netid(1) && dns == netid(2))
    );
}

#[tokio::test]
async fn what_dnssec_does_not_prove_leads_to_nobody_and_stops_nothing_else() {
    let alone = names(no_page(), Txt::Insecure(text(plain(1))));
    assert!(matches!(ask(&alone).await, Err(NameError::Unproven { .. })));
    let beside = names(page(plain(1), Vec::new()), Txt::Insecure(text(plain(2))));
    assert_eq!(ask(&beside).await.unwrap(), netid(1));
    let unrelated = names(no_page(), Txt::Insecure(vec!["v=spf1 -all".to_owned()]));
    assert!(matches!(ask(&unrelated).await, Err(NameError::Unknown { .. })));
}

#[tokio::test]
async fn a_forged_dns_answer_refuses_the_name_whatever_the_web_server_says() {
    let forged = Txt::Bogus { reason: "signature".to_owned() };
    let names = names(page(plain(1), Vec::new()), forged);
    assert!(matches!(ask(&names).await, Err(NameError::Bogus { .. })));
}

#[tokio::test]
async fn answers_that_are_none_are_refused_with_what_is_wrong() {
    let other_name = document(1, 1, |description| description.names = vec!["a.org".to_owned()]);
    let second = document(1, 1, |description| description.names.insert(0, "a.org".to_owned()));
    let expired = document(1, 1, |description| description.expires = NOW);
    let long_lived = document(1, 1, |description| description.expires = UnixTime(u64::MAX));
    for unnamed in [other_name, second] {
        let names = names(page(unnamed, Vec::new()), no_record());
        assert!(matches!(ask(&names).await, Err(NameError::NotNamed { .. })));
    }
    let pages = [
        page(expired, Vec::new()).unwrap(),
        page(long_lived, Vec::new()).unwrap(),
        b"<html>".to_vec(),
        b"{}".to_vec(),
        br#"{"version": 2, "document": ""}"#.to_vec(),
        br#"{"version": 1, "document": "="}"#.to_vec(),
        br#"{"version": 1, "document": ""}"#.to_vec(),
        vec![b' '; 16 * 1024 + 1],
        vec![b'['; 16 * 1024],
    ];
    for page in pages {
        let names = names(Ok(page.clone()), no_record());
        let error = ask(&names).await.unwrap_err();
        assert!(matches!(error, NameError::BadAnswer { .. }), "{error}: {page:?}");
    }
    for text in ["netid1", "netid1 =", "netid1 AAAA"] {
        let names = names(page(plain(1), Vec::new()), Txt::Secure(vec![text.to_owned()]));
        assert!(matches!(ask(&names).await, Err(NameError::Bogus { .. })), "{text}");
    }
    let twice = [text(plain(1)), text(plain(1))].concat();
    assert!(matches!(
        ask(&names(no_page(), Txt::Secure(twice))).await,
        Err(NameError::Bogus { .. })
    ));
}

#[tokio::test]
async fn the_first_answer_is_remembered_and_another_key_is_refused() {
    let data = TempDir::new().unwrap();
    let first = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    assert_eq!(ask(&first).await.unwrap(), netid(1));
    let second = names(page(plain(2), Vec::new()), no_record()).remembering(data.path());
    let error = ask(&second).await.unwrap_err();
    assert!(matches!(error, NameError::Changed { known, found, .. }
            if known == netid(1) && found == netid(2)));
    second.trust(&domain(), netid(2)).unwrap();
    assert_eq!(ask(&second).await.unwrap(), netid(2));
    assert!(matches!(ask(&first).await, Err(NameError::Changed { .. })));
}

#[tokio::test]
async fn a_key_that_the_old_one_named_its_successor_takes_its_place() {
    let data = TempDir::new().unwrap();
    let first = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    ask(&first).await.unwrap();
    // Two steps.
    let steps = vec![document(2, 1, to(3)), document(1, 2, to(2))];
    let missing = names(page(plain(3), steps[..1].to_vec()), no_record());
    let error = ask(&missing.remembering(data.path())).await.unwrap_err();
    assert!(matches!(error, NameError::Changed { .. }));
    let moved = names(page(plain(3), steps), no_record()).remembering(data.path());
    assert_eq!(ask(&moved).await.unwrap(), netid(3));
    assert!(matches!(ask(&first).await, Err(NameError::Changed { .. })), "there is no way back");
}

#[tokio::test]
async fn successors_that_go_in_a_circle_lead_nowhere() {
    let data = TempDir::new().unwrap();
    let first = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    ask(&first).await.unwrap();
    let circle = vec![document(1, 2, to(2)), document(2, 1, to(1))];
    let names = names(page(plain(3), circle), no_record()).remembering(data.path());
    assert!(matches!(ask(&names).await, Err(NameError::Changed { .. })));
}

#[tokio::test]
async fn the_sources_are_asked_once_a_minute_and_what_is_pinned_counts_at_once() {
    let data = TempDir::new().unwrap();
    let world = World { web: page(plain(1), Vec::new()), dns: no_record() };
    let fake = Arc::new(Fake { world, asked: AtomicUsize::new(0) });
    let names = Names::new(Arc::clone(&fake) as Arc<dyn Web>, Arc::clone(&fake) as Arc<dyn Dns>);
    let names = names.remembering(data.path());
    for (seconds, asked) in [(0, 2), (59, 2), (60, 4)] {
        let now = UnixTime(NOW.0 + seconds);
        let resolved = names.clone().resolve(&domain(), now).await.unwrap();
        assert_eq!((resolved.netid, fake.asked.load(Ordering::Relaxed)), (netid(1), asked));
    }
    names.trust(&domain(), netid(2)).unwrap();
    assert!(matches!(ask(&names).await, Err(NameError::Changed { .. })));
    assert!(names.forget(&domain()).unwrap() && !names.forget(&domain()).unwrap());
    assert_eq!(ask(&names).await.unwrap(), netid(1));

    let always = names.keeping(Duration::ZERO);
    let before = fake.asked.load(Ordering::Relaxed);
    for _ in 0..2 {
        always.resolve(&domain(), UnixTime(NOW.0 + 200)).await.unwrap();
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), before + 4);
}

#[tokio::test]
async fn an_older_document_than_the_last_is_a_repetition() {
    let data = TempDir::new().unwrap();
    let newer = document(1, 7, |_| {});
    let first = names(page(newer, Vec::new()), no_record()).remembering(data.path());
    ask(&first).await.unwrap();
    let older = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    let error = ask(&older).await.unwrap_err();
    assert!(matches!(error, NameError::Replayed { sequence: 1, seen: 7, .. }));
}

#[tokio::test]
async fn the_key_of_last_time_stands_in_only_where_nobody_answers() {
    let data = TempDir::new().unwrap();
    let first = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    ask(&first).await.unwrap();
    let silent = names(no_page(), no_record()).remembering(data.path());
    assert_eq!(ask(&silent).await.unwrap(), netid(1));
    let bad = Err(WebError::Bad { reason: "a redirect".to_owned() });
    let hidden = names(bad, no_record()).remembering(data.path());
    assert!(matches!(ask(&hidden).await, Err(NameError::BadAnswer { .. })));
    let later = silent.resolve(&domain(), UnixTime(2001)).await;
    assert!(matches!(later, Err(NameError::Unknown { .. })), "{later:?}");
}

#[tokio::test]
async fn a_pin_that_others_can_change_or_that_is_damaged_is_refused() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let data = TempDir::new().unwrap();
    let names = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    ask(&names).await.unwrap();
    let path = data.path().join("pins/example.org");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(ask(&names).await, Err(NameError::Pin(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for damaged in [&b"n1"[..], b"", format!("{}\nx", netid(1)).as_bytes()] {
        fs::write(&path, damaged).unwrap();
        assert!(matches!(ask(&names).await, Err(NameError::Pin(_))), "{damaged:?}");
    }
}

#[tokio::test]
async fn a_key_that_named_its_successor_speaks_for_nobody() {
    let replaced = document(1, 1, |description| description.successor = Some(netid(2)));
    let error = ask(&names(page(replaced, Vec::new()), no_record())).await.unwrap_err();
    assert!(matches!(error, NameError::Replaced { successor, .. } if successor == netid(2)));
}

#[tokio::test]
async fn the_way_to_a_successor_may_come_from_the_other_source() {
    let data = TempDir::new().unwrap();
    let first = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    ask(&first).await.unwrap();
    let newer = document(2, 2, |_| {});
    let web = page(plain(2), vec![document(1, 2, to(2))]);
    let moved = names(web, Txt::Secure(text(newer))).remembering(data.path());
    assert_eq!(ask(&moved).await.unwrap(), netid(2));
}

#[tokio::test]
async fn vouching_for_the_key_that_is_known_forgets_nothing_that_was_seen_of_it() {
    let data = TempDir::new().unwrap();
    let newer = document(1, 7, |_| {});
    let first = names(page(newer, Vec::new()), no_record()).remembering(data.path());
    ask(&first).await.unwrap();
    first.trust(&domain(), netid(1)).unwrap();
    let older = names(page(plain(1), Vec::new()), no_record()).remembering(data.path());
    assert!(matches!(ask(&older).await, Err(NameError::Replayed { .. })));
}

#[test]
fn the_longest_name_there_is_can_be_trusted_and_forgotten() {
    let data = TempDir::new().unwrap();
    let label = "n".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "n".repeat(61));
    assert_eq!(name.len(), 253);
    let name: DottedName = name.parse::<DomainName>().unwrap().into();
    let names = Names::new(Arc::new(Nobody), Arc::new(Nobody)).remembering(data.path());
    for seed in [1, 2] {
        names.trust(&name, netid(seed)).unwrap();
    }
    assert!(names.forget(&name).unwrap());
}

#[test]
fn pins_that_somebody_holds_are_worth_trying_again_and_damaged_ones_are_not() {
    let path = PathBuf::from("pins");
    let busy = PinError::from(PrivateFileError::Busy { path: path.clone() });
    assert!(NameError::from(busy).is_retryable());
    assert!(!NameError::from(PinError::Malformed { path }).is_retryable());
}
