//! The hostile side: our certificates and frames over plain TLS and QUIC, without our engine.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use netcom::{Class, Code, PeerId, SecretKey, generate_key};
use netcom_session::{
    Flow, InstanceId, LinkId, SessionId, StreamId,
    wire::{self, Close, Data, Frame, FrameLimits, Hello, Limits, Open, Purpose},
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{PATIENCE, certificate_of};

/// Somebody with a key of his own who breaks rules.
pub(crate) struct Attacker {
    pub(crate) key: SecretKey,
    certificate: Arc<CertifiedKey>,
    configure: Box<dyn Fn(&mut ClientConfig) + Send + Sync>,
}

impl Attacker {
    pub(crate) fn new() -> Self {
        let key = generate_key();
        let certificate = certificate_of(&key);
        Self::with_certificate(key, certificate)
    }

    pub(crate) fn with_certificate(key: SecretKey, certificate: Arc<CertifiedKey>) -> Self {
        Self { key, certificate, configure: Box::new(|_| {}) }
    }

    /// Speaks TLS with further settings.
    pub(crate) fn configured(
        self,
        configure: impl Fn(&mut ClientConfig) + Send + Sync + 'static,
    ) -> Self {
        Self { configure: Box::new(configure), ..self }
    }

    /// A TLS connection that is authenticated and has said nothing yet.
    pub(crate) fn tls(&self, to: SocketAddr) -> io::Result<Tls> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let config = Arc::new(self.config());
        let connection = ClientConnection::new(config, name()).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// A TLS connection that has become a session with `peer`.
    pub(crate) fn join(&self, peer: PeerId, to: SocketAddr) -> Intruder {
        let mut intruder = self.link(peer, to);
        intruder.send(&hello(intruder.is_keeper));
        let answer = intruder.next_frame().expect("an answer to HELLO");
        let Frame::Hello(answer) = answer else { panic!("no HELLO but {answer:?}") };
        assert_eq!(answer.purpose, Purpose::Attached);
        intruder
    }

    /// A TLS connection on which no HELLO was said.
    pub(crate) fn link(&self, peer: PeerId, to: SocketAddr) -> Intruder {
        let tls = self.tls(to).expect("the victim authenticates");
        let is_keeper = self.key.peer_id() < peer;
        Intruder { tls, unread: BytesMut::new(), is_keeper }
    }

    /// A QUIC connection that is authenticated and has said nothing yet.
    pub(crate) async fn quic(&self, to: SocketAddr) -> Quic {
        let (connecting, endpoint) = self.begin_quic(to);
        let connection = super::within(connecting).await.expect("the victim authenticates");
        Quic { connection, endpoint }
    }

    /// The first packet of a QUIC connection.
    pub(crate) fn begin_quic(&self, to: SocketAddr) -> (quinn::Connecting, quinn::Endpoint) {
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(self.config());
        let config = quinn::ClientConfig::new(Arc::new(config.expect("suites for QUIC")));
        let local = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), 0);
        let endpoint = quinn::Endpoint::client(local).expect("a socket");
        let connecting = endpoint.connect_with(config, to, "netcom.invalid").expect("an address");
        (connecting, endpoint)
    }

    fn config(&self) -> ClientConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustsAnyone))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(
                &self.certificate,
            ))));
        config.alpn_protocols = vec![b"netcom/1".to_vec()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        (self.configure)(&mut config);
        config
    }
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A QUIC connection of an attacker, with the socket that carries it.
pub(crate) struct Quic {
    pub(crate) connection: quinn::Connection,
    #[expect(dead_code, reason = "carries the connection")]
    endpoint: quinn::Endpoint,
}

/// A link of an attacker, with frames as he likes.
pub(crate) struct Intruder {
    pub(crate) tls: Tls,
    unread: BytesMut,
    pub(crate) is_keeper: bool,
}

/// How a victim ended a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// By a CLOSE frame with this code.
    Closed(Code),
    /// By a goodbye or an alert of TLS: what came was not even a frame.
    Ended,
}

impl Intruder {
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.try_send(frame).expect("the victim reads");
    }

    pub(crate) fn try_send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        wire::encode(frame, &mut bytes);
        self.try_send_bytes(&bytes)
    }

    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// Sends the same bytes many times, as one record after the other, without reading.
    pub(crate) fn flood(&mut self, bytes: &[u8], times: usize) -> io::Result<()> {
        let many = bytes.repeat(16_000 / bytes.len().max(1));
        let once = many.len() / bytes.len().max(1);
        for _ in 0..times.div_ceil(once) {
            self.tls.write_all(&many)?;
        }
        self.tls.flush()
    }

    /// The next frame of the victim; `None` when it ended the link.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let frame = wire::decode(&mut self.unread, FrameLimits::TLS);
            if let Some(frame) = frame.expect("the victim's frames are valid") {
                return Some(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.tls.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("the victim says nothing for {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    /// Reads until the victim ended the link, and tells how it did.
    pub(crate) fn told(&mut self) -> Told {
        let began = Instant::now();
        while let Some(frame) = self.next_frame() {
            assert!(began.elapsed() < PATIENCE, "the victim goes on");
            if let Frame::Close(Close { code, .. }) = frame {
                return Told::Closed(code);
            }
        }
        Told::Ended
    }

    /// The `index`th stream this side opens.
    pub(crate) fn stream(&self, index: u64) -> StreamId {
        StreamId::new(index, self.is_keeper)
    }

    /// A frame of a stream this side opened; at offset 0 it names the protocol.
    pub(crate) fn data(&self, index: u64, protocol: &str, offset: u64, bytes: &[u8]) -> Frame {
        let protocol = Bytes::copy_from_slice(protocol.as_bytes());
        Frame::Data(Data {
            stream: self.stream(index),
            flow: Flow::Data,
            offset,
            fin: false,
            fin_errors: false,
            open: (offset == 0).then_some(Open { class: Class::Normal, protocol }),
            bytes: Bytes::copy_from_slice(bytes).into(),
        })
    }
}

/// The HELLO that asks for a new session.
pub(crate) fn hello(is_keeper: bool) -> Frame {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("randomness");
    let (instance, session) = random.split_at(16);
    Frame::Hello(Box::new(Hello {
        instance: InstanceId(instance.try_into().expect("half")),
        supersedes: None,
        link: LinkId(u64::from(!is_keeper)),
        purpose: Purpose::New,
        session: Some(SessionId(session.try_into().expect("half"))),
        limits: Limits { streams: 1000, data_window: 1 << 20, error_window: 1 << 16 },
        resume_window_ms: None,
        features: Vec::new(),
        finals: Vec::new(),
    }))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("netcom.invalid").expect("a name")
}

/// Takes the victim for whoever it is.
#[derive(Debug)]
struct TrustsAnyone;

impl ServerCertVerifier for TrustsAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}
