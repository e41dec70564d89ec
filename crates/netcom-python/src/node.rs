//! A node.

use std::{path::PathBuf, sync::Arc};

use netcom::{
    ConnectError, Limits, Links, Named, NodeBuilder, ParseLinksError, Role, Target,
    names::{Directories, DottedName},
};
use pyo3::{
    Borrowed,
    exceptions::{PyTypeError, PyValueError},
    inspect::PyStaticExpr,
    prelude::*,
    types::{PyDict, PyList},
};
use tokio::sync::Mutex;

use crate::{
    commander::Commander,
    connection::Connection,
    directory::directories,
    error::{bad_argument, bad_name, exception},
    events::Events,
    identity::{Multiaddr, NetId, PeerId, target, target_among},
    number::Seconds,
    operation::Operation,
    runtime::Owned,
    serve::{Handler, ServiceHandle, access, refused},
};

/// One running endpoint.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Node(Owned<netcom::Node>);

/// The connections that peers open.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Incoming(Owned<Arc<Mutex<netcom::Incoming>>>);

/// What a call connects to, where it is not anything that has a name.
#[derive(Clone, Copy)]
enum Kind {
    Entity,
    Node,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Kind {
    type Error = PyErr;

    const INPUT_TYPE: PyStaticExpr = <&str as FromPyObject<'a, 'py>>::INPUT_TYPE;

    fn extract(kind: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match kind.extract::<&str>()? {
            "entity" => Ok(Self::Entity),
            "node" => Ok(Self::Node),
            other => Err(PyValueError::new_err(format!("{other} is no kind of target"))),
        }
    }
}

impl Kind {
    /// Whether a target may be of this kind; a petname may be of either.
    fn may_be(self, target: &Target) -> bool {
        match target {
            Target::NetId(_) | Target::Dotted(_) => matches!(self, Self::Entity),
            Target::Petname(_) => true,
            _ => matches!(self, Self::Node),
        }
    }

    fn is(self, named: &Named) -> bool {
        matches!((self, named), (Self::Entity, Named::NetId(_)) | (Self::Node, Named::Peer(_)))
    }

    fn expected(self, py: Python<'_>) -> PyErr {
        bad_name(py, &self.text())
    }

    fn wrong_type(self) -> PyErr {
        PyTypeError::new_err(self.text())
    }

    fn text(self) -> &'static str {
        match self {
            Self::Entity => "that names a node, not an entity: connect_to_peer reaches it",
            Self::Node => "that names an entity, not a node: connect_to_netid reaches one of its",
        }
    }
}

