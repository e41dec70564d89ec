//! Certificates: self-signed, with libp2p's key extension, which proves the PeerId, and ours,
//! which proves whom the peer represents.
//!
//! The rules are those of the [libp2p TLS specification 1.0.0][spec], stricter where it leaves a
//! choice: no RSA, at most 16 KiB.
//!
//! [spec]: https://github.com/libp2p/specs/blob/master/tls/tls.md
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

use aws_lc_rs::{
    digest::{self, SHA256},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
pub(crate) use known::KnownCertificates;
use netcom_identity::{
    KeyType, PeerId, PublicKey, Representation, SecretKey, certificate as extension,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, SerialNumber};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use x509_parser::{
    asn1_rs::{FromDer, OctetString, Sequence},
    certificate::{X509Certificate, X509CertificateParser},
    nom::Parser as _,
    oid_registry::{self, Oid},
    time::ASN1Time,
};

/// What a valid certificate says.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    /// Whose key signed it.
    pub(crate) peer: PeerId,
    /// Whom the peer claims to represent; decoded, not verified.
    pub(crate) representations: Vec<Representation>,
    /// Stands for the certificate's key, which each process makes anew.
    pub(crate) process: u64,
}

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The representations do not fit. Present at most four, or shorter ones.
    #[error("the representations do not fit into a certificate: {0}")]
    Representations(String),
    /// The generator failed. Most likely the machine gives no random numbers.
    #[error("the certificate could not be generated: {0}")]
    Generate(String),
}

/// Why a peer's certificate was refused. The peer is at fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not exactly one certificate was sent.
    #[error("the peer sent {0} certificates where one is allowed")]
    Count(usize),
    /// The certificate is longer than 16 KiB.
    #[error("the peer's certificate has {0} bytes where {MAX_CERTIFICATE} are allowed")]
    TooLarge(usize),
    /// It is no X.509 certificate.
    #[error("the peer's certificate cannot be read")]
    Malformed,
    /// It is not valid now. Check the clocks.
    #[error("the peer's certificate is not valid at this time")]
    NotValidNow,
    /// Its key or signature is of a kind that is not accepted.
    #[error("the peer's certificate uses an algorithm that is not accepted")]
    Algorithm,
    /// It is not signed by its own key.
    #[error("the peer's certificate is not signed by its own key")]
    SelfSignature,
    /// It has a critical extension nobody here understands.
    #[error("the peer's certificate has an unknown critical extension")]
    UnknownCritical,
    /// libp2p's extension is missing, repeated or unreadable.
    #[error("the peer's certificate does not carry exactly one readable libp2p key")]
    KeyExtension,
    /// The PeerId's key is of a kind that is not accepted.
    #[error("the peer's identity key is of a kind that is not accepted")]
    IdentityKey,
    /// The identity key did not sign the certificate's key.
    #[error("the peer's identity key did not sign its certificate's key")]
    IdentitySignature,
    /// The list of representations cannot be read.
    #[error("the peer's representations cannot be read")]
    Representations,
    /// The certificate belongs to another peer than the expected one.
    #[error("the certificate belongs to {found}, not to {expected}")]
    WrongPeer {
        /// Who was asked for.
        expected: Box<PeerId>,
        /// Who answered.
        found: Box<PeerId>,
    },
}

