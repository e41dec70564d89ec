//! Our handshake and record layer against rustls' own connections.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream as StdStream},
    thread,
};

use netcom_identity::SecretKey;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection, StreamOwned,
    version::TLS12,
};
use tokio::net::TcpListener;

use super::*;
use crate::record::Record;

fn settings(seed: u8) -> TlsSettings {
    TlsSettings::new(&SecretKey::from_bytes(&[seed; 32]), &[]).unwrap()
}

fn peer(seed: u8) -> netcom_identity::PeerId {
    SecretKey::from_bytes(&[seed; 32]).peer_id()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn blocking(listener: TcpListener) -> std::net::TcpListener {
    let listener = listener.into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

/// Runs rustls' blocking client against `address` and what a test does with it.
fn rustls_client<R: Send + 'static>(
    address: SocketAddr,
    config: ClientConfig,
    then: impl FnOnce(StreamOwned<ClientConnection, StdStream>) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    thread::spawn(move || {
        let connection = ClientConnection::new(Arc::new(config), tls::server_name()).unwrap();
        then(StreamOwned::new(connection, StdStream::connect(address).unwrap()))
    })
}

/// Reads the next data that our side receives.
async fn read_data(secured: &mut Secured) -> Vec<u8> {
    loop {
        if let Some(record) = secured.opener.open(&mut secured.received).unwrap() {
            match record {
                Record::Data(data) => return data.to_vec(),
                Record::Nothing => continue,
                other => panic!("{other:?}"),
            }
        }
        secured.received.reserve(MAX_RECORD);
        secured.stream.readable().await.unwrap();
        match secured.stream.try_read_buf(&mut secured.received) {
            Ok(count) => assert!(count > 0, "the peer ended"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

async fn write_data(secured: &mut Secured, data: &[u8]) {
    let mut record = BytesMut::new();
    secured.sealer.seal(&[data], &mut record).unwrap();
    send(&secured.stream, &mut record.into()).await.unwrap();
}

#[tokio::test]
async fn the_hybrid_group_is_negotiated_and_both_ends_export_the_same() {
    let (listener, address) = listen().await;
    let (ours, theirs) = (settings(1), settings(2));
    let dialler = async {
        let stream = TcpStream::connect(address).await.unwrap();
        dial(stream, &ours, peer(2)).await.unwrap()
    };
    let listener = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept(stream, BytesMut::new(), &theirs).await.unwrap()
    };
    let (dialled, accepted) = tokio::join!(dialler, listener);
    assert_eq!(dialled.group, "X25519MLKEM768");
    assert_eq!(accepted.group, "X25519MLKEM768");
    assert_eq!(dialled.exporter, accepted.exporter);
    assert_eq!((dialled.proven.peer, accepted.proven.peer), (peer(2), peer(1)));
}

#[tokio::test]
async fn rustls_exports_the_same_secret_and_gets_no_ticket() {
    let (listener, address) = listen().await;
    let (config, _) = settings(1).client(peer(2));
    let client = rustls_client(address, config, |mut stream| {
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"world");
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(stream.conn.tls13_tickets_received(), 0);
        stream.conn.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap()
    });
    let (stream, _) = listener.accept().await.unwrap();
    let mut secured = accept(stream, BytesMut::new(), &settings(2)).await.unwrap();
    assert_eq!(read_data(&mut secured).await, b"hello");
    write_data(&mut secured, b"world").await;
    assert_eq!(client.join().unwrap(), secured.exporter);
}

#[tokio::test]
async fn keys_change_in_both_directions_while_data_flows() {
    let (listener, address) = listen().await;
    let (config, _) = settings(1).client(peer(2));
    let client = rustls_client(address, config, |mut stream| {
        for round in 0..10_u8 {
            stream.write_all(&[round; 100]).unwrap();
            stream.conn.refresh_traffic_keys().unwrap();
            let mut answer = [0; 100];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [round; 100]);
        }
    });
    let (stream, _) = listener.accept().await.unwrap();
    let mut secured = accept(stream, BytesMut::new(), &settings(2)).await.unwrap();
    for round in 0..10 {
        assert_eq!(read_data_through_updates(&mut secured).await, [round; 100]);
        let mut update = BytesMut::new();
        secured.sealer.update_key(&mut update).unwrap();
        send(&secured.stream, &mut update.into()).await.unwrap();
        write_data(&mut secured, &[round; 100]).await;
    }
    client.join().unwrap();
}

/// Like `read_data`, for a peer that asks for key updates.
async fn read_data_through_updates(secured: &mut Secured) -> Vec<u8> {
    loop {
        match secured.opener.open(&mut secured.received).unwrap() {
            Some(Record::Data(data)) => return data.to_vec(),
            Some(Record::KeyUpdateRequested | Record::Nothing) => {}
            Some(Record::CloseNotify) => panic!("the peer said goodbye"),
            None => {
                secured.received.reserve(MAX_RECORD);
                secured.stream.readable().await.unwrap();
                let read = secured.stream.try_read_buf(&mut secured.received);
                assert!(!matches!(read, Ok(0)), "the peer ended");
            }
        }
    }
}

#[tokio::test]
async fn a_handshake_in_small_pieces_goes_through() {
    let (listener, address) = listen().await;
    let (mut config, _) = settings(1).client(peer(2));
    config.max_fragment_size = Some(64);
    let client = rustls_client(address, config, |mut stream| {
        stream.write_all(&[7; 1000]).unwrap();
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).unwrap();
    });
    let (stream, _) = listener.accept().await.unwrap();
    let mut secured = accept(stream, BytesMut::new(), &settings(2)).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 1000 {
        got.extend(read_data(&mut secured).await);
    }
    assert_eq!(got, [7; 1000]);
    write_data(&mut secured, b"!").await;
    client.join().unwrap();
}

#[tokio::test]
async fn a_first_message_without_name_ticket_or_other_protocol() {
    let (listener, address) = listen().await;
    let ours = settings(1);
    let hello = thread::spawn(move || {
        let (mut stream, _) = blocking(listener).accept().unwrap();
        let mut acceptor = rustls::server::Acceptor::default();
        loop {
            acceptor.read_tls(&mut stream).unwrap();
            if let Some(accepted) = acceptor.accept().unwrap() {
                let hello = accepted.client_hello();
                let protocols: Vec<Vec<u8>> = hello.alpn().unwrap().map(<[u8]>::to_vec).collect();
                let rsa_or_sha1 = hello.signature_schemes().iter().any(|scheme| {
                    !matches!(format!("{scheme:?}").get(..5), Some("ECDSA" | "ED255"))
                });
                return (hello.server_name().map(str::to_owned), protocols, rsa_or_sha1);
            }
        }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    assert!(dial(stream, &ours, peer(2)).await.is_err());
    let (name, protocols, rsa_or_sha1) = hello.join().unwrap();
    assert_eq!(name, None);
    assert_eq!(protocols, [b"netcom/1"]);
    assert!(!rsa_or_sha1);
}

/// What our listener says to a client whose configuration a test changes.
async fn listener_says(change: impl FnOnce(&mut ClientConfig)) -> HandshakeError {
    let (listener, address) = listen().await;
    let (mut config, _) = settings(1).client(peer(2));
    change(&mut config);
    let client = rustls_client(address, config, |mut stream| {
        // Fails or not, at once or after its certificate was looked at.
        let _ = stream.write_all(b"hello");
        let _ = stream.read(&mut [0; 1]);
    });
    let (stream, _) = listener.accept().await.unwrap();
    let error = accept(stream, BytesMut::new(), &settings(2)).await.unwrap_err();
    client.join().unwrap();
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_other_protocols_are_refused() {
    let other = listener_says(|config| config.alpn_protocols = vec![b"libp2p".to_vec()]).await;
    assert!(matches!(other, HandshakeError::Tls(_)), "{other}");
    let none = listener_says(|config| config.alpn_protocols.clear()).await;
    assert!(matches!(&none, HandshakeError::Tls(text) if text == NO_PROTOCOL), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_certificate_is_refused() {
    let error = listener_says(|config| {
        config.client_auth_cert_resolver = Arc::new(NoCertificate);
    })
    .await;
    assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let (listener, address) = listen().await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = rustls_client(address, config, |mut stream| stream.write_all(b"hello").is_err());
    let (stream, _) = listener.accept().await.unwrap();
    let error = accept(stream, BytesMut::new(), &settings(2)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
    assert!(client.join().unwrap());
}

#[tokio::test]
async fn the_dialer_learns_that_it_was_denied() {
    let (listener, address) = listen().await;
    let server = thread::spawn(move || {
        let (mut config, _) = settings(2).server();
        config.alpn_protocols = vec![b"libp2p".to_vec()];
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let (stream, _) = blocking(listener).accept().unwrap();
        let _ = StreamOwned::new(connection, stream).read(&mut [0; 1]);
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let error = dial(stream, &settings(1), peer(2)).await.unwrap_err();
    assert!(
        matches!(&error, HandshakeError::Denied(alert) if alert == "no application protocol"),
        "{error}"
    );
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_client_certificate_is_named_by_the_listener() {
    let error = listener_says(|config| {
        // A certificate that is fine but for libp2p's extension.
        let pair = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(pair.serialize_der());
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&secret.into()).unwrap();
        let certified = rustls::sign::CertifiedKey::new(vec![der.der().clone()], signer);
        config.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    })
    .await;
    assert!(
        matches!(error, HandshakeError::Certificate(CertificateError::KeyExtension)),
        "{error}"
    );
}

#[test]
fn no_configuration_resumes_or_sends_early_data() {
    let settings = settings(1);
    let (client, _) = settings.client(peer(2));
    assert!(!client.enable_early_data && !client.enable_sni);
    let (server, _): (ServerConfig, _) = settings.server();
    assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
    assert!(!server.session_storage.can_cache() && !server.ticketer.enabled());
    assert!(!server.send_half_rtt_data);
}

/// Drives a handshake in memory, changing one byte on the way. True if both ends were satisfied,
/// with what each of them sent.
fn handshake_with(
    settings: &(TlsSettings, TlsSettings),
    tamper: Option<(usize, usize)>,
) -> (bool, [Vec<u8>; 2]) {
    let (mut client_config, client_verifier) = settings.0.client(peer(2));
    let (mut server_config, server_verifier) = settings.1.server();
    client_config.enable_secret_extraction = true;
    server_config.enable_secret_extraction = true;
    let mut client =
        UnbufferedClientConnection::new(Arc::new(client_config), tls::server_name()).unwrap();
    let mut server = UnbufferedServerConnection::new(Arc::new(server_config)).unwrap();
    let mut wires = [Wire::default(), Wire::default()];
    let mut is_done = [false, false];
    for _ in 0..64 {
        let [forth, back] = &mut wires;
        let Some(client_is_done) = advance(&mut client, back, forth) else { break };
        tamper_with(tamper, 0, forth);
        let Some(server_is_done) = advance(&mut server, forth, back) else { break };
        tamper_with(tamper, 1, back);
        is_done = [client_is_done, server_is_done];
        if is_done == [true, true] {
            break;
        }
    }
    let is_proven = |verifier: &PeerVerifier| matches!(verifier.verdict(), Some(Ok(_)));
    let satisfied =
        is_done == [true, true] && is_proven(&client_verifier) && is_proven(&server_verifier);
    (satisfied, wires.map(|wire| wire.sent))
}

#[derive(Default)]
struct Wire {
    bytes: BytesMut,
    window: usize,
    /// All that was ever put on it, and how much of that a tamperer has seen.
    sent: Vec<u8>,
    seen: usize,
}

/// Lets one end do what it can. `None` when it gave up.
fn advance(end: &mut impl Connection, from: &mut Wire, to: &mut Wire) -> Option<bool> {
    let mut out = Vec::new();
    let result = loop {
        let (discard, step) = end.step(&mut from.bytes[..from.window], &mut out);
        from.bytes.advance(discard);
        from.window -= discard;
        match step {
            Step::Again | Step::Send => {}
            Step::Receive => match record::record_length(&from.bytes[from.window..]) {
                Ok(Some(length)) => from.window += length,
                Ok(None) => break Some(false),
                Err(_) => break None,
            },
            Step::Done => break Some(true),
            Step::Failed(_) => break None,
        }
    };
    to.bytes.extend_from_slice(&out);
    to.sent.extend_from_slice(&out);
    result
}

fn tamper_with(tamper: Option<(usize, usize)>, direction: usize, wire: &mut Wire) {
    if let Some((wanted, at)) = tamper
        && wanted == direction
        && (wire.seen..wire.sent.len()).contains(&at)
    {
        let start = wire.sent.len() - wire.bytes.len();
        wire.bytes[at - start] ^= 0x01;
    }
    wire.seen = wire.sent.len();
}

/// Whether a changed byte is none that could be noticed: one of a record's version, which the
/// standard says not to look at, the type of an encrypted record, whose true type is inside, or
/// one behind the end, since signatures differ in length.
fn means_nothing(sent: &[u8], at: usize) -> bool {
    let mut start = 0;
    let header = |start: usize| sent.get(start..).and_then(|it| it.first_chunk::<HEADER>());
    while let Some(&[kind, _, _, high, low]) = header(start) {
        let next = start + HEADER + usize::from(u16::from_be_bytes([high, low]));
        if at < next {
            return matches!(at - start, 1 | 2) || (at == start && kind == ENCRYPTED);
        }
        start = next;
    }
    true
}

/// The header of a record: type, version and length.
const HEADER: usize = 5;
/// The type that encrypted records have.
const ENCRYPTED: u8 = 23;

#[test]
fn no_changed_byte_of_a_handshake_goes_unnoticed() {
    let settings = (settings(1), settings(2));
    let (satisfied, honest) = handshake_with(&settings, None);
    assert!(satisfied);
    for (direction, honest) in honest.iter().enumerate() {
        // Every byte of the first hundred, which say what is negotiated, then samples.
        for at in (0..100).chain((100..honest.len()).step_by(7)) {
            let (satisfied, sent) = handshake_with(&settings, Some((direction, at)));
            let is_noticed = !satisfied || means_nothing(&sent[direction], at);
            assert!(is_noticed, "byte {at} of direction {direction} was changed");
        }
    }
}

#[tokio::test]
async fn records_without_data_are_bounded() {
    let (listener, address) = listen().await;
    let (ours, theirs) = (settings(1), settings(2));
    let dialler =
        async { dial(TcpStream::connect(address).await.unwrap(), &ours, peer(2)).await.unwrap() };
    let listener = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept(stream, BytesMut::new(), &theirs).await.unwrap()
    };
    let (mut dialled, mut accepted) = tokio::join!(dialler, listener);
    let empty = |sealer: &mut Sealer| {
        let mut record = BytesMut::new();
        sealer.seal(&[], &mut record).unwrap();
        record
    };
    for _ in 0..32 {
        let record = accepted.opener.open(&mut empty(&mut dialled.sealer)).unwrap();
        assert_eq!(record, Some(Record::Nothing));
    }
    let error = accepted.opener.open(&mut empty(&mut dialled.sealer)).unwrap_err();
    assert_eq!(error, RecordError::Idle);
}

#[tokio::test]
async fn a_changed_or_repeated_record_is_not_opened() {
    let (listener, address) = listen().await;
    let (ours, theirs) = (settings(1), settings(2));
    let dialler =
        async { dial(TcpStream::connect(address).await.unwrap(), &ours, peer(2)).await.unwrap() };
    let listener = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept(stream, BytesMut::new(), &theirs).await.unwrap()
    };
    let (mut dialled, mut accepted) = tokio::join!(dialler, listener);
    let mut record = BytesMut::new();
    dialled.sealer.seal(&[b"once"], &mut record).unwrap();
    for at in 0..record.len() {
        let mut changed = BytesMut::from(&record[..]);
        changed[at] ^= 0x80;
        let result = accepted.opener.open(&mut changed);
        assert!(!matches!(result, Ok(Some(_))), "byte {at}");
    }
    let mut valid = BytesMut::from(&record[..]);
    assert!(matches!(accepted.opener.open(&mut valid), Ok(Some(Record::Data(_)))));
    let mut again = BytesMut::from(&record[..]);
    assert_eq!(accepted.opener.open(&mut again), Err(RecordError::Decrypt));
}
