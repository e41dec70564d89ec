//! TLS settings shared by TCP and QUIC links: TLS 1.3 only, mutual authentication by PeerId, no
//! tickets, no resumption, no 0-RTT, no SNI.

use std::sync::Arc;

use netcom_identity::{PeerId, Representation, SecretKey};
use parking_lot::{Mutex, RwLock};
use rustls::{
    CertificateError as RustlsCertificateError, ClientConfig, DigitallySignedStruct,
    DistinguishedName, Error as RustlsError, KeyLog, KeyLogFile, NoKeyLog, OtherError,
    ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::SingleCertAndKey,
    version::TLS13,
};

use crate::certificate::{self, CertificateError, IssueError, KnownCertificates, Proven};

/// Makes the configuration of each handshake.
#[derive(Debug)]
pub(crate) struct TlsSettings {
    provider: Arc<CryptoProvider>,
    own: RwLock<Arc<SingleCertAndKey>>,
    known: Arc<KnownCertificates>,
    /// Told the secrets of each handshake, where somebody asked for that.
    key_log: Arc<dyn KeyLog>,
}

/// Verifies the one peer of one handshake and keeps what its certificate said.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    expected: Option<PeerId>,
    provider: Arc<CryptoProvider>,
    known: Arc<KnownCertificates>,
    verdict: Mutex<Option<Result<Proven, CertificateError>>>,
}

impl TlsSettings {
    /// Prepares handshakes as `key`, which claims to represent `representations`.
    pub(crate) fn new(
        key: &SecretKey,
        representations: &[Representation],
    ) -> Result<Self, IssueError> {
        let provider = Arc::new(provider());
        let own = certificate::issue(key, representations, &provider)?;
        let own = RwLock::new(Arc::new(own.into()));
        Ok(Self { provider, own, known: Arc::default(), key_log: Arc::new(NoKeyLog) })
    }

    /// Writes the secrets of each handshake to the file that `SSLKEYLOGFILE` names now.
    pub(crate) fn log_keys(&mut self) {
        self.key_log = Arc::new(KeyLogFile::new());
    }

    /// Uses a new certificate with other representations for later handshakes.
    pub(crate) fn set_representations(
        &self,
        key: &SecretKey,
        representations: &[Representation],
    ) -> Result<(), IssueError> {
        let own = certificate::issue(key, representations, &self.provider)?;
        *self.own.write() = Arc::new(own.into());
        Ok(())
    }

    /// The dialer's side of one handshake, which goes through with `expected` only.
    pub(crate) fn client(&self, expected: PeerId) -> (ClientConfig, Arc<PeerVerifier>) {
        let verifier = self.verifier(Some(expected));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites and groups for TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_client_cert_resolver(Arc::clone(&self.own.read()) as Arc<_>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.key_log = Arc::clone(&self.key_log);
        config.enable_sni = false;
        config.enable_early_data = false;
        config.resumption = Resumption::disabled();
        (config, verifier)
    }

    /// The listener's side of one handshake.
    pub(crate) fn server(&self) -> (ServerConfig, Arc<PeerVerifier>) {
        let verifier = self.verifier(None);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites and groups for TLS 1.3")
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_cert_resolver(Arc::clone(&self.own.read()) as Arc<_>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.key_log = Arc::clone(&self.key_log);
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        (config, verifier)
    }

    fn verifier(&self, expected: Option<PeerId>) -> Arc<PeerVerifier> {
        Arc::new(PeerVerifier {
            expected,
            provider: Arc::clone(&self.provider),
            known: Arc::clone(&self.known),
            verdict: Mutex::new(None),
        })
    }
}

impl PeerVerifier {
    /// What the peer's certificate said, `None` if it never came.
    pub(crate) fn verdict(&self) -> Option<Result<Proven, CertificateError>> {
        self.verdict.lock().clone()
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        further: usize,
        now: UnixTime,
    ) -> Result<(), RustlsError> {
        let verdict = certificate::verify(end_entity, further, now.as_secs(), &self.known)
            .and_then(|proven| self.expect(proven));
        let result = match &verdict {
            Ok(_) => Ok(()),
            Err(error) => Err(to_rustls(error)),
        };
        *self.verdict.lock() = Some(verdict);
        result
    }

    fn expect(&self, proven: Proven) -> Result<Proven, CertificateError> {
        match self.expected {
            Some(expected) if expected != proven.peer => {
                let (expected, found) = (Box::new(expected), Box::new(proven.peer));
                Err(CertificateError::WrongPeer { expected, found })
            }
            _ => Ok(proven),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        if !SCHEMES.contains(&signature.scheme) {
            return Err(rustls::PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let key = certificate::public_key_info(certificate).map_err(|error| to_rustls(&error))?;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key),
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        self.judge(end_entity, intermediates.len(), now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(RustlsError::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        self.judge(end_entity, intermediates.len(), now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(RustlsError::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// The name asked for in a handshake. It is never sent, since SNI is off; rustls wants one.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("a constant name")
}

/// Algorithms of aws-lc-rs: X25519MLKEM768 before X25519, AES-GCM before ChaCha20 only where the
/// processor has instructions for it.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    if !has_fast_aes() {
        provider.cipher_suites.sort_by_key(|suite| {
            suite.suite() != rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        });
    }
    provider
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_fast_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_fast_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_fast_aes() -> bool {
    false
}

/// Chooses the alert the peer gets: an unknown critical extension and a wrong peer are refusals
/// of a certificate that can be read.
fn to_rustls(error: &CertificateError) -> RustlsError {
    let error = match error {
        CertificateError::Malformed | CertificateError::TooLarge(_) => {
            RustlsCertificateError::BadEncoding
        }
        CertificateError::NotValidNow => RustlsCertificateError::Expired,
        CertificateError::SelfSignature => RustlsCertificateError::BadSignature,
        CertificateError::WrongPeer { .. } => {
            RustlsCertificateError::ApplicationVerificationFailure
        }
        other => RustlsCertificateError::Other(OtherError(Arc::new(other.clone()))),
    };
    RustlsError::InvalidCertificate(error)
}

/// The application protocol of native links; its number is the wire's major version.
pub(crate) const ALPN: &[u8] = b"netcom/1";
/// The label of the secret exported to bind proofs to a link.
pub(crate) const EXPORTER_LABEL: &[u8] = b"EXPORTER-netcom-join-1";
/// Stands where rustls and quinn want a name; never sent.
pub(crate) const SERVER_NAME: &str = "netcom.invalid";
const SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];