#[pymethods]
impl Node {
    /// Makes a node from settings, all of which may be left out.
    #[staticmethod]
    fn create(py: Python<'_>, settings: &Bound<'_, PyDict>) -> PyResult<Operation> {
        let builder = builder(py, settings)?;
        Ok(Operation::new("Node.create", async move { builder.build().await }, |py, node| {
            let node = node.map_err(|error| exception(py, &error))?;
            Ok(Py::new(py, Self(Owned::new(node)))?.into_any())
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one call in Python")]
    #[pyo3(signature = (whom, kind, service, needs, timeout, failover, links))]
    fn connect(
        &self,
        py: Python<'_>,
        whom: &Bound<'_, PyAny>,
        kind: Option<Kind>,
        service: Option<String>,
        needs: Option<&Bound<'_, PyDict>>,
        timeout: Option<Seconds>,
        failover: bool,
        links: Option<&str>,
    ) -> PyResult<Operation> {
        let node = self.0.get()?.clone();
        let is_key = whom.is_instance_of::<NetId>() || whom.is_instance_of::<PeerId>();
        let whom = target_among(py, whom, node.directory_suffixes())?;
        if let Some(kind) = kind.filter(|kind| !kind.may_be(&whom)) {
            return Err(if is_key { kind.wrong_type() } else { kind.expected(py) });
        }
        let mut connect = node.connect_with(whom.clone()).failover(failover);
        if let Some(service) = service {
            connect = connect.service(service);
        }
        if let Some(policy) = links {
            connect = connect.links(read_links(py, policy)?);
        }
        for (key, value) in needs.into_iter().flatten() {
            connect = connect.where_is(key.extract::<String>()?, value.extract::<String>()?);
        }
        if let Some(Seconds(timeout)) = timeout {
            connect = connect.timeout(timeout);
        }
        let connect = async move {
            // What a petname stands for is in the node's own book.
            if let (Some(kind), Target::Petname(_)) = (kind, &whom)
                && !kind.is(&node.resolve(whom).await?)
            {
                return Ok(Err(kind));
            }
            connect.connect().await.map(Ok)
        };
        Ok(Operation::new("Node.connect", connect, |py, connection: Result<_, ConnectError>| {
            let connection = connection.map_err(|error| exception(py, &error))?;
            let connection = connection.map_err(|kind: Kind| kind.expected(py))?;
            Ok(Py::new(py, Connection::new(connection))?.into_any())
        }))
    }

    fn discover_peer_id(&self, py: Python<'_>, peer: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let node = self.0.get()?.clone();
        let Target::PeerId(peer) = target(py, peer)? else {
            return Err(bad_name(py, &"a PeerId is needed; for an entity there is discover_netid"));
        };
        Ok(Operation::new(
            "Node.discover_peer_id",
            async move { node.discover_peer_id(peer).await },
            |py, addresses| {
                let addresses = addresses.map_err(|error| exception(py, &error))?;
                Ok(list(py, addresses)?.into_any().unbind())
            },
        ))
    }

    fn discover_netid(&self, py: Python<'_>, netid: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let node = self.0.get()?.clone();
        let target = target_among(py, netid, node.directory_suffixes())?;
        if matches!(target, Target::PeerId(_) | Target::Address(..)) {
            return Err(bad_name(py, &"a NetID is needed; for a node there is discover_peer_id"));
        }
        let discover = async move {
            let Named::NetId(netid) = node.resolve(target).await? else { return Ok(None) };
            Ok(Some(node.discover_netid(netid).await))
        };
        Ok(Operation::new("Node.discover_netid", discover, |py, nodes: Result<_, ConnectError>| {
            let nodes = nodes.map_err(|error| exception(py, &error))?;
            let nodes =
                nodes.ok_or_else(|| bad_name(py, &"that names a node: use discover_peer_id"))?;
            let nodes = nodes.map_err(|error| exception(py, &error))?;
            let found = PyDict::new(py);
            for (peer, info) in nodes {
                let told = PyDict::new(py);
                told.set_item("addresses", list(py, info.addresses)?)?;
                let metadata = PyDict::new(py);
                for (key, value) in info.metadata.iter() {
                    metadata.set_item(key, value)?;
                }
                told.set_item("metadata", metadata)?;
                told.set_item("role", info.role.to_string())?;
                let names = info.services.iter().map(ToString::to_string).collect::<Vec<_>>();
                told.set_item("services", names)?;
                found.set_item(PeerId(peer), told)?;
            }
            Ok(found.into_any().unbind())
        }))
    }

    /// Answers requests that name no service by `start`, on the running loop.
    fn on_request(&self, py: Python<'_>, start: Py<PyAny>) -> PyResult<()> {
        let handler = Handler::new(py, start)?;
        self.0.get()?.on_request(move |request| handler.clone().answer(request));
        Ok(())
    }

    /// Serves `name/version` by `start`, on the running loop: streams, or requests.
    fn serve(
        &self,
        py: Python<'_>,
        name: &str,
        is_of_streams: bool,
        allow: Option<&Bound<'_, PyAny>>,
        start: Py<PyAny>,
    ) -> PyResult<ServiceHandle> {
        let service = Handler::new(py, start)?.service(py, name, is_of_streams)?;
        let service = service.access(access(py, allow)?);
        self.0.get()?.serve(service).map(ServiceHandle::new).map_err(|error| refused(py, &error))
    }

    /// Sets who may use the node at all.
    fn allow(&self, py: Python<'_>, allow: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.get()?.allow(access(py, allow)?);
        Ok(())
    }

    fn commander(&self) -> PyResult<Commander> {
        Ok(Commander(Owned::new(self.0.get()?.commander())))
    }

    fn events(&self) -> PyResult<Events> {
        Ok(Events::new(self.0.get()?.events()))
    }

    fn incoming(&self) -> PyResult<Incoming> {
        Ok(Incoming(Owned::new(Arc::new(Mutex::new(self.0.get()?.incoming())))))
    }

    fn peer_id(&self) -> PyResult<PeerId> {
        Ok(PeerId(self.0.get()?.peer_id()))
    }

    fn netid(&self) -> PyResult<Option<NetId>> {
        Ok(self.0.get()?.netid().map(NetId::of))
    }

    fn role(&self) -> PyResult<String> {
        Ok(self.0.get()?.role().to_string())
    }

    fn addresses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, self.0.get()?.addresses())
    }

    fn ticket(&self) -> PyResult<String> {
        Ok(self.0.get()?.ticket().to_string())
    }

    fn drain(&self, within: Seconds) -> PyResult<Operation> {
        let (node, Seconds(within)) = (self.0.get()?.clone(), within);
        Ok(Operation::new("Node.drain", async move { node.drain(within).await }, |py, ()| {
            Ok(py.None())
        }))
    }

    fn close(&self) -> PyResult<Operation> {
        let node = self.0.get()?.clone();
        Ok(Operation::new("Node.close", async move { node.close().await }, |py, ()| Ok(py.None())))
    }
}

#[pymethods]
impl Incoming {
    /// The next connection; `None` once the node is closed.
    fn next(&self) -> PyResult<Operation> {
        let incoming = Arc::clone(self.0.get()?);
        Ok(Operation::new(
            "Incoming.next",
            async move { incoming.lock().await.next().await },
            |py, connection| {
                let connection =
                    connection.map(|connection| Py::new(py, Connection::new(connection)));
                Ok(connection.transpose()?.into_pyobject(py)?.into_any().unbind())
            },
        ))
    }
}

fn builder(py: Python<'_>, settings: &Bound<'_, PyDict>) -> PyResult<NodeBuilder> {
    let (mut builder, mut limits) = (netcom::Node::builder(), Limits::default());
    // Which names are domains depends on them.
    let known = match settings.get_item("directories")? {
        Some(setting) => directories(py, &setting)?,
        None => Directories::default(),
    };
    for (name, value) in settings {
        let name: String = name.extract()?;
        builder = match name.as_str() {
            "netid" => {
                let netid = value.cast::<NetId>()?.get();
                match netid.secret() {
                    Some(secret) => builder.netid(secret.clone()),
                    None => builder.speaks_for(netid.target().clone()),
                }
            }
            "identity" => {
                let netid = value.cast::<NetId>()?.get();
                let secret = netid.secret().ok_or_else(|| {
                    let hint = "NetID.generate() makes one, NetID.from_secret(…) reads one";
                    bad_argument(py, &"identity= needs a key with its secret", hint)
                })?;
                builder.identity(secret.clone())
            }
            "role" => builder.role(role(py, &value.extract::<String>()?)?),
            "local" => builder.local(value.extract()?),
            "cloud" => builder.cloud(value.extract()?),
            "data_dir" => builder.data_dir(value.extract::<PathBuf>()?),
            "registry" => builder.registry(value.extract::<PathBuf>()?),
            "discovery" => {
                let hint = "discovery=\"off\", \"host\", \"lan\" or \"global\"";
                let scope = value.extract::<&str>()?.parse();
                builder.discovery(scope.map_err(|error| bad_argument(py, &error, hint))?)
            }
            "listen" => {
                let hint = "listen=[\"/ip4/0.0.0.0/udp/0/quic-v1\", \"/ip4/0.0.0.0/tcp/0\"]";
                for address in value.try_iter()? {
                    let address: String = address?.str()?.to_string();
                    let address = address.parse();
                    builder = builder.listen(address.map_err(|e| bad_argument(py, &e, hint))?);
                }
                builder
            }
            "links" => builder.links(read_links(py, value.extract()?)?),
            "resume_seconds" => {
                limits.session.resume_window = value.extract::<Seconds>()?.0;
                builder
            }
            "metadata" => builder.metadata(metadata(py, &value)?),
            "names" => {
                for (name, netid) in value.cast::<PyDict>()? {
                    let name = DottedName::parse(name.extract()?, known.suffixes())
                        .map_err(|error| bad_name(py, &error))?;
                    let Target::NetId(netid) = target(py, &netid)? else {
                        let message = format!("the key of {} is a NetID", name.as_str());
                        return Err(bad_name(py, &message));
                    };
                    builder = builder.fixed_name(name, netid);
                }
                builder
            }
            "directories" => builder.directories(known.clone()),
            _ => {
                let hint = format!("settings are {}", SETTINGS.join(", "));
                return Err(bad_argument(py, &format!("a node has no setting {name}"), &hint));
            }
        };
    }
    Ok(builder.limits(limits))
}

fn metadata(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<netcom::Metadata> {
    let mut metadata = netcom::Metadata::default();
    for (key, value) in value.cast::<PyDict>()? {
        metadata
            .insert(key.extract::<&str>()?, value.extract::<&str>()?)
            .map_err(|error| bad_argument(py, &error, "metadata are a few short words"))?;
    }
    Ok(metadata)
}

/// How many links to use.
fn read_links(py: Python<'_>, policy: &str) -> PyResult<Links> {
    policy.parse().map_err(|error: ParseLinksError| bad_argument(py, &error, "links=\"auto\""))
}

fn role(py: Python<'_>, name: &str) -> PyResult<Role> {
    match name {
        "peer" => Ok(Role::Peer),
        "server" => Ok(Role::Server),
        "client" => Ok(Role::Client),
        _ => {
            let hint = "role=NodeRole.PEER, NodeRole.SERVER or NodeRole.CLIENT";
            Err(bad_argument(py, &format!("no role is named {name}"), hint))
        }
    }
}

pub(crate) fn list<'py>(
    py: Python<'py>,
    addresses: impl IntoIterator<Item = netcom::Multiaddr>,
) -> PyResult<Bound<'py, PyList>> {
    let addresses = addresses.into_iter().map(|address| Py::new(py, Multiaddr(address)));
    PyList::new(py, addresses.collect::<PyResult<Vec<_>>>()?)
}

/// The names of the settings, as `builder` knows them.
const SETTINGS: [&str; 14] = [
    "netid",
    "identity",
    "role",
    "local",
    "cloud",
    "data_dir",
    "registry",
    "discovery",
    "listen",
    "links",
    "resume_seconds",
    "metadata",
    "names",
    "directories",
];
