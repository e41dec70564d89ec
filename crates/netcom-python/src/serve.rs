//! Handlers in Python for what peers ask.

use std::sync::Arc;

use bytes::Bytes;
use netcom::HandlerError;
use parking_lot::Mutex;
use pyo3::{prelude::*, types::PyDict};
use tokio::sync::oneshot;

use crate::{
    bridge::Bridge,
    buffer::{incoming, outgoing},
    identity::{NetId, PeerId},
};

/// A handler, and the loop it runs on.
#[derive(Clone)]
pub(crate) struct Handler {
    bridge: Arc<Bridge>,
    /// Called with a request and its reply; returns a coroutine.
    start: Arc<Py<PyAny>>,
}

/// A call on its way to the loop.
pub(crate) struct Call {
    start: Arc<Py<PyAny>>,
    request: netcom::Request,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Bytes, HandlerError>;

/// What a peer asks, and who it is.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Request(netcom::Request);

/// Where a handler's answer goes.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Reply(Mutex<Option<oneshot::Sender<Answer>>>);

impl Handler {
    /// A handler on the running loop.
    pub(crate) fn new(py: Python<'_>, start: Py<PyAny>) -> PyResult<Self> {
        Ok(Self { bridge: Bridge::current(py)?, start: Arc::new(start) })
    }

    /// Has the loop answer a request.
    pub(crate) async fn answer(self, request: netcom::Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.bridge.call(Call { start: self.start, request, reply });
        let gone = || HandlerError::new("gone", "the handler's loop ended before it answered");
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Call {
    pub(crate) fn start(self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        if self.reply.is_closed() {
            return Ok(());
        }
        let request = Request(self.request);
        let reply = Reply(Mutex::new(Some(self.reply)));
        self.start.call1(py, (event_loop, request, reply))?;
        Ok(())
    }
}

#[pymethods]
impl Request {
    #[getter]
    fn body(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        incoming(py, self.0.body().clone(), false)
    }

    #[getter]
    fn view(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        incoming(py, self.0.body().clone(), true)
    }

    #[getter]
    fn peer_id(&self) -> PeerId {
        PeerId(self.0.visitor().peer_id())
    }

    #[getter]
    fn netids(&self) -> Vec<NetId> {
        self.0.visitor().netids().iter().copied().map(NetId::of).collect()
    }
}

#[pymethods]
impl Reply {
    fn send(&self, body: &Bound<'_, PyAny>) -> PyResult<()> {
        let body = outgoing(body)?;
        self.answer(Ok(body));
        Ok(())
    }

    fn fail(&self, code: &str, message: &str, context: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut error = HandlerError::new(code, message);
        for (name, value) in context {
            error = error.with(name.extract::<String>()?, value.str()?.to_string());
        }
        self.answer(Err(error));
        Ok(())
    }
}

impl Reply {
    fn answer(&self, answer: Answer) {
        if let Some(reply) = self.0.lock().take() {
            // Fails where the peer gave the request up.
            let _ = reply.send(answer);
        }
    }
}
