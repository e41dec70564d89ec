//! The TLS handshake on a TCP connection, and what it leaves behind.

use std::{fmt, io, sync::Arc};

use bytes::{Buf, BytesMut};
use rustls::{
    AlertDescription, Error as RustlsError, Tls13CipherSuite,
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
};
use tokio::{io::Interest, net::TcpStream};

use crate::{
    certificate::{CertificateError, Proven},
    exporter::ExporterSecret,
    record::{self, MAX_RECORD, Opener, RecordError, Sealer},
    tls::{self, ALPN, EXPORTER_LABEL, PeerVerifier, TlsSettings},
};

/// Why a peer could not be authenticated.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection broke.
    #[error("the connection broke during the handshake: {0}")]
    Broken(Arc<io::Error>),
    /// The peer ended the connection.
    #[error("the peer ended the connection during the handshake")]
    Ended,
    /// The peer's certificate is not acceptable, or not the expected peer's.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The peer's security layer said no.
    #[error("the peer refused the handshake: {0}")]
    Denied(String),
    /// The peer broke the rules of TLS, or shares no algorithm with this side.
    #[error("the handshake failed: {0}")]
    Tls(String),
    /// The peer sent more than a handshake has.
    #[error("the peer's handshake is longer than {MAX_HANDSHAKE} bytes")]
    TooLong,
    /// It took too long.
    #[error("the handshake did not end in time")]
    Timeout,
    /// It had to make room for others.
    #[error("too many handshakes were under way")]
    Crowded,
}

/// An authenticated TCP connection.
pub(crate) struct Secured {
    pub(crate) stream: TcpStream,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    /// Records that came with the last ones of the handshake.
    pub(crate) received: BytesMut,
    pub(crate) exporter: [u8; 32],
    pub(crate) proven: Proven,
    pub(crate) group: String,
}

/// What a handshake leaves behind, but for the connection.
struct Keys {
    sealer: Sealer,
    opener: Opener,
    received: BytesMut,
    exporter: [u8; 32],
    proven: Proven,
    group: String,
}

impl Keys {
    fn secure(self, stream: TcpStream) -> Secured {
        let Self { sealer, opener, received, exporter, proven, group } = self;
        Secured { stream, sealer, opener, received, exporter, proven, group }
    }
}

/// Proves both sides to each other, as the one who dialled.
pub(crate) async fn dial(
    stream: TcpStream,
    settings: &TlsSettings,
    expected: netcom_identity::PeerId,
) -> Result<Secured, HandshakeError> {
    let (mut config, verifier) = settings.client(expected);
    let exporter = Arc::new(ExporterSecret::beside(Arc::clone(&config.key_log)));
    config.key_log = Arc::clone(&exporter) as Arc<_>;
    config.enable_secret_extraction = true;
    let connection = UnbufferedClientConnection::new(Arc::new(config), tls::server_name())
        .map_err(|error| HandshakeError::Tls(error.to_string()))?;
    let result = run(&stream, BytesMut::new(), connection, &verifier, &exporter).await;
    match result {
        Ok(keys) => Ok(keys.secure(stream)),
        Err(error) => {
            tokio::spawn(crate::tcp::end_quietly(stream));
            Err(error)
        }
    }
}

/// Proves both sides to each other, as the one who listens. `received` was read before.
pub(crate) async fn accept(
    stream: TcpStream,
    received: BytesMut,
    settings: &TlsSettings,
) -> Result<Secured, HandshakeError> {
    let (mut config, verifier) = settings.server();
    let exporter = Arc::new(ExporterSecret::beside(Arc::clone(&config.key_log)));
    config.key_log = Arc::clone(&exporter) as Arc<_>;
    config.enable_secret_extraction = true;
    let connection = UnbufferedServerConnection::new(Arc::new(config))
        .map_err(|error| HandshakeError::Tls(error.to_string()))?;
    let result = run(&stream, received, connection, &verifier, &exporter).await;
    match result {
        Ok(keys) => Ok(keys.secure(stream)),
        Err(error) => {
            // Here and not in a task of its own, so that a stranger keeps one place only.
            crate::tcp::end_quietly(stream).await;
            Err(error)
        }
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("peer", &self.proven.peer).finish_non_exhaustive()
    }
}

/// The two connection types of rustls, which share no trait.
trait Connection {
    fn step(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) -> (usize, Step);
    fn suite(&self) -> Option<&'static Tls13CipherSuite>;
    fn speaks_netcom(&self) -> bool;
    fn group(&self) -> String;
    fn into_records(self) -> Result<(Sealer, Opener), RecordError>;
}

/// What a handshake wants next.
enum Step {
    /// Call again.
    Again,
    /// Send what was written, then call again.
    Send,
    /// Hand in one more record.
    Receive,
    /// Both sides are proven.
    Done,
    /// It ended; an alert may wait to be sent.
    Failed(RustlsError),
}

macro_rules! connection {
    ($connection:ty, $into_records:path) => {
        impl Connection for $connection {
            fn step(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) -> (usize, Step) {
                interpret(self.process_tls_records(incoming), out)
            }

            fn suite(&self) -> Option<&'static Tls13CipherSuite> {
                self.negotiated_cipher_suite()?.tls13()
            }

            fn speaks_netcom(&self) -> bool {
                self.alpn_protocol() == Some(ALPN)
            }

            fn group(&self) -> String {
                let group = self.negotiated_key_exchange_group();
                group.map_or_else(String::new, |group| format!("{:?}", group.name()))
            }

            fn into_records(self) -> Result<(Sealer, Opener), RecordError> {
                $into_records(self)
            }
        }
    };
}

