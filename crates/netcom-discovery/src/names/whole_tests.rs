//! Domains as a node finds them: by a web server over TLS and a signed DNS zone, both on loopback,
//! with documents that are really signed.

use std::sync::Arc;

use hickory_resolver::proto::dnssec::TrustAnchors;
use netcom_identity::{DomainName, DottedName, EntityDescription, EntityDocument, NetId, UnixTime};
use tokio::net::TcpSocket;

use super::{
    Answer, Dns, Dnssec, Https, NameError, Names, Resolved, Txt,
    directories_tests::http,
    directory_tests::{NOW, key},
    dnssec_tests::{Ports, asking, world},
    https_tests::believed,
};

const DOMAIN: &str = "alice.net";
const END: UnixTime = UnixTime(2000);

fn netid(seed: u8) -> NetId {
    key(seed).net_id()
}

/// What the entity of a key says of itself.
fn said(seed: u8, change: impl FnOnce(&mut EntityDescription)) -> Answer {
    let mut description = EntityDescription::new(1, END);
    description.names.push(DOMAIN.to_owned());
    change(&mut description);
    let document = EntityDocument::sign(&key(seed), description).unwrap();
    Answer { document, earlier: Vec::new() }
}

fn short(seed: u8) -> Answer {
    said(seed, |_| {})
}

/// Several KiB, of an entity with many names and nodes.
fn long(seed: u8) -> Answer {
    let label = "n".repeat(60);
    said(seed, |description| {
        for index in 0..15 {
            description.names.push(format!("n{index}.{label}.{label}.{label}.net"));
            let hint = format!("/ip4/1.1.1.1/tcp/{}/p2p/{}", 4001 + index, key(9).peer_id());
            description.hints.push(hint.parse().unwrap());
        }
    })
}

/// A web server that gives `page`, or knows of none.
async fn web(domain: &str, page: Option<&Answer>) -> Https {
    let answer = match page {
        Some(page) => http("200 OK", &page.to_json()),
        None => http("404 Not Found", ""),
    };
    believed(domain, answer.into_bytes()).await.0
}

/// A signed zone of the domain, with `record` or without any.
async fn zone(record: Option<&Answer>) -> (Ports, TrustAnchors) {
    let strings = record.map(Answer::to_txt);
    let other = ["v=spf1 -all".to_owned()];
    let mut records = vec![("alice.net.", &other[..])];
    records.extend(strings.as_deref().map(|strings| ("_netid.alice.net.", strings)));
    world(&records).await
}

async fn dns(record: Option<&Answer>) -> Dnssec {
    let (server, anchors) = zone(record).await;
    asking(server, anchors)
}

/// Asks a web server and a zone that say this.
async fn names(page: Option<&Answer>, record: Option<&Answer>) -> Names {
    Names::new(Arc::new(web(DOMAIN, page).await), Arc::new(dns(record).await))
}

async fn ask(names: &Names, now: UnixTime) -> Result<Resolved, NameError> {
    names.resolve(&domain(DOMAIN), now).await
}

fn domain(text: &str) -> DottedName {
    text.parse::<DomainName>().unwrap().into()
}

#[tokio::test]
async fn what_the_web_server_and_the_signed_zone_both_say_is_the_key_and_its_hints() {
    let answer = long(1);
    assert!(answer.is_short() && answer.to_json().len() > 4096, "{}", answer.to_json().len());
    let resolved = ask(&names(Some(&answer), Some(&answer)).await, NOW).await.unwrap();
    assert_eq!(resolved.netid, netid(1));
    assert_eq!(resolved.ground, "its web server and DNSSEC say so");
    assert_eq!(resolved.hints, answer.document.description().hints);
}

