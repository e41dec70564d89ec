//! Describing a node, and making it.

use std::{
    env,
    ffi::OsString,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use netcom_discovery::{
    Discovery, DiscoveryConfig, MdnsConfig, PetnameBook, Scope,
    names::{Directories, DottedName, Names},
};
use netcom_identity::{Metadata, Multiaddr, NetId, Representation, Role, SecretKey, Target};
use netcom_session::InstanceId;
use netcom_transport::{AddressWatch, SystemAddresses, Transport, TransportConfig};
use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime::Handle as Runtime,
    sync::{Notify, watch},
};

use super::{
    Node,
    handle::Handle,
    hooks::Hooks,
    incoming::Queue,
    names::NodeNames,
    peers::Peers,
    publish::Published,
    reach::Reach,
    roam::Moves,
    shared::{Shared, Stage},
};
use crate::{
    access::Access,
    clock::unix_now,
    config::{
        DataDirUse, LISTEN_EVERYWHERE, LISTEN_ON_LOOPBACK, Limits, Links, SCOPE_VARIABLE,
        default_memory, scope_of,
    },
    data_dir::{DataDir, DataDirLock},
    error::{CreateError, ListenError},
    events::{EventSender, NodeEvent},
    keys::{IdentityStore, Issuer, Passphrase, ProcessKeys, try_generate_key},
    metrics::Totals,
    service::Services,
    session::{Sessions, SessionsSpec},
};

/// A node to be made. What is not said is as in [`Node::create`].
///
/// ```
/// # use netcom::{Node, generate_key, Role};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let alice = generate_key();
/// let node = Node::builder()
///     .netid(alice.clone())
///     .role(Role::Server)
///     .discovery("off".parse()?)
///     .build()
///     .await?;
/// assert_eq!(node.netid(), Some(alice.net_id()));
/// # node.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct NodeBuilder {
    identity: Option<SecretKey>,
    netid: Option<SecretKey>,
    representations: Vec<Representation>,
    whom: Option<Target>,
    role: Role,
    listen: Vec<Multiaddr>,
    scope: Option<Scope>,
    data_dir: Option<PathBuf>,
    data_dir_use: DataDirUse,
    passphrase: Option<Passphrase>,
    limits: Limits,
    links: Links,
    key_log: bool,
    access: Option<Access>,
    metadata: Metadata,
    is_local: bool,
    is_cloud: bool,
    mdns: Option<MdnsConfig>,
    registry: Option<PathBuf>,
    names: Option<Names>,
    fixed_names: Vec<(DottedName, NetId)>,
    directories: Directories,
    watch: Option<Watch>,
}

impl NodeBuilder {
    /// Runs the node under this key. Two nodes that live at once must not share one. Default: a
    /// fresh key, or the one of the data directory.
    #[must_use]
    pub fn identity(mut self, key: SecretKey) -> Self {
        self.identity = Some(key);
        self
    }

    /// Lets the node speak for the entity of this key, and renews its proof. Default: nobody, or
    /// the identity of the data directory.
    #[must_use]
    pub fn netid(mut self, key: SecretKey) -> Self {
        self.netid = Some(key);
        self
    }

    /// Shows a proof that was issued elsewhere; repeatable. Needs [`identity`](Self::identity) or
    /// an exclusive data directory, since it names the node. Default: none.
    #[must_use]
    pub fn representation(mut self, proof: Representation) -> Self {
        self.representations.push(proof);
        self
    }

    /// Demands that the node speaks for whom is named, by the key or the proof of the data
    /// directory or whatever else was given: otherwise it is not made. Without a
    /// [`data_dir`](Self::data_dir), the user's own is taken if there is one. Default: no demand.
    #[must_use]
    pub fn speaks_for(mut self, whom: impl Into<Target>) -> Self {
        self.whom = Some(whom.into());
        self
    }

