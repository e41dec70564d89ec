//! The node: one running endpoint, named by its PeerId.

mod builder;
mod candidates;
mod connect;
mod discover;
mod explain;
mod handle;
mod hooks;
mod incoming;
mod names;
mod needs;
mod peers;
mod proofs;
mod publish;
mod reach;
mod redial;
mod roam;
mod search;
mod shared;
#[cfg(test)]
mod tests;
mod ways;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use netcom_discovery::{Named, Scope};
use netcom_identity::{
    DirectorySuffixes, Multiaddr, NetId, PeerId, Representation, Role, Target, Ticket,
};

pub use self::{
    builder::NodeBuilder,
    connect::ConnectBuilder,
    discover::NodeInfo,
    explain::{DialOutcome, Explanation, SourceAnswer},
    incoming::Incoming,
};
pub(crate) use self::{handle::Handle, shared::Shared};
use crate::{
    access::Access,
    commander::Commander,
    connection::Connection,
    error::{ConnectError, CreateError, DiscoverError, ListenError},
    event_log::{EventLog, EventLogConfig, EventLogError},
    events::{Events, NodeEvent},
    metrics::{MetricsConfig, MetricsError},
    service::{HandlerError, Request, ServeError, Service, ServiceHandle},
};

/// A running endpoint: it listens, makes itself known, finds others and connects to them.
///
/// Clones are the same node. When the last one is dropped the node closes in the background; await
/// [`close`](Self::close) to know when that is done.
///
/// ```
/// use netcom::Node;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let quiet = || Node::builder().discovery(netcom::Scope::Off);
/// # let (builder, other) = (quiet(), quiet());
/// let server = builder.build().await?;
/// server.on_request(|request| async move { Ok(request.into_body()) });
///
/// let client = other.build().await?;
/// let connection = client.connect(server.ticket()).await?;
/// assert_eq!(connection.request("hello").await?, "hello");
/// # client.close().await;
/// # server.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    handle: Arc<Handle>,
}

/// Another name of [`Node`].
pub type NetworkNode = Node;

impl Node {
    /// Makes a node under a fresh key, which listens and is found as far as `NETCOM_DISCOVERY`
    /// says: `off`, `host`, `lan` (the default) or `global`. Nothing is written to disk. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`CreateError`] if that variable is no scope, or no address can be listened at.
    pub async fn create() -> Result<Self, CreateError> {
        Self::builder().build().await
    }

