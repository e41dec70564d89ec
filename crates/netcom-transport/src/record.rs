//! TLS 1.3 records on our own buffers: opened in place, sealed with one copy.
//!
//! rustls makes the handshake and hands the traffic keys over (its interface for kernel TLS). Its
//! own record protection then opens records on our buffers; sealing them, which it does in a fresh
//! vector each, is done here with the same provider's ciphers, so that buffers are used again.
//! Both connection types of rustls copy each record into a fresh vector on the way in, and would
//! tie reading and writing to one lock; here the two directions are two values.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)
)]

use std::{fmt, sync::Arc};

use aws_lc_rs::aead;
use bytes::{Buf, BufMut as _, BytesMut};
use parking_lot::Mutex;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion,
    SupportedCipherSuite,
    client::{ClientConnectionData, UnbufferedClientConnection},
    crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, Nonce, make_tls13_aad},
    kernel::KernelConnection,
    server::{ServerConnectionData, UnbufferedServerConnection},
};

/// Protects what this side sends.
pub(crate) struct Sealer {
    encrypter: Encrypter,
    sequence: u64,
    /// Records after which the key is replaced.
    renew_after: u64,
    keys: Arc<Mutex<Keys>>,
}

/// A sending key.
struct Encrypter {
    key: aead::LessSafeKey,
    iv: Iv,
}

/// Opens what the peer sent.
pub(crate) struct Opener {
    decrypter: Box<dyn MessageDecrypter>,
    sequence: u64,
    /// Records without data since the last one with data.
    idle_records: u32,
    keys: Arc<Mutex<Keys>>,
}

/// What a record held.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Record {
    /// Bytes of the link.
    Data(BytesMut),
    /// Nothing for the link; read on.
    Nothing,
    /// The peer changed its key and asks for a change of ours.
    KeyUpdateRequested,
    /// The peer has said its last byte.
    CloseNotify,
}

/// Why a record could not be opened or made. The link is over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Not a TLS 1.3 record, or longer than allowed.
    #[error("the record's header breaks TLS 1.3")]
    Header,
    /// It was changed on the way, or is made of something else.
    #[error("the record cannot be decrypted")]
    Decrypt,
    /// A message that has no place after the handshake.
    #[error("an unexpected TLS message")]
    Unexpected,
    /// Too many records without data.
    #[error("too many records without data")]
    Idle,
    /// The peer's security layer ended the link.
    #[error("the peer sent the alert {0:?}")]
    Alert(AlertDescription),
    /// Our own side failed.
    #[error("the record cannot be protected")]
    Protect,
}

enum Keys {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// Takes the traffic keys over from a finished handshake of the dialer.
pub(crate) fn client(
    connection: UnbufferedClientConnection,
) -> Result<(Sealer, Opener), RecordError> {
    let (secrets, kernel) =
        connection.dangerous_into_kernel_connection().map_err(|_| RecordError::Protect)?;
    let suite = kernel.negotiated_cipher_suite();
    pair(suite, secrets, Keys::Client(kernel))
}

/// Takes the traffic keys over from a finished handshake of the listener.
pub(crate) fn server(
    connection: UnbufferedServerConnection,
) -> Result<(Sealer, Opener), RecordError> {
    let (secrets, kernel) =
        connection.dangerous_into_kernel_connection().map_err(|_| RecordError::Protect)?;
    let suite = kernel.negotiated_cipher_suite();
    pair(suite, secrets, Keys::Server(kernel))
}

fn pair(
    suite: SupportedCipherSuite,
    secrets: ExtractedSecrets,
    keys: Keys,
) -> Result<(Sealer, Opener), RecordError> {
    let keys = Arc::new(Mutex::new(keys));
    let (sent, secret) = secrets.tx;
    let sealer = Sealer {
        encrypter: Encrypter::new(secret)?,
        sequence: sent,
        renew_after: renew_after(suite),
        keys: Arc::clone(&keys),
    };
    let (received, secret) = secrets.rx;
    let decrypter = decrypter(suite, secret)?;
    Ok((sealer, Opener { decrypter, sequence: received, idle_records: 0, keys }))
}

impl Sealer {
    /// Appends one record of at most [`MAX_PLAINTEXT`] bytes of data, given in parts.
    pub(crate) fn seal(&mut self, parts: &[&[u8]], out: &mut BytesMut) -> Result<(), RecordError> {
        self.seal_as(ContentType::ApplicationData, parts, out)
    }

