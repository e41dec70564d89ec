//! QUIC: endpoints that dial and listen on one socket.

mod bursts;
mod congestion;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use netcom_identity::PeerId;
use parking_lot::Mutex;
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, Runtime as _, ServerConfig,
    TokioRuntime, TransportConfig, ValidationTokenConfig, VarInt,
    crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{task::JoinSet, time};

use self::{bursts::BurstSocket, congestion::TolerantCubicConfig};
use crate::{
    address::{self, Endpoint as Address},
    admission::Slot,
    certificate::IssueError,
    driver::quic::{QuicLink, alert},
    handshake::{HandshakeError, NO_PROTOCOL},
    link::{Carrier, Facts, Link},
    tls::{ALPN, EXPORTER_LABEL, PeerVerifier, SERVER_NAME, TlsSettings},
    transport::{HandshakeLimits, Shared},
};

/// The UDP sockets of a transport.
#[derive(Debug)]
pub(crate) struct Endpoints {
    server: ServerConfig,
    dialer: Arc<TransportConfig>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    listening: Vec<Bound>,
    /// For dialling where no listening socket of that family fits; opened on demand.
    dialing: [Option<Bound>; 2],
    /// The machine's addresses, once they have changed.
    present: Option<BTreeSet<IpAddr>>,
}

/// An endpoint and its socket.
#[derive(Clone, Debug)]
struct Bound {
    endpoint: Endpoint,
    socket: Arc<BurstSocket>,
}

impl Endpoints {
    pub(crate) fn new(tls: &TlsSettings, limits: &HandshakeLimits) -> Result<Self, IssueError> {
        let crypto = server_crypto(tls).map_err(|error| IssueError::Generate(error.to_string()))?;
        let mut server = ServerConfig::with_crypto(crypto.0);
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0);
        server
            .transport_config(Arc::new(transport_config(limits, 1)))
            .validation_token_config(tokens)
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFERS);
        let dialer = Arc::new(transport_config(limits, 0));
        Ok(Self { server, dialer, open: Mutex::new(Open::default()) })
    }

    /// Opens a socket that listens, and from which this transport dials from now on.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<(Endpoint, SocketAddr)> {
        let bound = open(address, Some(self.server.clone()))?;
        let (endpoint, local) = (bound.endpoint.clone(), bound.endpoint.local_addr()?);
        self.open.lock().listening.push(bound);
        Ok((endpoint, local))
    }

    /// Takes no further connections on a socket. Links on it live on.
    pub(crate) fn unlisten(&self, endpoint: &Endpoint) {
        endpoint.set_server_config(None);
        let local = endpoint.local_addr().ok();
        self.open.lock().listening.retain(|other| other.local_addr() != local);
    }

    /// Learns which addresses the machine has now. Where one is gone, links of sockets that are
    /// bound to none go on from another: quinn takes another connection id, which its peer has for
    /// that (RFC 9000, section 9.5), and sends a packet, from which the peer learns where to.
    pub(crate) fn addresses_changed(&self, present: &BTreeSet<IpAddr>, is_any_gone: bool) {
        let mut open = self.open.lock();
        open.present = Some(present.clone());
        let bound = open.listening.iter().chain(open.dialing.iter().flatten());
        for Bound { endpoint, socket } in bound.filter(|bound| is_any_gone && bound.is_free()) {
            // The same socket: the kernel chooses an address for each packet.
            if let Err(error) = endpoint.rebind_abstract(Arc::clone(socket) as _) {
                tracing::debug!(%error, "QUIC links stay where they were");
            }
        }
    }

    /// Closes all sockets when their links have ended, or after `patience`. Forgets them at once.
    pub(crate) fn close(&self, patience: Duration) -> impl Future<Output = ()> + Send + use<> {
        let Open { listening, dialing, .. } = std::mem::take(&mut *self.open.lock());
        async move {
            let bound = listening.into_iter().chain(dialing.into_iter().flatten());
            let endpoints: Vec<Endpoint> = bound.map(|bound| bound.endpoint).collect();
            let idle = endpoints.iter().map(|endpoint| {
                endpoint.set_server_config(None);
                endpoint.wait_idle()
            });
            if time::timeout(patience, join_all(idle)).await.is_err() {
                tracing::debug!("QUIC links outlive their transport");
            }
        }
    }

    fn for_dialing(&self, remote: SocketAddr) -> io::Result<Endpoint> {
        let mut open = self.open.lock();
        let is_there = |local: SocketAddr| {
            let ip = local.ip();
            let is_own = open.present.as_ref().is_none_or(|present| present.contains(&ip));
            is_own || ip.is_unspecified() || ip.is_loopback()
        };
        let fits = |bound: &&Bound| {
            bound.local_addr().is_some_and(|local| reaches(local, remote) && is_there(local))
        };
        if let Some(bound) = open.listening.iter().find(fits) {
            return Ok(bound.endpoint.clone());
        }
        let dialing = &mut open.dialing[usize::from(remote.is_ipv6())];
        if let Some(bound) = dialing {
            return Ok(bound.endpoint.clone());
        }
        let bound = self::open(address::unspecified(remote.is_ipv4()), None)?;
        let endpoint = bound.endpoint.clone();
        *dialing = Some(bound);
        Ok(endpoint)
    }
}