    /// A node to be described first.
    #[must_use]
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// The node's name.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared().peer
    }

    /// The entity the node speaks for; the first, if there are several.
    #[must_use]
    pub fn netid(&self) -> Option<NetId> {
        self.netids().first().copied()
    }

    /// The entities the node speaks for.
    #[must_use]
    pub fn netids(&self) -> Vec<NetId> {
        self.shared().netids()
    }

    /// The proofs by which it does.
    #[must_use]
    pub fn representations(&self) -> Vec<Representation> {
        self.shared().shown.read().clone()
    }

    /// What the node is there for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared().role
    }

    /// How far the node looks and shows itself.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.shared().scope
    }

    /// Where others reach the node; each address ends in `/p2p` and its PeerId. Addresses of this
    /// machine alone are left out where there are others.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.shared().addresses()
    }

    /// Where the node listens, as it was told to, with the ports it got.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.shared().transport.listen_addresses()
    }

    /// Leads others to this node without a directory. It holds no secret.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "own addresses are few, distinct and complete")]
    pub fn ticket(&self) -> Ticket {
        let ticket = Ticket::new(self.peer_id(), self.addresses());
        let ticket = ticket.expect("own addresses are few, distinct and complete");
        match self.netid() {
            Some(netid) => ticket.with_netid(netid),
            None => ticket,
        }
    }

    /// Listens at one more address and returns it with the port it got.
    ///
    /// # Errors
    /// [`ListenError`] if the address cannot be had, or the node is a client.
    pub async fn listen(&self, address: Multiaddr) -> Result<Multiaddr, ListenError> {
        let shared = self.shared();
        if shared.role == Role::Client {
            return Err(ListenError::Client);
        }
        if !shared.is_running() {
            return Err(ListenError::Closed);
        }
        let address = shared.transport.listen(&address).await?;
        shared.events.tell(NodeEvent::Listening { address: address.clone() });
        shared.changed.notify_one();
        Ok(address)
    }

    /// Connects to whom the target names: an entity, a node, a ticket, an address, a petname.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ConnectError`] says who is at fault and what to do.
    pub async fn connect(&self, target: impl Into<Target>) -> Result<Connection, ConnectError> {
        self.connect_with(target).connect().await
    }

    /// Connects to any node of an entity: it is found, chosen, and proves that it speaks for the
    /// entity before a byte of the application is sent. Never to this node itself, also where it
    /// speaks for the entity. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectError`] says who is at fault and what to do.
    pub async fn connect_to_netid(&self, netid: NetId) -> Result<Connection, ConnectError> {
        self.connect(netid).await
    }

    /// Connects to one node. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectError`] says who is at fault and what to do.
    pub async fn connect_to_peer(&self, peer: PeerId) -> Result<Connection, ConnectError> {
        self.connect(peer).await
    }

    /// The suffixes whose names directories answer, for [`Target::parse`] to read texts as this
    /// node means them.
    #[must_use]
    pub fn directory_suffixes(&self) -> &DirectorySuffixes {
        self.shared().names.suffixes()
    }

    /// Whom a text or a name means, without connecting: a petname's entry, the key behind a
    /// domain or a name of a directory. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectError`] says what speaks against the name.
    pub async fn resolve(&self, target: impl Into<Target>) -> Result<Named, ConnectError> {
        self.shared().resolve_name(target.into()).await
    }

    /// Finds out whom a target means, who knows where that is, what comes of dialling each address,
    /// and which links a session with it has and why; connects for that, within about that time.
    /// What goes wrong is part of the answer. Cancel safe.
    pub async fn explain(&self, target: impl Into<Target>, within: Duration) -> Explanation {
        self.shared().explain(target.into(), within).await
    }

    /// A connection with options.
    pub fn connect_with(&self, target: impl Into<Target>) -> ConnectBuilder {
        ConnectBuilder::new(Arc::clone(&self.handle), target.into())
    }

    /// Where a node is, without connecting to it. Each address ends in `/p2p` and its PeerId.
    ///
    /// # Errors
    /// [`DiscoverError::NotFound`] says where was looked.
    pub async fn discover_peer_id(&self, peer: PeerId) -> Result<Vec<Multiaddr>, DiscoverError> {
        self.shared().discover_peer_id(peer).await
    }

    /// The other nodes of an entity, without connecting to them: those that prove by a signed
    /// record that they speak for it.
    ///
    /// # Errors
    /// [`DiscoverError::NotFound`] says where was looked.
    pub async fn discover_netid(
        &self,
        netid: NetId,
    ) -> Result<BTreeMap<PeerId, NodeInfo>, DiscoverError> {
        self.shared().discover_netid(netid).await
    }

    /// The connections that peers open.
    #[must_use]
    pub fn incoming(&self) -> Incoming {
        Incoming::new(self.shared())
    }

    /// Answers requests that name no service, in place of the handler before. Who fails or panics
    /// in it reports to its caller and harms nobody else.
    pub fn on_request<F, Fut>(&self, handler: F)
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, HandlerError>> + Send + 'static,
    {
        self.shared().services.on_request(handler);
    }

    /// Serves a protocol and says so in the node's record.
    ///
    /// # Errors
    /// [`ServeError`] if there is one of that name already.
    pub fn serve(&self, service: Service) -> Result<ServiceHandle, ServeError> {
        let served = self.shared().services.serve(service)?;
        self.shared().changed.notify_one();
        Ok(served)
    }

    /// Sets who may use the node at all; services narrow it further. Default: everyone.
    pub fn allow(&self, access: impl Into<Access>) {
        self.shared().services.set_access(access.into());
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared().events.listen()
    }

    /// What there is, to be looked at and closed.
    #[must_use]
    pub fn commander(&self) -> Commander {
        Commander::new(Arc::clone(&self.handle))
    }

    /// Gives the node's figures out at `http://ADDRESS/metrics`, in the text form that Prometheus
    /// reads, until the node closes. Returns the address with the port it got. No figure tells with
    /// whom the node speaks.
    ///
    /// # Errors
    /// [`MetricsError`] if the address cannot be had, or others reach it and nobody said they may.
    pub async fn serve_metrics(&self, config: MetricsConfig) -> Result<SocketAddr, MetricsError> {
        self.shared().serve_metrics(config).await
    }

    /// Writes what happens from now on into a file, one JSON object a line, until the node is
    /// closed. Opens the file at once. The node waits for no write: what the file cannot take is
    /// counted, in the log itself and in the metrics.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn log_events(&self, config: EventLogConfig) -> Result<EventLog, EventLogError> {
        self.shared().log_events(config)
    }

    /// Takes no new work: the node is published no more, and peers open no new streams. Returns
    /// when those there are have ended, or the time is up.
    pub async fn drain(&self, within: Duration) {
        self.shared().drain(within).await;
    }

    /// Closes the node for all its clones: it is published no more, what was finished arrives
    /// first, peers are told. Takes some seconds at most.
    pub async fn close(&self) {
        self.shared().close().await;
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }
}