    /// Appends the record that says this side's last byte was sent.
    pub(crate) fn close_notify(&mut self, out: &mut BytesMut) -> Result<(), RecordError> {
        self.seal_as(ContentType::Alert, &[&[ALERT_WARNING, CLOSE_NOTIFY]], out)
    }

    /// Appends the record of a fatal alert.
    pub(crate) fn alert(
        &mut self,
        alert: AlertDescription,
        out: &mut BytesMut,
    ) -> Result<(), RecordError> {
        self.seal_as(ContentType::Alert, &[&[ALERT_FATAL, alert.into()]], out)
    }

    /// Whether the key has protected as many records as it should.
    pub(crate) fn needs_key_update(&self) -> bool {
        self.sequence >= self.renew_after
    }

    /// Changes the key and appends the record that tells the peer.
    pub(crate) fn update_key(&mut self, out: &mut BytesMut) -> Result<(), RecordError> {
        const UPDATE_NOT_REQUESTED: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];
        self.seal_as(ContentType::Handshake, &[&UPDATE_NOT_REQUESTED], out)?;
        let (sequence, secret) =
            self.keys.lock().update_sending().map_err(|_| RecordError::Protect)?;
        self.encrypter = Encrypter::new(secret)?;
        self.sequence = sequence;
        Ok(())
    }

    fn seal_as(
        &mut self,
        typ: ContentType,
        parts: &[&[u8]],
        out: &mut BytesMut,
    ) -> Result<(), RecordError> {
        // A nonce must never repeat; this is unreachable while keys are renewed in time.
        let next = self.sequence.checked_add(1).ok_or(RecordError::Protect)?;
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if length > MAX_PLAINTEXT {
            return Err(RecordError::Protect);
        }
        let start = out.len();
        let sealed = self.encrypter.seal(self.sequence, typ, parts, out);
        if sealed.is_err() {
            out.truncate(start);
        }
        self.sequence = next;
        sealed
    }
}

impl Encrypter {
    fn new(secret: ConnectionTrafficSecrets) -> Result<Self, RecordError> {
        let (algorithm, key, iv) = match secret {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, key, iv)
            }
            _ => return Err(RecordError::Protect),
        };
        let key = aead::UnboundKey::new(algorithm, key.as_ref());
        let key = aead::LessSafeKey::new(key.map_err(|_| RecordError::Protect)?);
        Ok(Self { key, iv })
    }

    /// Appends a record: a header that is authenticated too, and data and type encrypted with the
    /// nonce of the record's number,
    /// [RFC 8446 sections 5.2 and 5.3](https://www.rfc-editor.org/rfc/rfc8446#section-5.2).
    fn seal(
        &self,
        sequence: u64,
        typ: ContentType,
        parts: &[&[u8]],
        out: &mut BytesMut,
    ) -> Result<(), RecordError> {
        let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let body = length.saturating_add(SEAL_OVERHEAD);
        out.reserve(HEADER.saturating_add(body));
        // In TLS 1.3 the header is all of the additional data.
        let header = make_tls13_aad(body);
        out.put_slice(&header);
        let start = out.len();
        parts.iter().for_each(|part| out.put_slice(part));
        out.put_u8(typ.into());
        let plain = out.get_mut(start..).ok_or(RecordError::Protect)?;
        let nonce = aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, sequence).0);
        let tag = self.key.seal_in_place_separate_tag(nonce, aead::Aad::from(header), plain);
        out.put_slice(tag.map_err(|_| RecordError::Protect)?.as_ref());
        Ok(())
    }
}

