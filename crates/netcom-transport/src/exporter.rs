//! The secret that names a link: TLS exporters,
//! [RFC 8446 section 7.5](https://www.rfc-editor.org/rfc/rfc8446#section-7.5).
//!
//! rustls exports on its buffered connections only. On the unbuffered ones its key log gives the
//! exporter's master secret, from which two steps by rustls' own HKDF lead to the same bytes.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use rustls::{KeyLog, Tls13CipherSuite, crypto::tls13::OkmBlock};

/// Keeps the exporter's master secret of one handshake, and nothing else a key log is told.
pub(crate) struct ExporterSecret {
    master: Mutex<Option<OkmBlock>>,
    /// Told the rest.
    other: Arc<dyn KeyLog>,
}

impl ExporterSecret {
    /// Stands in the place of another log, which is told the rest.
    pub(crate) fn beside(other: Arc<dyn KeyLog>) -> Self {
        Self { master: Mutex::new(None), other }
    }

    /// Exports 32 bytes under `label`, without a context; `None` before the handshake's end.
    pub(crate) fn export(&self, label: &[u8], suite: &Tls13CipherSuite) -> Option<[u8; 32]> {
        let master = self.master.lock();
        let empty = suite.common.hash_provider.start().finish();
        let hkdf = suite.hkdf_provider;

        let expander = hkdf.expander_for_okm(master.as_ref()?);
        let mut secret = [0; 64];
        let secret = secret.get_mut(..expander.hash_len())?;
        expand(&*expander, label, empty.as_ref(), secret)?;

        let expander = hkdf.expander_for_okm(&OkmBlock::new(secret));
        let mut exported = [0; 32];
        expand(&*expander, b"exporter", empty.as_ref(), &mut exported)?;
        Some(exported)
    }
}

impl KeyLog for ExporterSecret {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER {
            *self.master.lock() = Some(OkmBlock::new(secret));
        } else {
            self.other.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER || self.other.will_log(label)
    }
}

impl fmt::Debug for ExporterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExporterSecret(..)")
    }
}

/// How a key log is told that secret.
const EXPORTER: &str = "EXPORTER_SECRET";

/// `HKDF-Expand-Label`, [RFC 8446 section 7.1](https://www.rfc-editor.org/rfc/rfc8446#section-7.1).
fn expand(
    expander: &dyn rustls::crypto::tls13::HkdfExpander,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_length = u8::try_from(PREFIX.len().checked_add(label.len())?).ok()?;
    let context_length = u8::try_from(context.len()).ok()?;
    let info: [&[u8]; 6] = [&length, &[label_length], PREFIX, label, &[context_length], context];
    expander.expand_slice(&info, out).ok()
}
