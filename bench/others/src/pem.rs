//! Certificates for peers that read them from text.

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

/// A server's self-signed certificate, and its key.
pub(crate) fn generate(algorithm: &'static SignatureAlgorithm) -> Result<(String, String)> {
    let key = KeyPair::generate_for(algorithm)?;
    let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What a client asks for, and a server's certificate says.
pub(crate) const NAME: &str = "localhost";
