//! What happens at a node.

use std::sync::Arc;

use netcom::NodeEvent;
use pyo3::{prelude::*, types::PyDict};
use tokio::sync::Mutex;

use crate::{
    commander,
    identity::{Multiaddr, NetId, PeerId},
    node::list,
    operation::Operation,
    runtime::Owned,
};

/// The events of a node, from the moment on at which it was asked for them.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Events(Owned<Arc<Mutex<netcom::Events>>>);

impl Events {
    pub(crate) fn new(events: netcom::Events) -> Self {
        Self(Owned::new(Arc::new(Mutex::new(events))))
    }
}

#[pymethods]
impl Events {
    /// The next event as its kind and its facts; `None` when the node is gone.
    fn next(&self) -> PyResult<Operation> {
        let events = Arc::clone(self.0.get()?);
        Ok(Operation::new(
            "Events.next",
            async move { events.lock().await.next().await },
            |py, event| {
                let told = event.map(|event| tell(py, event)).transpose()?;
                Ok(told.into_pyobject(py)?.into_any().unbind())
            },
        ))
    }
}

fn tell(py: Python<'_>, event: NodeEvent) -> PyResult<(&'static str, Py<PyDict>)> {
    let facts = PyDict::new(py);
    let kind = event.name();
    match event {
        NodeEvent::Listening { address } => {
            facts.set_item("addresses", [Py::new(py, Multiaddr(address))?])?;
        }
        NodeEvent::Published { sequence: _, addresses } => {
            facts.set_item("addresses", list(py, addresses)?)?;
        }
        NodeEvent::AddressesChanged { gone, come } => {
            facts.set_item("gone", gone)?;
            facts.set_item("come", come)?;
        }
        NodeEvent::Connected { peer, netids, is_inbound } => {
            facts.set_item("peer_id", PeerId(peer))?;
            let netids: Vec<NetId> = netids.into_iter().map(NetId::of).collect();
            facts.set_item("netids", netids)?;
            facts.set_item("is_inbound", is_inbound)?;
        }
        NodeEvent::Detached { peer } | NodeEvent::Resumed { peer } => {
            facts.set_item("peer_id", PeerId(peer))?;
        }
        NodeEvent::LinkUp { peer, link, kind, remote } => {
            facts.set_item("peer_id", PeerId(peer))?;
            facts.set_item("link", link)?;
            facts.set_item("transport", commander::kind(kind))?;
            facts.set_item("addresses", list(py, remote)?)?;
        }
        NodeEvent::LinkSuspect { peer, link } | NodeEvent::LinkAnswers { peer, link } => {
            facts.set_item("peer_id", PeerId(peer))?;
            facts.set_item("link", link)?;
        }
        NodeEvent::LinkDown { peer, link, code } => {
            facts.set_item("peer_id", PeerId(peer))?;
            facts.set_item("link", link)?;
            facts.set_item("code", code.to_string())?;
        }
        NodeEvent::Disconnected { peer, code, reason, is_by_peer } => {
            facts.set_item("peer_id", PeerId(peer))?;
            facts.set_item("code", code.to_string())?;
            facts.set_item("reason", reason)?;
            facts.set_item("is_by_peer", is_by_peer)?;
        }
        NodeEvent::ClaimRefused { peer, netid, reason } => {
            facts.set_item("peer_id", PeerId(peer))?;
            facts.set_item("netids", vec![NetId::of(netid)])?;
            facts.set_item("reason", reason)?;
        }
        NodeEvent::Lagged { missed } => {
            facts.set_item("missed", missed)?;
        }
        // Those that say it all by their name.
        _ => {}
    }
    Ok((kind, facts.unbind()))
}
