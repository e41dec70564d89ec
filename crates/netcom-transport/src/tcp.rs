//! TCP: the listener that tells native peers from others, and the dialer.

use std::{
    fs::File,
    io,
    net::{Shutdown, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use futures_util::FutureExt as _;
use netcom_identity::PeerId;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};

use crate::{
    address::Endpoint,
    driver::tcp::TcpLink,
    handshake::{self, HandshakeError, Secured},
    link::{Carrier, Facts, Link},
    transport::Shared,
};

/// What a stranger's first bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Language {
    /// A TLS record: a native peer.
    Tls,
    Http,
    Multistream,
    Other,
}

/// Opens a listening socket. IPv6 sockets take IPv6 only, so that both families can be listened
/// to on one port.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts for ever. Handshakes under way end with this future.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut handshakes = JoinSet::new();
    let mut reserve = Reserve::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = handshakes.join_next() => continue,
        };
        match accepted {
            Ok((stream, remote)) => {
                handshakes.spawn(receive(stream, remote, Arc::clone(&shared)));
            }
            Err(error) => {
                shared.counters.count_accept_error();
                tracing::debug!(%error, "A connection could not be accepted");
                if reserve.is_needed(&error) {
                    reserve.shed(&listener);
                    // Descriptors come free as others finish; trying faster burns a core.
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Connects and authenticates.
pub(crate) async fn dial(
    remote: SocketAddr,
    expected: PeerId,
    shared: &Shared,
) -> Result<Link, HandshakeError> {
    let began = Instant::now();
    let broken = |error| HandshakeError::Broken(Arc::new(error));
    let stream = TcpStream::connect(remote).await.map_err(broken)?;
    prepare(&stream).map_err(broken)?;
    let local = stream.local_addr().map_err(broken)?;
    let secured = handshake::dial(stream, &shared.tls, expected).await?;
    Ok(link(secured, Ends { local, remote, is_dialer: true, began }, shared, None))
}

/// Ends a connection that will carry nothing more, without unread bytes turning the end into a
/// reset: end of writing, then reading to the end or for a second.
pub(crate) async fn end_quietly(stream: TcpStream) {
    let drain = async {
        SockRef::from(&stream).shutdown(Shutdown::Write)?;
        let mut scratch = [0; 4096];
        let mut left = MAX_DRAINED;
        while left > 0 {
            stream.readable().await?;
            match stream.try_read(&mut scratch) {
                Ok(0) => break,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok::<(), io::Error>(())
    };
    let _ = time::timeout(DRAIN_TIMEOUT, drain).await;
}

/// Sends at once, and gives up a peer that acknowledges nothing for as long as QUIC would.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    SockRef::from(stream).set_tcp_user_timeout(Some(SILENCE_TIMEOUT))?;
    Ok(())
}

async fn receive(stream: TcpStream, remote: SocketAddr, shared: Arc<Shared>) {
    let began = Instant::now();
    let slot = shared.admission.admit(remote.ip());
    let work = time::timeout(shared.limits.handshake, authenticate(stream, &shared));
    let result = tokio::select! {
        result = work => result.unwrap_or(Err(HandshakeError::Timeout)),
        () = slot.evicted() => Err(HandshakeError::Crowded),
    };
    match result {
        Ok(None) => {}
        Ok(Some((secured, local))) => {
            let ends = Ends { local, remote, is_dialer: false, began };
            shared.deliver(link(secured, ends, &shared, Some(slot))).await;
        }
        Err(error) => shared.note_failed_handshake(remote, &error),
    }
}

async fn authenticate(
    stream: TcpStream,
    shared: &Shared,
) -> Result<Option<(Secured, SocketAddr)>, HandshakeError> {
    let broken = |error| HandshakeError::Broken(Arc::new(error));
    prepare(&stream).map_err(broken)?;
    let local = stream.local_addr().map_err(broken)?;
    let mut received = BytesMut::new();
    while received.is_empty() {
        stream.readable().await.map_err(broken)?;
        // Not before: who connects and says nothing costs no buffer.
        received.reserve(FIRST_READ);
        match stream.try_read_buf(&mut received) {
            Ok(0) => return Err(HandshakeError::Ended),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
    }
    let language = Language::of(&received);
    match language {
        Language::Tls => {
            let secured = handshake::accept(stream, received, &shared.tls).await?;
            return Ok(Some((secured, local)));
        }
        Language::Http => shared.counters.count_http(),
        Language::Multistream => shared.counters.count_multistream(),
        Language::Other => shared.counters.count_other(),
    }
    tracing::debug!(?language, "Connection speaks another protocol");
    end_quietly(stream).await;
    Ok(None)
}

#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
    is_dialer: bool,
    began: Instant,
}

fn link(
    secured: Secured,
    ends: Ends,
    shared: &Shared,
    slot: Option<crate::admission::Slot>,
) -> Link {
    tracing::debug!(group = secured.group, "TCP link authenticated");
    let facts = Facts {
        is_dialer: ends.is_dialer,
        local: Endpoint::Tcp(ends.local).to_multiaddr(),
        remote: Endpoint::Tcp(ends.remote).to_multiaddr(),
        exporter: secured.exporter,
        proven: secured.proven.clone(),
        began: ends.began,
        authenticated: Instant::now(),
    };
    let carrier = Carrier::Tcp(Box::new(TcpLink::new(secured)));
    Link::new(facts, carrier, Arc::clone(&shared.counters), slot)
}

impl Language {
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [TLS_HANDSHAKE, ..] => Self::Tls,
            [MULTISTREAM_LENGTH, b'/', ..] | [MULTISTREAM_LENGTH] => Self::Multistream,
            [b'A'..=b'Z', ..] => Self::Http,
            _ => Self::Other,
        }
    }
}

/// A file descriptor kept for the day there is none left: then it is given up to take one
/// connection off the queue and close it, so that its client learns at once.
struct Reserve(Option<File>);

impl Reserve {
    fn new() -> Self {
        let mut reserve = Self(None);
        reserve.refill();
        reserve
    }

    fn is_needed(&self, error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
            || matches!(error.kind(), io::ErrorKind::OutOfMemory)
    }

    fn shed(&mut self, listener: &TcpListener) {
        self.0 = None;
        // The connection is closed by being dropped.
        drop(listener.accept().now_or_never());
        self.refill();
    }

    fn refill(&mut self) {
        #[cfg(unix)]
        {
            self.0 = File::open("/dev/null").ok();
        }
    }
}

/// Connections the kernel holds for us.
const BACKLOG: i32 = 1024;
/// Silence towards unacknowledged data after which a connection is taken for dead; the kernel's
/// own patience is a quarter of an hour.
#[cfg(any(target_os = "android", target_os = "linux"))]
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const FIRST_READ: usize = 4096;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// What a refused client may still send before it is cut off.
const MAX_DRAINED: usize = 256 * 1024;
/// The first byte of a TLS handshake,
/// [RFC 8446 section 5.1](https://www.rfc-editor.org/rfc/rfc8446#section-5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// The length of `/multistream/1.0.0\n`, which comes first.
const MULTISTREAM_LENGTH: u8 = 0x13;
/// The same on every Unix.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_language() {
        assert_eq!(Language::of(&[0x16, 3, 1, 2, 0]), Language::Tls);
        assert_eq!(Language::of(b"GET / HTTP/1.1\r\n"), Language::Http);
        assert_eq!(Language::of(b"\x13/multistream/1.0.0\n"), Language::Multistream);
        assert_eq!(Language::of(b"\x00\x00\x00\x2a"), Language::Other);
        assert_eq!(Language::of(b"SSH-2.0"), Language::Http, "close enough to be refused");
    }
}