impl Bound {
    fn local_addr(&self) -> Option<SocketAddr> {
        self.endpoint.local_addr().ok()
    }

    /// Whether the kernel chooses from which address its packets go.
    fn is_free(&self) -> bool {
        self.local_addr().is_some_and(|local| local.ip().is_unspecified())
    }
}

/// Accepts until the endpoint closes. Handshakes under way end with this future.
pub(crate) async fn serve(endpoint: Endpoint, shared: Arc<Shared>) {
    let mut handshakes = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(_) = handshakes.join_next() => continue,
        };
        let Some(incoming) = incoming else { return };
        let is_crowded = shared.admission.len() >= shared.limits.retry_above;
        if is_crowded && !incoming.remote_address_validated() {
            shared.counters.count_retry();
            // An address that is proven now costs a place; an unproven one costs nothing.
            let _ = incoming.retry();
            continue;
        }
        let local = endpoint.local_addr();
        handshakes.spawn(receive(incoming, local, Arc::clone(&shared)));
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
    let endpoint = shared.quic.for_dialing(remote).map_err(broken)?;
    let local = endpoint.local_addr().map_err(broken)?;
    let (config, verifier) = shared.tls.client(expected);
    let crypto = QuicClientConfig::try_from(config)
        .map_err(|error| HandshakeError::Tls(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::clone(&shared.quic.dialer));
    let connecting = endpoint
        .connect_with(config, remote, SERVER_NAME)
        .map_err(|error| broken(io::Error::new(io::ErrorKind::AddrNotAvailable, error)))?;
    let connection = connecting.await.map_err(|error| explain(&error, &verifier))?;
    link(connection, Ends { local, remote, is_dialer: true, began }, &verifier, shared, None)
}

async fn receive(incoming: Incoming, local: io::Result<SocketAddr>, shared: Arc<Shared>) {
    let began = Instant::now();
    let remote = incoming.remote_address();
    let slot = shared.admission.admit(remote.ip());
    let work = time::timeout(shared.limits.handshake, authenticate(incoming, &shared));
    let result = tokio::select! {
        result = work => result.unwrap_or(Err(HandshakeError::Timeout)),
        () = slot.evicted() => Err(HandshakeError::Crowded),
    };
    let result = result.and_then(|(connection, verifier)| {
        let local = local.map_err(|error| HandshakeError::Broken(Arc::new(error)))?;
        let ends = Ends { local, remote, is_dialer: false, began };
        link(connection, ends, &verifier, &shared, Some(slot))
    });
    match result {
        Ok(link) => shared.deliver(link).await,
        Err(error) => shared.note_failed_handshake(remote, &error),
    }
}

