//! Certificates that were found good: who comes back is not checked anew.

use std::collections::{HashMap, VecDeque};

use aws_lc_rs::digest::{self, SHA256};
use parking_lot::Mutex;

use super::{CertificateError, Proven};

/// What the certificates said that were checked last, by the SHA-256 of their bytes.
///
/// A certificate's signatures hold for ever, so a peer's second link, and each return of it, spares
/// two verifications. Only good ones are kept: whoever fills this with others pays two signatures
/// for each.
#[derive(Debug, Default)]
pub(crate) struct KnownCertificates(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    proven: HashMap<Digest, Proven>,
    /// In the order in which they came, the oldest first.
    order: VecDeque<Digest>,
}

type Digest = [u8; 32];

impl KnownCertificates {
    /// What the certificate was found to say, or what `verify` finds now.
    pub(super) fn find_or_verify(
        &self,
        certificate: &[u8],
        verify: impl FnOnce() -> Result<Proven, CertificateError>,
    ) -> Result<Proven, CertificateError> {
        if certificate.len() > MAX_REMEMBERED {
            return verify();
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(digest::digest(&SHA256, certificate).as_ref());
        if let Some(proven) = self.0.lock().proven.get(&digest) {
            return Ok(proven.clone());
        }
        // Not under the lock, which other handshakes want too.
        let proven = verify()?;
        self.0.lock().insert(digest, proven.clone());
        Ok(proven)
    }
}

impl Known {
    fn insert(&mut self, digest: Digest, proven: Proven) {
        if self.proven.insert(digest, proven).is_none() {
            self.order.push_back(digest);
        }
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.proven.remove(&oldest);
        }
    }
}

/// Certificates that are remembered.
const MAX_KNOWN: usize = 256;
/// Longer ones are checked each time; one without representations has 500 bytes.
const MAX_REMEMBERED: usize = 2048;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use netcom_identity::SecretKey;

    use super::*;

    #[test]
    fn a_certificate_is_checked_once_while_it_is_remembered_and_a_bad_one_each_time() {
        let known = KnownCertificates::default();
        let peer = SecretKey::from_bytes(&[1; 32]).public_key().peer_id();
        let checks = Cell::new(0);
        let look = |certificate: &[u8], is_good| {
            let found = known.find_or_verify(certificate, || {
                checks.set(checks.get() + 1);
                let proven = Proven { peer, representations: Vec::new(), process: 0 };
                if is_good { Ok(proven) } else { Err(CertificateError::SelfSignature) }
            });
            assert_eq!(found.is_ok(), is_good);
            checks.get()
        };
        assert_eq!(look(b"bad", false), 1);
        assert_eq!(look(b"bad", false), 2);
        assert_eq!(look(b"good", true), 3);
        assert_eq!(look(b"good", true), 3);
        let long = vec![1; MAX_REMEMBERED + 1];
        assert_eq!(look(&long, true), 4);
        assert_eq!(look(&long, true), 5);

        for other in 0..MAX_KNOWN as u32 {
            look(&other.to_be_bytes(), true);
        }
        assert_eq!(known.0.lock().proven.len(), MAX_KNOWN);
        assert_eq!(look(b"good", true), 5 + MAX_KNOWN as u32 + 1, "the oldest was forgotten");
    }
}