/// Makes a certificate with a fresh key, for `key` and the representations it holds.
pub(crate) fn issue(
    key: &SecretKey,
    representations: &[Representation],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, IssueError> {
    let generate = |error: rcgen::Error| IssueError::Generate(error.to_string());
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(generate)?;
    let spki = rcgen::PublicKeyData::subject_public_key_info(&pair);
    let proof = signed_key(&key.public_key().to_protobuf(), &key.sign_libp2p_tls(&spki));
    let claims = extension::encode(representations)
        .map_err(|error| IssueError::Representations(error.to_string()))?;

    let mut serial = [0; 8];
    getrandom::fill(&mut serial).map_err(|error| IssueError::Generate(error.to_string()))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(KEY_EXTENSION, proof),
        CustomExtension::from_oid_content(extension::OID, claims),
    ];
    let certificate = params.self_signed(&pair).map_err(generate)?;

    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let signer = provider
        .key_provider
        .load_private_key(secret)
        .map_err(|error| IssueError::Generate(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

/// Checks a peer's certificate by every rule, at `now` in seconds since 1970. One that `known`
/// holds is checked by those whose outcome can change.
pub(crate) fn verify(
    end_entity: &CertificateDer<'_>,
    further: usize,
    now: u64,
    known: &KnownCertificates,
) -> Result<Proven, CertificateError> {
    if further > 0 {
        return Err(CertificateError::Count(further.saturating_add(1)));
    }
    let certificate = parse(end_entity)?;
    let timestamp = i64::try_from(now).map_err(|_| CertificateError::NotValidNow)?;
    let now = ASN1Time::from_timestamp(timestamp).map_err(|_| CertificateError::NotValidNow)?;
    if !certificate.validity().is_valid_at(now) {
        return Err(CertificateError::NotValidNow);
    }
    known.find_or_verify(end_entity, || verify_unknown(end_entity, &certificate))
}

/// Checks what a certificate says for ever.
fn verify_unknown(
    end_entity: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
) -> Result<Proven, CertificateError> {
    // Refuses RSA before anything is computed with it.
    let algorithm = signature_algorithm(certificate)?;
    if algorithm.encode(certificate) != end_entity.as_ref() {
        return Err(CertificateError::Malformed);
    }
    let (proof, claims) = extensions(certificate)?;

    let spki = certificate.public_key();
    UnparsedPublicKey::new(algorithm.verification, spki.subject_public_key.data.as_ref())
        .verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
        .map_err(|_| CertificateError::SelfSignature)?;

    let (key, signature) = read_signed_key(proof).ok_or(CertificateError::KeyExtension)?;
    let key = PublicKey::from_protobuf(&key).map_err(|_| CertificateError::IdentityKey)?;
    if key.key_type() != KeyType::Ed25519 {
        return Err(CertificateError::IdentityKey);
    }
    key.verify_libp2p_tls(spki.raw, &signature).map_err(|_| CertificateError::IdentitySignature)?;
    let representations = match claims {
        None => Vec::new(),
        Some(claims) => {
            extension::decode(claims)
                .map_err(|_| CertificateError::Representations)?
                .representations
        }
    };
    Ok(Proven { peer: key.peer_id(), representations, process: process(spki.raw) })
}

/// A number for the process that has a certificate with this key.
fn process(key: &[u8]) -> u64 {
    let digest = digest::digest(&SHA256, key);
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// The certificate's public key as DER, to check the handshake's signature by.
pub(crate) fn public_key_info(end_entity: &[u8]) -> Result<Vec<u8>, CertificateError> {
    Ok(parse(end_entity)?.public_key().raw.to_vec())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(CertificateError::TooLarge(der.len()));
    }
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    match parser.parse(der) {
        Ok(([], certificate)) if !has_unique_ids(&certificate) => Ok(certificate),
        _ => Err(CertificateError::Malformed),
    }
}

/// Deprecated fields that libp2p's rules forbid.
fn has_unique_ids(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer_uid.is_some() || certificate.subject_uid.is_some()
}

/// How a certificate may be signed.
struct SignatureAlgorithm {
    verification: &'static dyn VerificationAlgorithm,
    /// The identifier as DER.
    der: &'static [u8],
}

impl SignatureAlgorithm {
    /// The only right way to write the certificate down. The parser forgives more around the
    /// signed part.
    fn encode(&self, certificate: &X509Certificate<'_>) -> Vec<u8> {
        let signature = &certificate.signature_value.data;
        let mut body = certificate.tbs_certificate.as_ref().to_vec();
        body.extend_from_slice(self.der);
        der_header(BIT_STRING, signature.len().saturating_add(1), &mut body);
        body.push(0);
        body.extend_from_slice(signature);
        let mut out = Vec::new();
        der_header(SEQUENCE, body.len(), &mut out);
        out.extend_from_slice(&body);
        out
    }
}

/// How the certificate is signed: by an elliptic curve we accept, both places naming the same.
fn signature_algorithm(
    certificate: &X509Certificate<'_>,
) -> Result<SignatureAlgorithm, CertificateError> {
    let inner = &certificate.tbs_certificate.signature.algorithm;
    let key = &certificate.public_key().algorithm;
    let curve = key.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let is_curve = |oid: &Oid<'_>| {
        key.algorithm == oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY && curve.as_ref() == Some(oid)
    };
    if *inner == oid_registry::OID_SIG_ECDSA_WITH_SHA256 && is_curve(&oid_registry::OID_EC_P256) {
        Ok(SignatureAlgorithm { verification: &ECDSA_P256_SHA256_ASN1, der: ECDSA_WITH_SHA256 })
    } else if *inner == oid_registry::OID_SIG_ECDSA_WITH_SHA384
        && is_curve(&oid_registry::OID_NIST_EC_P384)
    {
        Ok(SignatureAlgorithm { verification: &ECDSA_P384_SHA384_ASN1, der: ECDSA_WITH_SHA384 })
    } else if *inner == oid_registry::OID_SIG_ED25519
        && key.algorithm == oid_registry::OID_SIG_ED25519
    {
        Ok(SignatureAlgorithm { verification: &ED25519, der: PURE_ED25519 })
    } else {
        Err(CertificateError::Algorithm)
    }
}

/// The contents of libp2p's extension and of ours, where it is there.
fn extensions<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<(&'a [u8], Option<&'a [u8]>), CertificateError> {
    let (key_oid, claims_oid) = (oid(KEY_EXTENSION)?, oid(extension::OID)?);
    let (mut proof, mut claims) = (None, None);
    for extension in certificate.extensions() {
        if extension.oid == key_oid {
            if proof.replace(extension.value).is_some() {
                return Err(CertificateError::KeyExtension);
            }
        } else if extension.oid == claims_oid {
            if claims.replace(extension.value).is_some() {
                return Err(CertificateError::Representations);
            }
        } else if extension.critical && !UNDERSTOOD.contains(&extension.oid) {
            return Err(CertificateError::UnknownCritical);
        }
    }
    Ok((proof.ok_or(CertificateError::KeyExtension)?, claims))
}

fn oid(arcs: &[u64]) -> Result<Oid<'static>, CertificateError> {
    // Both are constants that can be written; an error here refuses the peer, not more.
    Oid::from(arcs).map_err(|_| CertificateError::Malformed)
}

/// `SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING }`
fn signed_key(key: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in [key, signature] {
        der_header(OCTET_STRING, part.len(), &mut body);
        body.extend_from_slice(part);
    }
    let mut out = Vec::new();
    der_header(SEQUENCE, body.len(), &mut out);
    out.extend_from_slice(&body);
    out
}

fn der_header(tag: u8, length: usize, out: &mut Vec<u8>) {
    let bytes = length.to_be_bytes();
    let significant = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let significant = bytes.get(significant..).unwrap_or_default();
    out.push(tag);
    match significant {
        [] => out.push(0),
        [short @ 0..=0x7f] => out.push(*short),
        long => {
            // At most eight bytes, so the count fits its seven bits.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend_from_slice(long);
        }
    }
}

fn read_signed_key(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (rest, sequence) = Sequence::from_der(der).ok()?;
    let (after_key, key) = OctetString::from_der(&sequence.content).ok()?;
    let (after_signature, signature) = OctetString::from_der(after_key).ok()?;
    let is_whole = rest.is_empty() && after_signature.is_empty();
    is_whole.then(|| (key.as_ref().to_vec(), signature.as_ref().to_vec()))
}

/// The longest certificate that is looked at.
pub(crate) const MAX_CERTIFICATE: usize = 16 * 1024;
/// libp2p's extension, [TLS specification](https://github.com/libp2p/specs/blob/master/tls/tls.md).
const KEY_EXTENSION: &[u64] = &[1, 3, 6, 1, 4, 1, 53594, 1, 1];
/// Extensions that may be critical: they say nothing that matters for a certificate that is its
/// own root.
const UNDERSTOOD: [Oid<'static>; 4] = [
    oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
    oid_registry::OID_X509_EXT_KEY_USAGE,
    oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS,
    oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE,
];
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// [RFC 5758 section 3.2](https://www.rfc-editor.org/rfc/rfc5758#section-3.2).
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_WITH_SHA384: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
/// [RFC 8410 section 3](https://www.rfc-editor.org/rfc/rfc8410#section-3).
const PURE_ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];

pub(crate) mod fuzzing;
mod known;
#[cfg(test)]
mod tests;