async fn authenticate(
    incoming: Incoming,
    shared: &Shared,
) -> Result<(Connection, Arc<PeerVerifier>), HandshakeError> {
    let (crypto, verifier) =
        server_crypto(&shared.tls).map_err(|error| HandshakeError::Tls(error.to_string()))?;
    let mut config = shared.quic.server.clone();
    config.crypto = crypto;
    let connecting =
        incoming.accept_with(Arc::new(config)).map_err(|error| explain(&error, &verifier))?;
    let connection = connecting.await.map_err(|error| explain(&error, &verifier))?;
    Ok((connection, verifier))
}

#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
    is_dialer: bool,
    began: Instant,
}

fn link(
    connection: Connection,
    ends: Ends,
    verifier: &PeerVerifier,
    shared: &Shared,
    slot: Option<Slot>,
) -> Result<Link, HandshakeError> {
    let proven = match verifier.verdict() {
        Some(Ok(proven)) => proven,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(HandshakeError::Tls("the peer sent no certificate".into())),
    };
    let chosen = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    if chosen.and_then(|data| data.protocol).as_deref() != Some(ALPN) {
        return Err(HandshakeError::Tls(NO_PROTOCOL.into()));
    }
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, &[])
        .map_err(|_| HandshakeError::Tls("the connection exports no secret".into()))?;
    let local_ip = connection.local_ip().unwrap_or(ends.local.ip());
    let facts = Facts {
        is_dialer: ends.is_dialer,
        local: Address::Quic(SocketAddr::new(local_ip, ends.local.port())).to_multiaddr(),
        remote: Address::Quic(ends.remote).to_multiaddr(),
        exporter,
        proven,
        began: ends.began,
        authenticated: Instant::now(),
    };
    let carrier = Carrier::Quic(Box::new(QuicLink::new(connection, ends.is_dialer)));
    Ok(Link::new(facts, carrier, Arc::clone(&shared.counters), slot))
}

fn explain(error: &ConnectionError, verifier: &PeerVerifier) -> HandshakeError {
    if let Some(Err(error)) = verifier.verdict() {
        return error.into();
    }
    match error {
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
            Some(alert) => HandshakeError::Denied(alert),
            None => HandshakeError::Tls(close.to_string()),
        },
        ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => HandshakeError::Ended,
        ConnectionError::TimedOut => HandshakeError::Timeout,
        other => HandshakeError::Tls(other.to_string()),
    }
}

fn server_crypto(
    tls: &TlsSettings,
) -> Result<(Arc<QuicServerConfig>, Arc<PeerVerifier>), quinn::crypto::rustls::NoInitialCipherSuite>
{
    let (config, verifier) = tls.server();
    Ok((Arc::new(QuicServerConfig::try_from(config)?), verifier))
}

fn transport_config(limits: &HandshakeLimits, bidirectional: u32) -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = VarInt::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(VarInt::MAX);
    config
        .max_concurrent_bidi_streams(bidirectional.into())
        .max_concurrent_uni_streams(MAX_LANES.into())
        .stream_receive_window(WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .max_idle_timeout(Some(idle.into()))
        .keep_alive_interval(limits.quic_keep_alive)
        .congestion_controller_factory(Arc::new(TolerantCubicConfig::default()));
    config
}

fn open(address: SocketAddr, server: Option<ServerConfig>) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel gives less where it is told to; then a burst loses packets, which are repeated.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = BurstSocket::new(TokioRuntime.wrap_udp_socket(socket.into())?);
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    let endpoint =
        Endpoint::new_with_abstract_socket(config, server, Arc::clone(&socket) as _, runtime)?;
    Ok(Bound { endpoint, socket })
}

/// Whether packets from a socket bound to `local` get to `remote`.
fn reaches(local: SocketAddr, remote: SocketAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
        && (local.ip().is_unspecified() || local.ip().is_loopback() == remote.ip().is_loopback())
}

const MAX_LANES: u32 = 64;
/// The session's receive budget, so that only its own credit slows a sender.
const WINDOW: u32 = 64 * 1024 * 1024;
const DATAGRAM_BUFFER: usize = 64 * 1024;
const MAX_INCOMING: usize = 256;
const INCOMING_BUFFER: u64 = 64 * 1024;
const INCOMING_BUFFERS: u64 = 4 * 1024 * 1024;
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Silence after which a connection is taken for dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
