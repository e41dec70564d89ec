//! Certificates as ours are, and such as no node makes.

use std::sync::Arc;

use netcom::SecretKey;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PublicKeyData, SigningKey,
};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, Signer},
};

/// A certificate that proves a PeerId, by a fresh key.
pub(crate) fn certificate_of(key: &SecretKey) -> Arc<CertifiedKey> {
    let pair = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![identity_extension(key, &pair)];
    let certificate = params.self_signed(&pair).expect("a certificate");
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let signer = aws_lc_rs::default_provider().key_provider.load_private_key(secret);
    Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer.expect("a signer")))
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forgery {
    /// Its key is RSA of 16 kilobits.
    HugeRsa,
    /// It is longer than 16 KiB.
    Padded,
    /// Four others follow it.
    Chain,
}

impl Forgery {
    /// The certificate, with a key that signs whatever it is asked to.
    pub(crate) fn make(self, key: &SecretKey) -> Arc<CertifiedKey> {
        let honest = certificate_of(key);
        let chain = match self {
            Self::HugeRsa => {
                let pair = HugeRsa::new();
                let mut params = CertificateParams::default();
                params.custom_extensions = vec![identity_extension(key, &pair)];
                vec![params.self_signed(&pair).expect("a certificate").der().clone()]
            }
            Self::Padded => {
                let pair = KeyPair::generate().expect("a key");
                let mut params = CertificateParams::default();
                let padding =
                    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![0; 17_000]);
                params.custom_extensions = vec![identity_extension(key, &pair), padding];
                vec![params.self_signed(&pair).expect("a certificate").der().clone()]
            }
            Self::Chain => vec![honest.cert[0].clone(); 5],
        };
        Arc::new(CertifiedKey::new(chain, Arc::new(SignsAnything)))
    }
}

fn identity_extension(key: &SecretKey, pair: &impl PublicKeyData) -> CustomExtension {
    let public = key.public_key().to_protobuf();
    let signature = key.sign_libp2p_tls(&pair.subject_public_key_info());
    let mut proof = vec![0x30, u8::try_from(4 + public.len() + signature.len()).expect("short")];
    for part in [public, signature] {
        proof.extend([0x04, u8::try_from(part.len()).expect("short")]);
        proof.extend(part);
    }
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 53594, 1, 1], proof)
}

/// A key as long as nobody's.
pub(crate) struct HugeRsa(Vec<u8>);

impl HugeRsa {
    fn new() -> Self {
        let header = |tag: u8, length: usize| -> Vec<u8> {
            let [high, low] = u16::try_from(length).expect("short").to_be_bytes();
            vec![tag, 0x82, high, low]
        };
        let mut body = header(0x02, 2049);
        body.push(0);
        body.extend([0xff; 2048]);
        body.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        let mut der = header(0x30, body.len());
        der.extend(body);
        Self(der)
    }
}

impl PublicKeyData for HugeRsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

impl SigningKey for HugeRsa {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0x77; 2048])
    }
}

/// Signs without a key.
#[derive(Debug)]
struct SignsAnything;

impl rustls::sign::SigningKey for SignsAnything {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for SignsAnything {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(vec![0x77; 71])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
