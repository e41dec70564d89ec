//! What the fuzz target of certificates runs.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a panic is what a fuzzer looks for"
)]

use std::sync::LazyLock;

use netcom_identity::{Terms, UnixTime};
use rcgen::{PublicKeyData as _, SigningKey as _};

use super::{
    BIT_STRING, CertificateDer, CertificateError, CertificateParams, CustomExtension, KeyPair,
    KnownCertificates, PURE_ED25519, PrivatePkcs8KeyDer, Proven, Representation, SEQUENCE,
    SecretKey, der_header, extension, issue, parse, public_key_info, read_signed_key, signed_key,
    verify,
};
use crate::certificate::KEY_EXTENSION;

/// Reads `input` as a peer's certificate. No fuzzer guesses its signature: where nothing else is
/// wrong and the key is the one of the first inputs, it is signed and read again.
///
/// # Panics
///
/// When a certificate passes whose key cannot be read, or a signed one is called unsigned.
#[must_use]
pub fn certificate(input: &[u8]) -> bool {
    if let Some((key, signature)) = read_signed_key(input) {
        assert!(key.len() + signature.len() < input.len());
    }
    match judge(input) {
        Ok(proven) => {
            check(input, &proven);
            true
        }
        Err(CertificateError::SelfSignature) => {
            if let Some(signed) = resigned(input) {
                let verdict = judge(&signed);
                assert_ne!(verdict.as_ref().err(), Some(&CertificateError::SelfSignature));
                if let Ok(proven) = verdict {
                    check(&signed, &proven);
                }
            }
            false
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}

/// Certificates as we make them, and ones whose key is known here.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = SecretKey::from_bytes(&[7; 32]);
    let terms = Terms::new(1, UnixTime(NOW), UnixTime(NOW + 60));
    let claim =
        |seed| Representation::issue(&SecretKey::from_bytes(&[seed; 32]), key.peer_id(), &terms);
    let mut seeds = Vec::new();
    for claims in [vec![], vec![claim(1)], (1..5).map(claim).collect()] {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let issued = issue(&key, &claims, &provider).expect("the claims fit");
        seeds.push(("certificate", issued.cert[0].to_vec()));
        let pair = &*KNOWN;
        let signature = key.sign_libp2p_tls(&pair.subject_public_key_info());
        let proof = signed_key(&key.public_key().to_protobuf(), &signature);
        seeds.push(("certificate", proof.clone()));
        let claims = extension::encode(&claims).expect("the claims fit");
        let mut params = CertificateParams::default();
        params.custom_extensions = vec![
            CustomExtension::from_oid_content(KEY_EXTENSION, proof),
            CustomExtension::from_oid_content(extension::OID, claims),
        ];
        let made = params.self_signed(pair).expect("a certificate");
        seeds.push(("certificate", made.der().to_vec()));
    }
    seeds
}

fn judge(der: &[u8]) -> Result<Proven, CertificateError> {
    verify(&CertificateDer::from(der), 0, NOW, &KnownCertificates::default())
}

fn check(der: &[u8], proven: &Proven) {
    assert!(public_key_info(der).is_ok(), "its key checks the handshake");
    assert!(proven.representations.len() <= extension::MAX_REPRESENTATIONS);
    let two = verify(&CertificateDer::from(der), 1, NOW, &KnownCertificates::default());
    assert!(two.is_err(), "one certificate, not two");
}

/// The certificate with the signature of its key, if that is the one known here.
fn resigned(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = parse(der).ok()?;
    if certificate.public_key().raw != KNOWN.subject_public_key_info() {
        return None;
    }
    let mut body = certificate.tbs_certificate.as_ref().to_vec();
    let signature = KNOWN.sign(&body).ok()?;
    body.extend_from_slice(PURE_ED25519);
    der_header(BIT_STRING, signature.len() + 1, &mut body);
    body.push(0);
    body.extend_from_slice(&signature);
    let mut out = Vec::new();
    der_header(SEQUENCE, body.len(), &mut out);
    out.extend_from_slice(&body);
    Some(out)
}

const NOW: u64 = 1_800_000_000;

/// A key pair that is the same in every run.
static KNOWN: LazyLock<KeyPair> = LazyLock::new(|| {
    // RFC 8410: the frame of an Ed25519 key, without attributes.
    let frame = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [&frame[..], &[5; 32]].concat();
    let der = PrivatePkcs8KeyDer::from(der);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519).expect("a key")
});
