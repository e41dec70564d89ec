//! What a node serves: named protocols, each with its rule of access and its handler.

mod dispatch;
mod handler;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use netcom_identity::{NetId, PeerId, Service as ServiceName, ServiceError};
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::{access::Access, stream::XStream};

pub use self::handler::{HandlerError, Request};

/// Who the other side is, as proven by the link before a byte of an application travelled: its
/// PeerId by the handshake's signature, its entities by proofs of representation that are bound to
/// that PeerId.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visitor {
    peer: PeerId,
    netids: Vec<NetId>,
}

/// Another name of [`Visitor`]: what both sides prove to each other.
pub type XAuth = Visitor;

/// A protocol that a node serves: a name, versions, a rule of access, a handler.
///
/// Streams reach it as `name/version`. Who the rule does not admit is denied before the handler
/// runs; a handler that fails or panics reports to its caller and harms nobody else.
#[derive(Clone)]
pub struct Service {
    name: ServiceName,
    access: Access,
    handler: Handler,
    max_body: usize,
}

/// Withdraws a service; dropping the handle leaves the service as it is.
#[derive(Clone, Debug)]
pub struct ServiceHandle {
    services: Arc<Services>,
    name: String,
}

/// Why a service cannot be served.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Its name or versions cannot be announced.
    #[error(transparent)]
    Name(#[from] ServiceError),
    /// Withdraw the service of that name first.
    #[error("a service named {0} is served already")]
    Taken(String),
    /// Withdraw services that are not needed.
    #[error("a node serves at most {0} services")]
    TooMany(usize),
}

/// All services of a node.
pub(crate) struct Services {
    own: Vec<NetId>,
    access: RwLock<Access>,
    /// By `name/version`.
    protocols: RwLock<BTreeMap<Bytes, Arc<Service>>>,
    requests: RwLock<Option<RequestHandler>>,
    /// One for each handler that runs.
    permits: Arc<Semaphore>,
}

pub(crate) type RequestHandler =
    Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Bytes, HandlerError>> + Send + Sync>;
pub(crate) type StreamHandler = Arc<
    dyn Fn(XStream, Arc<Visitor>) -> BoxFuture<'static, Result<(), HandlerError>> + Send + Sync,
>;

#[derive(Clone)]
enum Handler {
    Requests(RequestHandler),
    Streams(StreamHandler),
}

impl Visitor {
    pub(crate) fn new(peer: PeerId, netids: Vec<NetId>) -> Self {
        Self { peer, netids }
    }

    /// The node.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The entities it was proven to speak for.
    #[must_use]
    pub fn netids(&self) -> &[NetId] {
        &self.netids
    }
}

impl Service {
    /// Serves streams. The handler ends them; one it drops unfinished is reset.
    ///
    /// # Errors
    /// The name or a version is empty, too long or not printable.
    pub fn streams<V, F, Fut>(
        name: impl Into<String>,
        versions: impl IntoIterator<Item = V>,
        handler: F,
    ) -> Result<Self, ServeError>
    where
        V: Into<String>,
        F: Fn(XStream, Arc<Visitor>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let handler: StreamHandler =
            Arc::new(move |stream, visitor| Box::pin(handler(stream, visitor)));
        Self::new(name, versions, Handler::Streams(handler))
    }

    /// Serves requests.
    ///
    /// # Errors
    /// The name or a version is empty, too long or not printable.
    pub fn requests<V, F, Fut>(
        name: impl Into<String>,
        versions: impl IntoIterator<Item = V>,
        handler: F,
    ) -> Result<Self, ServeError>
    where
        V: Into<String>,
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, HandlerError>> + Send + 'static,
    {
        Self::new(name, versions, Handler::Requests(handler::boxed(handler)))
    }

    fn new<V: Into<String>>(
        name: impl Into<String>,
        versions: impl IntoIterator<Item = V>,
        handler: Handler,
    ) -> Result<Self, ServeError> {
        let name = ServiceName::new(name, versions)?;
        Ok(Self { name, access: Access::everyone(), handler, max_body: DEFAULT_MAX_BODY })
    }

    /// Sets who may use the service, among those the node admits. Default: everyone.
    #[must_use]
    pub fn access(mut self, access: impl Into<Access>) -> Self {
        self.access = access.into();
        self
    }

    /// Sets how long a request may be. Default: 16 MiB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The name and the versions.
    #[must_use]
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    fn protocols(&self) -> impl Iterator<Item = Bytes> + '_ {
        let name = self.name.name();
        self.name.versions().iter().map(move |version| Bytes::from(format!("{name}/{version}")))
    }
}

impl ServiceHandle {
    /// Serves no new streams of it. Handlers that run go on.
    pub fn withdraw(&self) {
        self.services.withdraw(&self.name);
    }
}

impl Services {
    /// Serves nothing yet. `own` are the entities the node speaks for.
    pub(crate) fn new(own: Vec<NetId>) -> Arc<Self> {
        Arc::new(Self {
            own,
            access: RwLock::new(Access::everyone()),
            protocols: RwLock::default(),
            requests: RwLock::default(),
            permits: Arc::new(Semaphore::new(MAX_HANDLERS)),
        })
    }

    /// Sets who may use the node at all.
    pub(crate) fn set_access(&self, access: Access) {
        *self.access.write() = access;
    }

    /// Who may use the node at all.
    pub(crate) fn access(&self) -> Access {
        self.access.read().clone()
    }

    /// Sets the handler of requests that name no service, in place of the one before.
    pub(crate) fn on_request<F, Fut>(&self, handler: F)
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, HandlerError>> + Send + 'static,
    {
        *self.requests.write() = Some(handler::boxed(handler));
    }

    /// Serves one more service.
    pub(crate) fn serve(self: &Arc<Self>, service: Service) -> Result<ServiceHandle, ServeError> {
        let name = service.name.name().to_owned();
        let service = Arc::new(service);
        let mut protocols = self.protocols.write();
        if service.protocols().any(|protocol| protocols.contains_key(&protocol)) {
            return Err(ServeError::Taken(name));
        }
        if protocols.len() >= MAX_PROTOCOLS {
            return Err(ServeError::TooMany(MAX_PROTOCOLS));
        }
        for protocol in service.protocols() {
            protocols.insert(protocol, Arc::clone(&service));
        }
        drop(protocols);
        Ok(ServiceHandle { services: Arc::clone(self), name })
    }

    /// The services by name, for the node's record.
    pub(crate) fn advertised(&self) -> Vec<ServiceName> {
        let mut names: Vec<_> =
            self.protocols.read().values().map(|service| service.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn withdraw(&self, name: &str) {
        self.protocols.write().retain(|_, service| service.name.name() != name);
    }

    fn admits(&self, access: &Access, visitor: &Visitor) -> bool {
        access.admits(&visitor.peer, &visitor.netids, &self.own)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("own", &self.own).finish_non_exhaustive()
    }
}

/// Handlers that may run at once.
const MAX_HANDLERS: usize = 16_384;
/// Handlers that may run at once for one session.
const MAX_HANDLERS_PER_SESSION: usize = 4096;
/// Protocols a node may serve.
const MAX_PROTOCOLS: usize = 256;
/// The longest request, unless the service says otherwise.
const DEFAULT_MAX_BODY: usize = 16 << 20;
/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);