    /// Sets what the node is there for. A client publishes nothing and accepts no links. Default:
    /// [`Role::Peer`].
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Listens at an address; repeatable. Default: TCP and QUIC on all interfaces, or on loopback
    /// where discovery goes no further than the host, at ports of the system's choice.
    #[must_use]
    pub fn listen(mut self, address: Multiaddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Sets how far the node looks and shows itself. Default: what `NETCOM_DISCOVERY` says, else
    /// [`Scope::Lan`].
    #[must_use]
    pub fn discovery(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Takes keys and petnames from a data directory, which is made if it is not there. Default:
    /// none, and nothing is written.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Sets whether the node takes the data directory for itself. Default: if it is free.
    #[must_use]
    pub fn data_dir_use(mut self, how: DataDirUse) -> Self {
        self.data_dir_use = how;
        self
    }

    /// Opens the identity of the data directory. Default: none; a locked identity is then spoken
    /// for by the proof that was made when it was opened last.
    #[must_use]
    pub fn passphrase(mut self, passphrase: Passphrase) -> Self {
        self.passphrase = Some(passphrase);
        self
    }

    /// Sets what the node and its peers may use. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many links sessions use. Default: [`Links::Auto`].
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Writes the keys of the node's links to the file that `SSLKEYLOGFILE` names, for packet
    /// analysers. Whoever reads that file can read all that those links carry, so this is for
    /// looking at one's own traffic, and says so in the log. Default: off.
    #[must_use]
    pub fn key_log(mut self, is_on: bool) -> Self {
        self.key_log = is_on;
        self
    }

    /// Sets who may use the node at all. Default: everyone.
    #[must_use]
    pub fn access(mut self, access: impl Into<Access>) -> Self {
        self.access = Some(access.into());
        self
    }

    /// Sets what the node says of itself beside its services. Default: nothing.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Publishes addresses of this host and its networks only, and looks no further. Default: off.
    #[must_use]
    pub fn local(mut self, is_local: bool) -> Self {
        self.is_local = is_local;
        self
    }

    /// Publishes global addresses only, and uses no multicast. Default: off.
    #[must_use]
    pub fn cloud(mut self, is_cloud: bool) -> Self {
        self.is_cloud = is_cloud;
        self
    }

    /// Sets the interfaces and the port of multicast DNS. Default: all interfaces but loopback.
    #[must_use]
    pub fn mdns(mut self, config: MdnsConfig) -> Self {
        self.mdns = Some(config);
        self
    }

    /// Sets the directory in which nodes of this host find each other. Default: the user's runtime
    /// directory.
    #[must_use]
    pub fn registry(mut self, directory: impl Into<PathBuf>) -> Self {
        self.registry = Some(directory.into());
        self
    }

    /// Sets whom names with dots are asked of. Default: web servers and the DNS, by the system's
    /// configuration, unless discovery goes no further than the host or the node is
    /// [`local`](Self::local).
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = Some(names);
        self
    }

    /// Gives a name with dots a key that nobody is asked about; repeatable. Default: none.
    #[must_use]
    pub fn fixed_name(mut self, name: impl Into<DottedName>, netid: NetId) -> Self {
        self.fixed_names.push((name.into(), netid));
        self
    }

    /// Sets who answers the names under which suffix, `alice.netcom` for one. A node that looks no
    /// further than its host asks directories at loopback addresses alone. Default: none, and such
    /// names are refused.
    #[must_use]
    pub fn directories(mut self, directories: Directories) -> Self {
        self.directories = directories;
        self
    }

    /// Sets who tells of the machine's addresses; the first node that is made of this description
    /// or a clone of it gets it. Default: [`SystemAddresses`].
    #[must_use]
    pub fn address_watch(mut self, watch: impl AddressWatch) -> Self {
        self.watch = Some(Watch(Arc::new(Mutex::new(Some(Box::new(watch))))));
        self
    }

    /// Makes the node: when this returns, it listens and is published. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`CreateError`] names what is wrong with the description or this machine.
    pub async fn build(mut self) -> Result<Node, CreateError> {
        if self.whom.is_some() && self.data_dir.is_none() {
            self.data_dir = DataDir::locate(None).ok().filter(|path| DataDir::exists(path));
        }
        if self.is_local && self.is_cloud {
            return Err(CreateError::Contradiction);
        }
        if self.role == Role::Client && !self.listen.is_empty() {
            return Err(ListenError::Client.into());
        }
        if self.key_log {
            check_key_log(env::var_os(KEY_LOG_VARIABLE))?;
        }
        let scope = match self.scope {
            Some(scope) => scope,
            None => scope_of(env::var_os(SCOPE_VARIABLE))?,
        };
        let scope = if self.is_local { scope.min(Scope::Lan) } else { scope };
        let builder = self.clone();
        let opened = tokio::task::spawn_blocking(move || builder.open_keys()).await;
        let opened =
            opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let (shared, links) = self.assemble(scope, opened)?;
        if let Some(whom) = self.whom.clone()
            && let Err(error) = self.check_whom(&shared, whom).await
        {
            shared.close().await;
            return Err(error);
        }
        tokio::spawn(Arc::clone(&shared).accept(links));
        tokio::spawn(Arc::clone(&shared).spare_memory());
        let watch = self.watch.as_ref().and_then(Watch::take);
        let watch = watch.unwrap_or_else(|| Box::new(SystemAddresses::new()));
        tokio::spawn(Arc::clone(&shared).follow_addresses(watch));
        if let Err(error) = self.listen_all(&shared).await {
            shared.close().await;
            return Err(error.into());
        }
        let mut published = Published::nothing();
        shared.publish(&mut published).await;
        tokio::spawn(Arc::clone(&shared).maintain(published));
        Ok(Node { handle: Handle::new(shared) })
    }

    /// Whether the node speaks for whom it must speak for.
    async fn check_whom(&self, shared: &Shared, whom: Target) -> Result<(), CreateError> {
        let name = whom.to_string();
        let resolved = shared.resolve_entity(whom).await;
        let resolved = resolved.map_err(|error| CreateError::Whom(Box::new(error)))?;
        let Some((netid, lowest)) = resolved else { return Err(CreateError::WhomIsNode { name }) };
        let shown = shared.shown.read().clone();
        let proven = netid.represented_by(&shared.peer, &shown, unix_now(), Some(lowest));
        if proven.is_ok() {
            return Ok(());
        }
        let present = shown.iter().map(Representation::netid).collect();
        let data_dir = self.data_dir.clone();
        Err(CreateError::NotRepresented { name, netid, present, data_dir })
    }

    /// Finds or makes the keys the node runs under.
    fn open_keys(&self) -> Result<Opened, CreateError> {
        let random = |source| CreateError::Random { source };
        let mut instance = [0; 16];
        getrandom::fill(&mut instance).map_err(random)?;
        let mut opened = match &self.data_dir {
            Some(path) => self.open_data_dir(path, instance)?,
            None => {
                let node = try_generate_key().map_err(random)?;
                let keys = ProcessKeys { node, issuer: None, lowest: 0 };
                Opened { keys, lock: None, book: None, instance, before: None }
            }
        };
        if let Some(node) = &self.identity {
            opened.keys.node = node.clone();
            // The predecessor that is known to be gone ran under another key.
            opened.before = None;
        }
        if let Some(key) = self.netid.clone() {
            // What the directory took back counts if it is of the same entity.
            let known = opened.keys.issuer.map(|issuer| issuer.netid());
            let is_same = known.is_some_and(|known| known == key.net_id());
            let lowest = if is_same { opened.keys.lowest } else { 0 };
            opened.keys.issuer = Some(Issuer::Identity { key, lowest });
            opened.keys.lowest = lowest;
        }
        Ok(opened)
    }

    fn open_data_dir(&self, path: &Path, instance: [u8; 16]) -> Result<Opened, CreateError> {
        let directory = DataDir::open(path)?;
        let lock = match self.data_dir_use {
            DataDirUse::Shared => None,
            DataDirUse::Exclusive => Some(directory.lock()?),
            DataDirUse::IfFree => match directory.lock() {
                Err(error) if error.is_retryable() => None,
                taken => Some(taken?),
            },
        };
        let before = match &lock {
            Some(lock) => lock.succeed(instance)?,
            None => None,
        };
        let store = IdentityStore::new(directory);
        let keys = store.process_keys(lock.as_ref(), self.passphrase.as_ref())?;
        Ok(Opened { keys, lock, book: Some(PetnameBook::new(path)), instance, before })
    }

    /// What the node shows of itself: the proof it renews first, then those that were given.
    fn show(&self, keys: &ProcessKeys) -> Result<Vec<Representation>, CreateError> {
        let peer = keys.node.peer_id();
        let issued = keys.issuer.as_ref().and_then(|issuer| issuer.issue(peer, unix_now()));
        for given in &self.representations {
            given.verify(&peer, unix_now(), None).map_err(|source| {
                let source = Box::new(source);
                CreateError::Representation { netid: given.netid(), source }
            })?;
        }
        Ok(issued.into_iter().chain(self.representations.iter().cloned()).collect())
    }

    fn assemble(&self, scope: Scope, opened: Opened) -> Result<Assembled, CreateError> {
        let Opened { keys, lock, book, instance, before } = opened;
        let shown = self.show(&keys)?;
        let ProcessKeys { node: key, issuer, lowest } = keys;
        let taken_back = issuer.as_ref().map(|issuer| (issuer.netid(), lowest));
        let peer = key.peer_id();
        let mut config = TransportConfig::new(key.clone());
        config.representations.clone_from(&shown);
        config.limits = self.limits.handshakes.clone();
        config.key_log = self.key_log;
        let (transport, links) = Transport::new(config)?;
        let services = Services::new(shown.iter().map(Representation::netid).collect());
        if let Some(access) = &self.access {
            services.set_access(access.clone());
        }
        let hooks = Arc::new(Hooks::default());
        let spec = SessionsSpec {
            local: peer,
            instance: InstanceId(instance),
            supersedes: before.map(InstanceId),
            config: self.limits.session.clone(),
            limits: self.limits.sessions,
            memory: self.limits.memory.unwrap_or_else(default_memory),
        };
        let sessions = Sessions::new(spec, hooks.clone(), Arc::clone(&services));
        let shared = Arc::new(Shared {
            key,
            peer,
            role: self.role,
            scope,
            reach: self.reach(),
            metadata: self.metadata.clone(),
            limits: self.limits.clone(),
            links: self.links,
            transport,
            sessions,
            services,
            discovery: Discovery::open(self.source_scope(scope), &self.sources()),
            book,
            names: NodeNames {
                given: self.names.clone(),
                fixed: self.fixed_names.clone(),
                directories: self.directories.clone(),
                may_ask: scope >= Scope::Lan && !self.is_local,
                data: self.data_dir.clone(),
                ..NodeNames::default()
            },
            issuer,
            taken_back,
            shown: RwLock::new(shown),
            peers: Mutex::new(Peers::default()),
            events: EventSender::new(),
            totals: Totals::default(),
            incoming: Queue::default(),
            changed: Notify::new(),
            moves: Moves::default(),
            proofs_looked_at: AtomicU64::new(0),
            renewed: Mutex::default(),
            detached: Mutex::default(),
            stage: watch::Sender::new(Stage::Running),
            lock: Mutex::new(lock),
            runtime: Runtime::current(),
        });
        hooks.set(&shared);
        Ok((shared, links))
    }

    fn reach(&self) -> Reach {
        match (self.is_local, self.is_cloud) {
            (true, _) => Reach::Local,
            (_, true) => Reach::Cloud,
            _ => Reach::Any,
        }
    }

    /// In the cloud there is no local network to speak to.
    fn source_scope(&self, scope: Scope) -> Scope {
        if self.is_cloud { scope.min(Scope::Host) } else { scope }
    }

    fn sources(&self) -> DiscoveryConfig {
        let mut config = DiscoveryConfig::default();
        config.registry.clone_from(&self.registry);
        if let Some(mdns) = &self.mdns {
            config.mdns = mdns.clone();
        }
        config
    }

    /// Listens where it was told to, or wherever it can.
    async fn listen_all(&self, shared: &Shared) -> Result<(), ListenError> {
        if self.role == Role::Client {
            return Ok(());
        }
        let listening = |address| shared.events.tell(NodeEvent::Listening { address });
        for address in &self.listen {
            listening(shared.transport.listen(address).await?);
        }
        if !self.listen.is_empty() {
            return Ok(());
        }
        let everywhere = shared.scope >= Scope::Lan;
        let defaults = if everywhere { LISTEN_EVERYWHERE } else { LISTEN_ON_LOOPBACK };
        let (mut count, mut failed) = (0, Vec::new());
        for address in defaults {
            let address: Multiaddr = address.parse().expect("the defaults are addresses");
            match shared.transport.listen(&address).await {
                Ok(address) => {
                    count += 1;
                    listening(address);
                }
                // Many machines have but one version of IP.
                Err(error) => failed.push(error.to_string()),
            }
        }
        match count {
            0 => Err(ListenError::Nowhere { reasons: failed.join("; ") }),
            _ => Ok(()),
        }
    }
}

/// Who tells of the machine's addresses, taken by the first node that is made of a description.
#[derive(Clone, Debug)]
struct Watch(Arc<Mutex<Option<Box<dyn AddressWatch>>>>);

impl Watch {
    fn take(&self) -> Option<Box<dyn AddressWatch>> {
        self.0.lock().take()
    }
}

/// Whether keys of links can be written, which is told to whoever runs the node.
fn check_key_log(variable: Option<OsString>) -> Result<(), CreateError> {
    let path = variable.filter(|path| !path.is_empty()).ok_or(CreateError::KeyLogUnnamed)?;
    let path = PathBuf::from(path);
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    opened.map_err(|source| CreateError::KeyLog { path: path.clone(), source })?;
    tracing::warn!(
        target: "netcom::setup",
        path = %path.display(),
        "Keys of links are written: whoever reads the file can read all they carry"
    );
    Ok(())
}

/// Names the file for keys of links, as for other programs.
const KEY_LOG_VARIABLE: &str = "SSLKEYLOGFILE";

/// What the node runs under, and what was found in its data directory.
struct Opened {
    keys: ProcessKeys,
    lock: Option<DataDirLock>,
    book: Option<PetnameBook>,
    instance: [u8; 16],
    before: Option<[u8; 16]>,
}

type Assembled = (Arc<Shared>, tokio::sync::mpsc::Receiver<netcom_transport::Link>);