#[tokio::test]
async fn either_of_them_alone_is_enough_and_without_both_there_is_nobody() {
    let answer = long(1);
    for (page, record, ground) in
        [(Some(&answer), None, "its web server says so"), (None, Some(&answer), "DNSSEC says so")]
    {
        let resolved = ask(&names(page, record).await, NOW).await.unwrap();
        assert_eq!((resolved.netid, resolved.ground), (netid(1), ground));
    }
    let error = ask(&names(None, None).await, NOW).await.unwrap_err();
    assert!(matches!(error, NameError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn a_web_server_and_a_signed_zone_that_differ_lead_to_nobody() {
    match ask(&names(Some(&long(1)), Some(&long(2))).await, NOW).await.unwrap_err() {
        NameError::Different { web, dns, .. } => assert_eq!((web, dns), (netid(1), netid(2))),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_document_counts_until_it_ends_whoever_gives_it() {
    let answer = short(1);
    for (page, record) in
        [(Some(&answer), Some(&answer)), (Some(&answer), None), (None, Some(&answer))]
    {
        let names = names(page, record).await;
        let last = ask(&names, UnixTime(END.0 - 1)).await.unwrap();
        assert_eq!(last.netid, netid(1));
        let error = ask(&names, END).await.unwrap_err();
        match (&error, record) {
            (NameError::Bogus { .. }, Some(_)) | (NameError::BadAnswer { .. }, None) => {}
            _ => panic!("{error}"),
        }
        assert!(error.to_string().contains("expired"), "{error}");
    }
}

#[tokio::test]
async fn an_expired_page_does_not_hide_a_valid_record_and_an_expired_record_refuses_the_domain() {
    let (valid, expired) = (short(1), said(1, |description| description.expires = NOW));
    let by_dns = ask(&names(Some(&expired), Some(&valid)).await, NOW).await.unwrap();
    assert_eq!((by_dns.netid, by_dns.ground), (netid(1), "DNSSEC says so"));
    let error = ask(&names(Some(&valid), Some(&expired)).await, NOW).await.unwrap_err();
    assert!(matches!(error, NameError::Bogus { .. }), "{error}");
}

#[tokio::test]
async fn a_key_that_has_another_primary_name_is_not_the_domains() {
    let other = said(1, |description| description.names.insert(0, "bob.net".to_owned()));
    for (page, record) in [(Some(&other), Some(&other)), (Some(&other), None), (None, Some(&other))]
    {
        match ask(&names(page, record).await, NOW).await.unwrap_err() {
            NameError::NotNamed { netid: key, .. } => assert_eq!(key, netid(1)),
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn beside_a_web_server_an_unsigned_zone_counts_for_nothing_and_a_forged_one_refuses() {
    let (server, anchors) = world(&[]).await;
    let dns = Arc::new(asking(server, anchors));
    for (name, is_forged) in [("example.org", false), ("example.com", true)] {
        let answer = said(1, |description| description.names = vec![name.to_owned()]);
        let web = Arc::new(web(name, Some(&answer)).await);
        let names = Names::new(web, Arc::clone(&dns) as Arc<dyn Dns>);
        match names.resolve(&domain(name), NOW).await {
            Ok(resolved) => {
                assert!(!is_forged, "{name}");
                assert_eq!(resolved.ground, "its web server says so");
            }
            Err(error) => assert!(is_forged && matches!(error, NameError::Bogus { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_record_that_fits_no_datagram_is_asked_for_by_tcp() {
    // Nobody else gets the port, and nobody listens at it.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = held.local_addr().unwrap().port();
    for (answer, fits) in [(short(1), true), (long(1), false)] {
        let strings = answer.to_txt();
        assert!(fits || strings.len() > 10, "{} strings", strings.len());
        let whole = Txt::Secure(vec![strings.concat()]);
        let (server, anchors) = zone(Some(&answer)).await;
        let by_datagrams = asking(Ports { tcp: closed, ..server }, anchors.clone());
        match by_datagrams.txt("_netid.alice.net").await {
            Txt::Absent { reason } => assert!(!fits, "{reason}"),
            found => assert!(fits && found == whole, "{found:?}"),
        }
        assert_eq!(asking(server, anchors).txt("_netid.alice.net").await, whole);
    }
}
