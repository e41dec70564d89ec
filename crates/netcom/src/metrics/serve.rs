//! `GET /metrics` over HTTP/1.1, for whoever collects figures.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::page::page;
use crate::node::Shared;

/// Where a node's figures are given out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MetricsConfig {
    address: SocketAddr,
    is_open: bool,
}

/// Why a node's figures are not given out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// Other machines could read them, and nobody said that they may.
    #[error(
        "{address} is reached by other machines, which may not read the metrics: name a loopback \
         address, or say that they may"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be had. If the port is taken, name another one, or 0.
    #[error("metrics cannot be given out at {address}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The node is closed.
    #[error("the node is closed")]
    Closed,
}

impl MetricsConfig {
    /// Gives them out at an address of this machine alone; port 0 means a free one.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, is_open: false }
    }

    /// Sets whether the address may be one that other machines reach: whoever does then learns how
    /// busy the node is, not with whom. Default: no.
    #[must_use]
    pub fn open(mut self, is_open: bool) -> Self {
        self.is_open = is_open;
        self
    }
}

impl MetricsError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "metrics_open",
            Self::Socket { .. } => "metrics_socket",
            Self::Closed => "closed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open { address } => Some(format!("127.0.0.1:{}", address.port())),
            Self::Socket { address, .. } => Some(format!("{}:0", address.ip())),
            Self::Closed => None,
        }
    }
}

impl Shared {
    /// Gives the figures out until the node closes. Returns the address with its port.
    pub(crate) async fn serve_metrics(
        self: &Arc<Self>,
        config: MetricsConfig,
    ) -> Result<SocketAddr, MetricsError> {
        let MetricsConfig { address, is_open } = config;
        if !address.ip().is_loopback() && !is_open {
            return Err(MetricsError::Open { address });
        }
        if self.is_closing() {
            return Err(MetricsError::Closed);
        }
        let failed = |source| MetricsError::Socket { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        self.runtime.spawn(serve(Arc::clone(self), listener));
        Ok(bound)
    }
}

async fn serve(node: Arc<Shared>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(MAX_READERS));
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = node.closing() => return,
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            if timeout(TURN, converse(node, stream)).await.is_err() {
                tracing::debug!("A reader of metrics was too slow");
            }
            drop(place);
        });
    }
}

/// The next client, once there is room for it; more wait in the socket's queue.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::debug!(%error, "The socket of the metrics does not accept");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(node: Arc<Shared>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let node = Arc::clone(&node);
        async move { Ok::<_, Infallible>(answer(&node, &request).await) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "A reader of metrics went away");
    }
}

async fn answer(node: &Arc<Shared>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return said(StatusCode::NOT_FOUND, "the metrics are at /metrics\n".into());
    }
    if request.method() != Method::GET {
        let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".into());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    let node = Arc::clone(node);
    // Asks each session, of which there may be thousands.
    match tokio::task::spawn_blocking(move || page(&node)).await {
        Ok(page) => said(StatusCode::OK, page),
        Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "the node failed\n".into()),
    }
}

fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

const PATH: &str = "/metrics";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Clients answered at once.
const MAX_READERS: usize = 8;
/// A request's head has at most this many bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long a request's head may take.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a whole conversation may take.
const TURN: Duration = Duration::from_secs(20);
/// A pause after an error that may be a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
