//! A web server on loopback, and what of its answers is believed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Https, Web as _, WebError, https::public};
use crate::Task;

/// A server for `host` that answers a request for `path` with `answer`, and its certificate, for
/// which nobody else vouches.
pub(super) async fn server(
    host: &str,
    path: &str,
    answer: Vec<u8>,
) -> (SocketAddr, CertificateDer<'static>) {
    let key = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = key.cert.der().clone();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], secret)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let line = format!("GET {path} HTTP/1.1\r\n");
    let header = format!("host: {host}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.starts_with(&line) && request.contains(&header), "{request}");
            // A client that has enough hangs up.
            drop(stream.write_all(&answer).await);
            drop(stream.shutdown().await);
        }
    });
    (address, certificate)
}

/// The same for the path where domains have their answer, and who believes it.
pub(super) async fn believed(host: &str, answer: Vec<u8>) -> (Https, SocketAddr) {
    let (address, certificate) = server(host, PATH, answer).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (Https::fixed(roots, address), address)
}

async fn example(answer: Vec<u8>) -> (Https, SocketAddr) {
    believed("example.org", answer).await
}

async fn get(answer: impl Into<Vec<u8>>) -> Result<Vec<u8>, WebError> {
    let (https, _) = example(answer.into()).await;
    https.get("example.org", PATH).await
}

fn is_bad(answer: &Result<Vec<u8>, WebError>, word: &str) -> bool {
    matches!(answer, Err(WebError::Bad { reason }) if reason.contains(word))
}

fn is_absent(answer: &Result<Vec<u8>, WebError>) -> bool {
    matches!(answer, Err(WebError::Absent { .. }))
}

#[tokio::test]
async fn a_page_is_what_the_server_gives() {
    let page = get("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(page, Ok(b"{}".to_vec()));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(get(chunked).await, Ok(b"{}".to_vec()));
}

#[tokio::test]
async fn redirects_are_bad_and_missing_pages_absent() {
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: https://a.org/\r\ncontent-length: 0\r\n\r\n");
        let answer = get(answer).await;
        assert!(is_bad(&answer, "redirect"), "{answer:?}");
    }
    let missing = get("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(missing, Err(WebError::Missing));
    for status in ["410 Gone", "403 Forbidden", "503 Busy"] {
        let answer = get(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        assert!(is_absent(&answer), "{answer:?}");
    }
    assert!(is_absent(&get("").await));
    assert!(is_absent(&get("SSH-2.0-x\r\n\r\n").await));
}

#[tokio::test]
async fn long_cut_and_compressed_bodies_are_bad() {
    let claimed = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n".to_owned();
    let endless = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned() + &"x".repeat(1 << 20);
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}".to_owned();
    for answer in [claimed.clone() + &"x".repeat(1 << 20), claimed, endless, cut] {
        let answer = get(answer).await;
        assert!(is_bad(&answer, "breaks off"), "{answer:?}");
    }
    let gzip = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
    assert!(is_bad(&get(gzip).await, "compressed"));
}

#[tokio::test]
async fn a_certificate_of_nobody_or_of_another_host_is_bad_and_no_server_is_absent() {
    let (https, address) = example(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let other = https.get("example.com", PATH).await;
    assert!(matches!(other, Err(WebError::Certificate { .. })), "{other:?}");
    let strangers = Https::fixed(RootCertStore::empty(), address);
    let unknown = strangers.get("example.org", PATH).await;
    assert!(matches!(unknown, Err(WebError::Certificate { .. })), "{unknown:?}");
    // Nobody else gets the port, and nobody listens at it.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = Https::fixed(RootCertStore::empty(), held.local_addr().unwrap());
    assert!(is_absent(&gone.get("example.org", PATH).await));
}

#[test]
fn addresses_that_are_not_public_are_left_out_and_nothing_but_those_is_bad() {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mixed = parse(&["10.0.0.1:443", "1.1.1.1:443", "[::ffff:127.0.0.1]:443"]);
    assert_eq!(public(mixed), Ok(parse(&["1.1.1.1:443"])));
    let private: Result<Vec<u8>, _> = public(parse(&["169.254.169.254:443"])).map(|_| Vec::new());
    assert!(is_bad(&private, "not public"), "{private:?}");
    assert_eq!(public(Vec::new()), Ok(Vec::new()));
}

/// Finds any host here, at the port that its first label is.
fn here(host: String, _: u16) -> Task<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move {
        let port: u16 = host.split('.').next().unwrap().parse().unwrap();
        Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
    })
}

#[tokio::test]
async fn a_domain_that_leads_to_an_address_of_this_host_is_bad_and_nobody_is_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let https = Https::finding(RootCertStore::empty(), here);
    let host = format!("{port}.example.org");
    let answer = timeout(Duration::from_secs(10), https.get(&host, PATH)).await;
    assert!(is_bad(&answer.unwrap(), "its addresses are not public"));
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

const PATH: &str = "/.well-known/netid.json";
