//! Who: names of entities and of nodes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use netcom::{
    DirectorySuffixes, DottedName, Multiaddr as Address, SecretKey, Target, parse_peer_id,
};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyString};

use crate::error::{bad_argument, bad_name};

/// A name of an entity: its key, or what leads to it. With its secret, a node may speak for it.
///
/// ```python
/// >>> alice = NetID.generate()
/// >>> NetID.from_string(str(alice)) == alice
/// True
/// >>> alice.has_secret, NetID.from_string(str(alice)).has_secret
/// (True, False)
///
/// ```
#[pyclass(frozen, name = "NetID", module = "netcom._native")]
pub(crate) struct NetId {
    target: Target,
    secret: Option<SecretKey>,
}

/// A name of one node.
///
/// ```python
/// >>> PeerId(str(node.peer_id)) == node.peer_id
/// True
///
/// ```
#[pyclass(frozen, eq, hash, str = "{0}", module = "netcom._native")]
#[derive(Eq, Hash, PartialEq)]
pub(crate) struct PeerId(pub(crate) netcom::PeerId);

/// An address of a node, as `/ip4/192.0.2.1/tcp/4001/p2p/…`.
///
/// ```python
/// >>> Multiaddr("/ip4/192.0.2.1/tcp/4001")
/// Multiaddr('/ip4/192.0.2.1/tcp/4001')
///
/// ```
#[pyclass(frozen, eq, hash, str = "{0}", module = "netcom._native")]
#[derive(Eq, Hash, PartialEq)]
pub(crate) struct Multiaddr(pub(crate) Address);

impl NetId {
    pub(crate) fn of(netid: netcom::NetId) -> Self {
        Self { target: Target::NetId(netid), secret: None }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn secret(&self) -> Option<&SecretKey> {
        self.secret.as_ref()
    }
}

#[pymethods]
impl NetId {
    /// Makes a key with its secret.
    #[staticmethod]
    fn generate() -> Self {
        let secret = netcom::generate_key();
        Self { target: Target::NetId(secret.net_id()), secret: Some(secret) }
    }

    /// Reads a secret of `export_secret`.
    #[staticmethod]
    fn from_secret(py: Python<'_>, secret: &[u8]) -> PyResult<Self> {
        let seed = <[u8; 32]>::try_from(secret).map_err(|_| {
            let what = format!("a secret has 32 bytes, not {}", secret.len());
            bad_argument(py, &what, "give what export_secret() gave")
        })?;
        let secret = SecretKey::from_bytes(&seed);
        Ok(Self { target: Target::NetId(secret.net_id()), secret: Some(secret) })
    }

    /// Reads a key, a PeerId, a petname, a name in a directory or a domain. Asks nobody.
    #[staticmethod]
    fn from_string(py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<Self> {
        let target = Target::parse(characters(py, text)?, &DirectorySuffixes::default());
        let target = match target.map_err(|error| bad_name(py, &error))? {
            Target::PeerId(peer) => match netcom::NetId::try_from(&peer) {
                Ok(netid) => Target::NetId(netid),
                Err(error) => return Err(bad_name(py, &error)),
            },
            Target::Ticket(_) | Target::Address(..) => {
                return Err(bad_name(
                    py,
                    &"tickets and addresses name a node: use node.connect(…) with it",
                ));
            }
            target => target,
        };
        Ok(Self { target, secret: None })
    }

    /// Reads a domain, and nothing else. Asks nobody.
    #[staticmethod]
    fn from_domain(py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<Self> {
        let text = characters(py, text)?.trim();
        let name = DottedName::parse(text, &DirectorySuffixes::default());
        let target = Target::Dotted(name.map_err(|error| bad_name(py, &error))?);
        Ok(Self { target, secret: None })
    }

    /// Whether the secret is known here.
    #[getter]
    fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// The 32 bytes whoever has can speak for the entity.
    fn export_secret(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let secret = self.secret.as_ref().ok_or_else(|| {
            let hint = "only the NetID of generate() or from_secret() has it";
            bad_argument(py, &"the secret is not known here", hint)
        })?;
        Ok(secret.export_secret().to_vec())
    }

    fn __str__(&self) -> String {
        self.target.to_string()
    }

    fn __repr__(&self) -> String {
        format!("NetID('{}')", self.target)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().target == self.target)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.target.hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__(&self) -> PyResult<String> {
        Err(PyTypeError::new_err("a NetID is not pickled, since it may hold a secret: use str()"))
    }
}

#[pymethods]
impl PeerId {
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        parse_peer_id(text.trim()).map(Self).map_err(|error| bad_name(py, &error))
    }

    fn __repr__(&self) -> String {
        format!("PeerId('{}')", self.0)
    }
}

#[pymethods]
impl Multiaddr {
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        text.parse().map(Self).map_err(|error| bad_name(py, &error))
    }

    fn __repr__(&self) -> String {
        format!("Multiaddr('{}')", self.0)
    }
}

/// Whom an argument means: a text, a NetID or a PeerId.
pub(crate) fn target(py: Python<'_>, whom: &Bound<'_, PyAny>) -> PyResult<Target> {
    target_among(py, whom, &DirectorySuffixes::default())
}

/// The entity that a target is, where it is one.
pub(crate) fn entity(target: &Target) -> Option<netcom::NetId> {
    match target {
        Target::NetId(netid) => Some(*netid),
        _ => None,
    }
}

/// As [`target`], where names under these suffixes are in directories.
pub(crate) fn target_among(
    py: Python<'_>,
    whom: &Bound<'_, PyAny>,
    suffixes: &DirectorySuffixes,
) -> PyResult<Target> {
    if let Ok(netid) = whom.cast::<NetId>() {
        return Ok(netid.get().target.clone());
    }
    if let Ok(peer) = whom.cast::<PeerId>() {
        return Ok(Target::PeerId(peer.get().0));
    }
    if let Ok(text) = whom.cast::<PyString>() {
        return Target::parse(characters(py, text)?, suffixes)
            .map_err(|error| bad_name(py, &error));
    }
    let kind = whom.get_type();
    Err(PyTypeError::new_err(format!("a NetID, a PeerId or a text is needed, not {kind}")))
}

/// A text without halves of characters, which Python's may have.
fn characters<'a>(py: Python<'_>, text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str().map_err(|_| bad_name(py, &"a name with half a character, a lone surrogate"))
}
