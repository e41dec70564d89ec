//! The keys of a data directory.

use std::path::PathBuf;

use netcom::{
    Armor as _, DataDir, EnrollError, Enrollment, IdentityStore, KeyFileError, Representation,
    Target,
};
use pyo3::prelude::*;

use crate::{
    error::{bad_argument, bad_name, exception},
    identity::{NetId, target},
    number::Number,
};

/// Who a data directory is, and whom it lets in. The calls read and write files.
///
/// ```python
/// >>> owner, server = Identity(folder / "owner"), Identity(folder / "server")
/// >>> alice = owner.create()
/// >>> server.accept(owner.admit(server.enroll(alice))) == alice
/// True
///
/// ```
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Identity(IdentityStore);

#[pymethods]
impl Identity {
    /// Opens a data directory, which is made if it is not there.
    #[new]
    fn new(py: Python<'_>, data_dir: PathBuf) -> PyResult<Self> {
        let directory = py.detach(|| DataDir::open(data_dir));
        let directory = directory.map_err(|error| {
            let error = netcom::CreateError::from(error);
            exception(py, &error)
        })?;
        Ok(Self(IdentityStore::new(directory)))
    }

    /// Makes the key that is the identity; there must be none.
    fn create(&self, py: Python<'_>) -> PyResult<NetId> {
        let made = py.detach(|| self.0.create(None));
        made.map(NetId::of).map_err(|error| keys(py, error))
    }

    /// For whom nodes of this directory speak, by a key or by a proof.
    #[getter]
    fn netid(&self, py: Python<'_>) -> PyResult<Option<NetId>> {
        let info = py.detach(|| self.0.show()).map_err(|error| keys(py, error))?;
        Ok(info.netid.map(NetId::of))
    }

    /// A text that asks to let this directory's nodes speak for an entity.
    #[pyo3(signature = (netid = None, label = ""))]
    fn enroll(
        &self,
        py: Python<'_>,
        netid: Option<&Bound<'_, PyAny>>,
        label: &str,
    ) -> PyResult<String> {
        let netid = match netid.map(|netid| target(py, netid)).transpose()? {
            None => None,
            Some(Target::NetId(netid)) => Some(netid),
            Some(other) => return Err(bad_name(py, &format!("{other} is no key of an entity"))),
        };
        let request = py.detach(|| self.0.enroll(netid, label));
        Ok(request.map_err(|error| exception(py, &error))?.to_text())
    }

    /// Answers the text of `enroll` with one that is a proof, for so many days (90), by which so
    /// many further ones may be let in, each by the one before (1).
    #[pyo3(signature = (request, days = Number(90), delegations = Number(1)))]
    fn admit(
        &self,
        py: Python<'_>,
        request: &str,
        days: Number<u16>,
        delegations: Number<u8>,
    ) -> PyResult<String> {
        let request = Enrollment::from_text(request).map_err(|error| no_text(py, &error))?;
        let seconds = u64::from(days.0) * 24 * 3600;
        let proof = py.detach(|| self.0.admit(&request, seconds, delegations.0, None));
        Ok(proof.map_err(|error| exception(py, &error))?.to_text())
    }

    /// Takes the answer of `admit`.
    #[pyo3(signature = (proof, replace = false))]
    fn accept(&self, py: Python<'_>, proof: &str, replace: bool) -> PyResult<NetId> {
        let proof = Representation::from_text(proof).map_err(|error| no_text(py, &error))?;
        let netid = py.detach(|| self.0.accept(&proof, replace));
        netid.map(NetId::of).map_err(|error| exception(py, &error))
    }
}

fn keys(py: Python<'_>, error: KeyFileError) -> PyErr {
    exception(py, &EnrollError::from(error))
}

fn no_text(py: Python<'_>, error: &netcom::ArmorError) -> PyErr {
    bad_argument(py, error, "copy it again, from its first line to the last")
}
