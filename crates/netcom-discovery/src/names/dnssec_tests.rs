//! DNS servers on loopback, with a root of their own.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use async_trait::async_trait;
use hickory_resolver::{
    config::{NameServerConfig, ProtocolConfig, ResolverConfig},
    net::runtime::{Time, TokioRuntimeProvider},
    proto::{
        dnssec::{
            DigestType, DnssecSigner, SigningKey as _, TrustAnchors,
            crypto::Ed25519SigningKey,
            rdata::{DNSKEY, DNSSECRData, DS},
        },
        rr::{
            Name, RData, Record, RecordType,
            rdata::{CNAME, NS, SOA, TXT},
        },
    },
};
use hickory_server::{
    Server,
    dnssec::NxProofKind,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

use super::{Dns as _, Dnssec, Txt};

/// Where a server is on loopback.
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) udp: u16,
    pub(super) tcp: u16,
}

type Zone = InMemoryZoneHandler<TokioRuntimeProvider>;

/// Answers for zones below the root, and for the root where that is asked, as for their DS records.
struct Router {
    root: Catalog,
    below: Catalog,
}

#[async_trait]
impl RequestHandler for Router {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        let query = request.request_info().unwrap().query;
        let is_below = self.below.find(query.name()).is_some();
        let zone =
            if is_below && query.query_type() != RecordType::DS { &self.below } else { &self.root };
        zone.handle_request::<R, T>(request, response).await
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn key() -> Ed25519SigningKey {
    Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap()
}

fn zone(origin: &str) -> Zone {
    let mut zone =
        Zone::empty(name(origin), ZoneType::Primary, AxfrPolicy::Deny, Some(NxProofKind::Nsec));
    let server = name("ns.test.");
    let soa = SOA::new(server.clone(), server.clone(), 1, 60, 60, 60, 60);
    put(&mut zone, origin, RData::SOA(soa));
    put(&mut zone, origin, RData::NS(NS(server)));
    zone
}

fn put(zone: &mut Zone, at: &str, data: RData) {
    assert!(zone.upsert_mut(Record::from_rdata(name(at), 60, data), 1));
}

fn texts(zone: &mut Zone, at: &str, strings: &[&str]) {
    put(zone, at, RData::TXT(TXT::new(strings.iter().map(|text| (*text).to_owned()).collect())));
}

/// A signed root that holds `net` and whatever TXT records are given, does not sign `org`, and says
/// that `com` is signed, which it is not. Gives where it is, and whom to trust.
pub(super) async fn world(records: &[(&str, &[String])]) -> (Ports, TrustAnchors) {
    let key = key();
    let public = key.to_public_key().unwrap();
    let mut anchors = TrustAnchors::empty();
    anchors.insert(&public);
    let mut root = zone(".");
    texts(&mut root, "_netid.example.net.", &["netid1 ", "document"]);
    // What is missing beside it is proven to be by one record.
    texts(&mut root, "missing.net.", &["something else"]);
    for (at, strings) in records {
        put(&mut root, at, RData::TXT(TXT::new(strings.to_vec())));
    }
    put(&mut root, "org.", RData::NS(NS(name("ns.test."))));
    put(&mut root, "com.", RData::NS(NS(name("ns.test."))));
    let other = self::key().to_public_key().unwrap();
    let ds = DS::from_key(&other, &name("com."), DigestType::SHA256).unwrap();
    put(&mut root, "com.", RData::DNSSEC(DNSSECRData::DS(ds)));
    let day = Duration::from_secs(86_400);
    let signer = DnssecSigner::new(DNSKEY::from_key(&public), Box::new(key), Name::root(), day);
    root.add_zone_signing_key_mut(signer).unwrap();
    root.secure_zone_mut().unwrap();
    let mut router = Router { root: Catalog::new(), below: Catalog::new() };
    router.root.upsert(Name::root().into(), vec![Arc::new(root)]);
    for origin in ["org.", "com."] {
        let mut zone = zone(origin);
        texts(&mut zone, &format!("_netid.example.{origin}"), &["netid1 document"]);
        let proven = RData::CNAME(CNAME(name("_netid.example.net.")));
        put(&mut zone, &format!("_netid.alias.{origin}"), proven);
        router.below.upsert(name(origin).into(), vec![Arc::new(zone)]);
    }
    let mut server = Server::new(router);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = Ports {
        udp: socket.local_addr().unwrap().port(),
        tcp: listener.local_addr().unwrap().port(),
    };
    server.register_socket(socket);
    server.register_listener(listener, Duration::from_secs(5), 4096);
    // It serves until the test's runtime ends.
    tokio::spawn(async move { server.block_until_done().await });
    (ports, anchors)
}

pub(super) fn asking(server: Ports, anchors: TrustAnchors) -> Dnssec {
    let mut config = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
    for connection in &mut config.connections {
        let is_udp = matches!(connection.protocol, ProtocolConfig::Udp);
        connection.port = if is_udp { server.udp } else { server.tcp };
    }
    Dnssec::with(ResolverConfig::from_parts(None, Vec::new(), vec![config]), anchors).unwrap()
}

#[tokio::test]
async fn dnssec_tells_what_is_proven_from_what_is_not_and_what_is_forged() {
    let (server, anchors) = world(&[]).await;
    let dns = asking(server, anchors);
    let proven = dns.txt("_netid.example.net").await;
    assert_eq!(proven, Txt::Secure(vec!["netid1 document".to_owned()]));
    let unproven = dns.txt("_netid.example.org").await;
    assert_eq!(unproven, Txt::Insecure(vec!["netid1 document".to_owned()]));
    let forged = dns.txt("_netid.example.com").await;
    assert!(matches!(forged, Txt::Bogus { .. }), "{forged:?}");
    let alias = dns.txt("_netid.alias.org").await;
    assert!(
        !matches!(alias, Txt::Secure(_)),
        "somebody else's record is not the name's: {alias:?}"
    );
    let missing = dns.txt("_netid.missing.net").await;
    assert!(matches!(missing, Txt::Absent { .. }), "{missing:?}");
}

#[tokio::test]
async fn where_the_root_itself_proves_nothing_nothing_is_forged() {
    let (server, _) = world(&[]).await;
    let mut strangers = TrustAnchors::empty();
    strangers.insert(&key().to_public_key().unwrap());
    let dns = asking(server, strangers);
    for domain in ["net", "org", "com"] {
        let answer = dns.txt(&format!("_netid.example.{domain}")).await;
        assert!(matches!(answer, Txt::Insecure(_) | Txt::Absent { .. }), "{domain}: {answer:?}");
    }
}

#[tokio::test]
async fn without_a_server_there_is_no_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // It is there and says nothing.
    let port = socket.local_addr().unwrap().port();
    let dns = asking(Ports { udp: port, tcp: port }, TrustAnchors::default());
    let answer = dns.txt("_netid.example.net").await;
    assert!(matches!(answer, Txt::Absent { .. }), "{answer:?}");
}
