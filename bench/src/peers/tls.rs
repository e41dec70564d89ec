//! TLS 1.3 as ours speaks it: both ends show self-signed Ed25519 certificates, keys are agreed on
//! by X25519MLKEM768, nothing is resumed.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use data_encoding::HEXLOWER;
use rcgen::{CertificateParams, CertifiedKey, KeyPair, PKCS_ED25519};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, kx_group},
    },
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

/// The certificate and the key of one end, and the certificate it expects of the other.
pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    expected: CertificateDer<'static>,
}

/// Makes both ends: the server's own, and the client's as text for its command line.
pub(super) fn identities() -> Result<(Identity, String)> {
    let (server, client) = (generate()?, generate()?);
    let texts = [client.cert.der(), client.signing_key.serialized_der(), server.cert.der()];
    let texts = texts.map(|bytes| HEXLOWER.encode(bytes));
    let identity = Identity {
        certificate: server.cert.der().clone(),
        key: key(server.signing_key.serialize_der())?,
        expected: client.cert.der().clone(),
    };
    Ok((identity, texts.join(",")))
}

impl Identity {
    /// The client's end.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let parts: Result<Vec<_>, _> =
            text.split(',').map(|part| HEXLOWER.decode(part.as_bytes())).collect();
        let parts: Result<[Vec<u8>; 3], _> = parts?.try_into();
        let [certificate, bytes, expected] = parts.ok().context("three parts are needed")?;
        let (certificate, expected) = (certificate.into(), expected.into());
        Ok(Self { certificate, key: key(bytes)?, expected })
    }

    pub(super) fn server(self, suites: &[SupportedCipherSuite]) -> Result<ServerConfig> {
        let provider = provider(suites);
        let roots = roots(self.expected)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier.build()?)
            .with_single_cert(vec![self.certificate], self.key)?;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    pub(super) fn client(self, suites: &[SupportedCipherSuite]) -> Result<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider(suites))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots(self.expected)?)
            .with_client_auth_cert(vec![self.certificate], self.key)?;
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn generate() -> Result<CertifiedKey<KeyPair>> {
    let signing_key = KeyPair::generate_for(&PKCS_ED25519)?;
    let cert = CertificateParams::new([NAME.to_owned()])?.self_signed(&signing_key)?;
    Ok(CertifiedKey { cert, signing_key })
}

fn key(bytes: Vec<u8>) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::try_from(bytes).map_err(|error| anyhow!(error))
}

fn roots(certificate: CertificateDer<'static>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    Ok(roots)
}

fn provider(suites: &[SupportedCipherSuite]) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = suites.to_vec();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    Arc::new(provider)
}

/// What a client asks for, and a server's certificate says.
pub(super) const NAME: &str = "localhost";