connection!(UnbufferedClientConnection, record::client);
connection!(UnbufferedServerConnection, record::server);

fn interpret<Side>(status: UnbufferedStatus<'_, '_, Side>, out: &mut Vec<u8>) -> (usize, Step) {
    let UnbufferedStatus { discard, state, .. } = status;
    let step = match state {
        Err(error) => Step::Failed(error),
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let start = out.len();
            let needed = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(size)) => size.required_size,
                _ => 0,
            };
            out.resize(start + needed, 0);
            let written = data.encode(&mut out[start..]).unwrap_or(0);
            out.truncate(start + written);
            Step::Again
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Send
        }
        Ok(ConnectionState::BlockedHandshake) => Step::Receive,
        Ok(ConnectionState::WriteTraffic(_)) => Step::Done,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
            Step::Failed(RustlsError::AlertReceived(AlertDescription::CloseNotify))
        }
        Ok(_) => Step::Failed(RustlsError::General("data before the handshake's end".into())),
    };
    (discard, step)
}

async fn run<C: Connection>(
    stream: &TcpStream,
    mut received: BytesMut,
    mut connection: C,
    verifier: &PeerVerifier,
    exporter: &ExporterSecret,
) -> Result<Keys, HandshakeError> {
    let mut out = Vec::new();
    // Only whole records are handed in, one more at a time, so that what follows the handshake's
    // last record stays untouched. A message may span several, which then stay in the window.
    let mut window = 0;
    let mut total = 0;
    loop {
        let (discard, step) = connection.step(&mut received[..window], &mut out);
        received.advance(discard);
        window -= discard;
        match step {
            Step::Again => {}
            Step::Send => send(stream, &mut out).await.map_err(broken)?,
            Step::Receive => {
                let length = next_record(stream, &mut received, window).await?;
                window += length;
                total += length;
                if total > MAX_HANDSHAKE {
                    return Err(HandshakeError::TooLong);
                }
            }
            Step::Done => break,
            Step::Failed(error) => {
                // Once more writes the alert, if there is one.
                connection.step(&mut received[..window], &mut out);
                // The alert is a courtesy; the handshake failed whether or not it arrives.
                let _ = send(stream, &mut out).await;
                return Err(explain(error, verifier));
            }
        }
    }
    if !connection.speaks_netcom() {
        // A peer may leave the extension out, and TLS goes on without it.
        return Err(HandshakeError::Tls(NO_PROTOCOL.into()));
    }
    let exporter = connection.suite().and_then(|suite| exporter.export(EXPORTER_LABEL, suite));
    let no_exporter = || HandshakeError::Tls("the connection exports no secret".into());
    let exporter = exporter.ok_or_else(no_exporter)?;
    let group = connection.group();
    let proven = match verifier.verdict() {
        Some(Ok(proven)) => proven,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(HandshakeError::Tls("the peer sent no certificate".into())),
    };
    let records = connection.into_records();
    let (sealer, opener) = records.map_err(|error| HandshakeError::Tls(error.to_string()))?;
    Ok(Keys { sealer, opener, received, exporter, proven, group })
}

/// Reads until a whole record follows the first `window` bytes, and tells its length.
async fn next_record(
    stream: &TcpStream,
    received: &mut BytesMut,
    window: usize,
) -> Result<usize, HandshakeError> {
    loop {
        let found = record::record_length(&received[window..]);
        if let Some(length) = found.map_err(|error| HandshakeError::Tls(error.to_string()))? {
            return Ok(length);
        }
        // One record at most is missing, so the buffer stays bounded.
        received.reserve(MAX_RECORD);
        stream.readable().await.map_err(broken)?;
        match stream.try_read_buf(received) {
            Ok(0) => return Err(HandshakeError::Ended),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
    }
}

/// Writes all of `out` and empties it.
pub(crate) async fn send(stream: &TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    while sent < out.len() {
        stream.ready(Interest::WRITABLE).await?;
        match stream.try_write(&out[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    out.clear();
    Ok(())
}

fn explain(error: RustlsError, verifier: &PeerVerifier) -> HandshakeError {
    if let Some(Err(error)) = verifier.verdict() {
        return error.into();
    }
    match error {
        RustlsError::AlertReceived(AlertDescription::CloseNotify) => HandshakeError::Ended,
        RustlsError::AlertReceived(alert) => HandshakeError::Denied(alert_name(alert)),
        error => HandshakeError::Tls(error.to_string()),
    }
}

/// The alert's name as the standard writes it, for people.
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn broken(error: io::Error) -> HandshakeError {
    HandshakeError::Broken(Arc::new(error))
}

/// What is said of a peer that speaks TLS, but not for us.
pub(crate) const NO_PROTOCOL: &str = "the peer does not speak netcom/1";
/// The most bytes a peer may send before it is authenticated.
const MAX_HANDSHAKE: usize = 48 * 1024;

pub(crate) mod fuzzing;
#[cfg(test)]
mod tests;