impl Opener {
    /// Takes one record off the front of `buf`, decrypted in place; `None` while bytes of it are
    /// missing.
    pub(crate) fn open(&mut self, buf: &mut BytesMut) -> Result<Option<Record>, RecordError> {
        let Some(length) = record_length(buf)? else {
            return Ok(None);
        };
        if !buf.starts_with(&PROTECTED) {
            return Err(RecordError::Header);
        }
        let mut record = buf.split_to(length);
        let next = self.sequence.checked_add(1).ok_or(RecordError::Decrypt)?;
        record.advance(HEADER);
        let opaque = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            &mut record,
        );
        let opened = self.decrypter.decrypt(opaque, self.sequence);
        let opened = opened.map_err(|_| RecordError::Decrypt)?;
        self.sequence = next;
        let (typ, length) = (opened.typ, opened.payload.len());
        // The plaintext stands where the ciphertext stood.
        record.truncate(length);
        self.interpret(typ, record).map(Some)
    }

    fn interpret(&mut self, typ: ContentType, content: BytesMut) -> Result<Record, RecordError> {
        if typ == ContentType::ApplicationData && !content.is_empty() {
            self.idle_records = 0;
            return Ok(Record::Data(content));
        }
        self.idle_records = self.idle_records.saturating_add(1);
        if self.idle_records > MAX_IDLE_RECORDS {
            return Err(RecordError::Idle);
        }
        match (typ, content.as_ref()) {
            (ContentType::ApplicationData, _)
            | (ContentType::Alert, [ALERT_WARNING, USER_CANCELED]) => Ok(Record::Nothing),
            (ContentType::Alert, [_, CLOSE_NOTIFY]) => Ok(Record::CloseNotify),
            (ContentType::Alert, [_, alert]) => Err(RecordError::Alert((*alert).into())),
            (ContentType::Handshake, [KEY_UPDATE, 0, 0, 1, requested @ (0 | 1)]) => {
                self.follow_key_update()?;
                Ok(if *requested == 1 { Record::KeyUpdateRequested } else { Record::Nothing })
            }
            _ => Err(RecordError::Unexpected),
        }
    }

    fn follow_key_update(&mut self) -> Result<(), RecordError> {
        let mut keys = self.keys.lock();
        let suite = keys.suite();
        let (sequence, secret) = keys.update_receiving().map_err(|_| RecordError::Decrypt)?;
        self.decrypter = decrypter(suite, secret)?;
        self.sequence = sequence;
        Ok(())
    }
}

impl Keys {
    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(kernel) => kernel.negotiated_cipher_suite(),
            Self::Server(kernel) => kernel.negotiated_cipher_suite(),
        }
    }

    fn update_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        match self {
            Self::Client(kernel) => kernel.update_tx_secret(),
            Self::Server(kernel) => kernel.update_tx_secret(),
        }
    }

    fn update_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), rustls::Error> {
        match self {
            Self::Client(kernel) => kernel.update_rx_secret(),
            Self::Server(kernel) => kernel.update_rx_secret(),
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// The length of the first record of `buf` with its header, once all of it is there.
pub(crate) fn record_length(buf: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some(&[_, major, _, high, low]) = buf.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    if major != 3 || body > MAX_CIPHERTEXT {
        return Err(RecordError::Header);
    }
    let length = body.saturating_add(HEADER);
    Ok((buf.len() >= length).then_some(length))
}

fn decrypter(
    suite: SupportedCipherSuite,
    secret: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, RecordError> {
    let (key, iv) = key_and_iv(secret)?;
    Ok(suite.tls13().ok_or(RecordError::Protect)?.aead_alg.decrypter(key, iv))
}

fn key_and_iv(secret: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), RecordError> {
    match secret {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(RecordError::Protect),
    }
}

/// Half of what the suite allows, since the limit is a bound on an attacker's chance.
fn renew_after(suite: SupportedCipherSuite) -> u64 {
    let limit = suite.tls13().map_or(1 << 23, |suite| suite.common.confidentiality_limit);
    (limit / 2).min(1 << 40)
}

/// The most data in one record,
/// [RFC 8446 section 5.1](https://www.rfc-editor.org/rfc/rfc8446#section-5.1).
pub(crate) const MAX_PLAINTEXT: usize = 16_384;
/// The longest body of a record,
/// [RFC 8446 section 5.2](https://www.rfc-editor.org/rfc/rfc8446#section-5.2).
const MAX_CIPHERTEXT: usize = MAX_PLAINTEXT + 256;
/// The longest record.
pub(crate) const MAX_RECORD: usize = HEADER + MAX_CIPHERTEXT;
const HEADER: usize = 5;
/// What sealing adds to the data of a record: the type and the tag of all suites.
const SEAL_OVERHEAD: usize = 1 + 16;
/// The length of a record with so much data.
pub(crate) const fn sealed_len(data: usize) -> usize {
    data.saturating_add(HEADER + SEAL_OVERHEAD)
}
/// How every protected record begins,
/// [RFC 8446 section 5.2](https://www.rfc-editor.org/rfc/rfc8446#section-5.2).
const PROTECTED: [u8; 3] = [23, 3, 3];
const ALERT_WARNING: u8 = 1;
const ALERT_FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const KEY_UPDATE: u8 = 24;
/// Records without data that may follow each other, so that none spins for nothing.
const MAX_IDLE_RECORDS: u32 = 32;

pub(crate) mod fuzzing;
