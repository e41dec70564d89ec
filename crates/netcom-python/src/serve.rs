//! Handlers in Python for what peers ask, and who may ask.

use std::{sync::Arc, task::Wake as _};

use bytes::Bytes;
use netcom::{Access, HandlerError, ServeError, Service, Target};
use parking_lot::Mutex;
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict},
};
use tokio::sync::oneshot;

use crate::{
    bridge::{Bridge, Waiter},
    buffer::{Payload, outgoing},
    error::{bad_argument, bad_name},
    identity::{NetId, PeerId, target},
    stream::XStream,
};

/// A handler, and the loop it runs on.
#[derive(Clone)]
pub(crate) struct Handler {
    bridge: Arc<Bridge>,
    /// Called with the loop, what came, and where the answer goes; gives a task.
    start: Arc<Py<PyAny>>,
}

/// A call on its way to the loop.
pub(crate) struct Call {
    start: Arc<Py<PyAny>>,
    asked: Asked,
    reply: Reply,
}

/// The core's side of a call. Dropped before the answer, it takes the call back, or cancels the
/// handler's task.
struct Asking {
    answer: oneshot::Receiver<Answer>,
    task: Arc<Waiter>,
    is_over: bool,
}

enum Asked {
    Request(netcom::Request),
    Stream(netcom::XStream, Arc<netcom::XAuth>),
}

type Answer = Result<Bytes, HandlerError>;
type Served = Result<(), HandlerError>;

/// What a peer asks, and who it is.
///
/// ```python
/// >>> @server.on_request
/// ... async def answer(request):
/// ...     return request.body + b" of " + str(request.peer_id).encode()
/// >>> await connection.request(b"cat") == b"cat of " + str(node.peer_id).encode()
/// True
///
/// ```
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Request(netcom::Request);

/// What a peer has proven of itself.
///
/// ```python
/// >>> alice in connection.xauth.netids
/// True
///
/// ```
#[pyclass(frozen, eq, module = "netcom._native")]
#[derive(Eq, PartialEq)]
pub(crate) struct XAuth(pub(crate) Arc<netcom::XAuth>);

/// A service that a node serves, until it is withdrawn.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct ServiceHandle(netcom::ServiceHandle);

/// Where a handler's answer goes.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Reply {
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    task: Arc<Waiter>,
}

impl Handler {
    /// A handler on the running loop.
    pub(crate) fn new(py: Python<'_>, start: Py<PyAny>) -> PyResult<Self> {
        Ok(Self { bridge: Bridge::current(py)?, start: Arc::new(start) })
    }

    /// Has the loop answer a request.
    pub(crate) async fn answer(self, request: netcom::Request) -> Answer {
        self.ask(Asked::Request(request)).await
    }

    /// Has the loop serve a stream.
    async fn serve(self, stream: netcom::XStream, visitor: Arc<netcom::XAuth>) -> Served {
        self.ask(Asked::Stream(stream, visitor)).await.map(drop)
    }

    async fn ask(self, asked: Asked) -> Answer {
        let (sender, answer) = oneshot::channel();
        let task = Waiter::new(Arc::clone(&self.bridge));
        let reply = Reply { answer: Mutex::new(Some(sender)), task: Arc::clone(&task) };
        let mut asking = Asking { answer, task, is_over: false };
        self.bridge.call(asking.task.number(), Call { start: self.start, asked, reply });
        let answer = (&mut asking.answer).await;
        asking.is_over = true;
        let gone = || HandlerError::new("gone", "the handler's loop ended before it answered");
        answer.unwrap_or_else(|_| Err(gone()))
    }

    /// A service of the handler, named `name/version`: of streams, or of requests.
    pub(crate) fn service(
        self,
        py: Python<'_>,
        name: &str,
        is_of_streams: bool,
    ) -> PyResult<Service> {
        let (name, version) = name.rsplit_once('/').ok_or_else(|| {
            let what = format!("a service is named as \"name/version\", not {name:?}");
            bad_argument(py, &what, "such as \"thumbnails/1\"")
        })?;
        let service = if is_of_streams {
            Service::streams(name, [version], move |stream, visitor| {
                self.clone().serve(stream, visitor)
            })
        } else {
            Service::requests(name, [version], move |request| self.clone().answer(request))
        };
        service.map_err(|error| refused(py, &error))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_over {
            // Before all else: a call that has left the queue, but was not started, will not be.
            self.answer.close();
            if !self.task.bridge().take_back(self.task.number()) {
                self.task.wake_by_ref();
            }
        }
    }
}

impl Call {
    pub(crate) fn start(self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        if self.reply.is_given_up() {
            return Ok(());
        }
        let waiter = Arc::clone(&self.reply.task);
        let reply = Py::new(py, self.reply)?;
        let task = match self.asked {
            Asked::Request(request) => self.start.call1(py, (event_loop, Request(request), &reply)),
            Asked::Stream(stream, visitor) => {
                let stream = XStream::new(py, stream)?;
                self.start.call1(py, (event_loop, stream, XAuth(visitor), &reply))
            }
        }?;
        // Tasks may also begin at once, and this one be at its end.
        if reply.get().answer.lock().is_some() {
            task.call_method1(py, intern!(py, "add_done_callback"), (reply,))?;
            waiter.bridge().keep_handler(waiter.number(), task);
        }
        Ok(())
    }
}

/// Who is meant by a list of NetIDs and PeerIds; everyone where there is none.
pub(crate) fn access(py: Python<'_>, allow: Option<&Bound<'_, PyAny>>) -> PyResult<Access> {
    let Some(allow) = allow else { return Ok(Access::everyone()) };
    let mut access = Access::nobody();
    for whom in allow.try_iter()? {
        access = match target(py, &whom?)? {
            Target::NetId(netid) => access.netid(netid),
            Target::PeerId(peer) => access.peer(peer),
            other => {
                let message = format!("{other} is no key: who may is a NetID or a PeerId");
                return Err(bad_name(py, &message));
            }
        };
    }
    Ok(access)
}

pub(crate) fn refused(py: Python<'_>, error: &ServeError) -> PyErr {
    let hint = match error {
        ServeError::Taken(_) => "choose another name, or withdraw the service of that name first",
        ServeError::TooMany(_) => "withdraw services that are not needed",
        _ => "such as \"thumbnails/1\"",
    };
    bad_argument(py, error, hint)
}

#[pymethods]
impl Request {
    /// What was asked, as bytes that are copied each time.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.body())
    }

    /// What was asked, not copied: a read-only buffer.
    #[getter]
    fn view(&self) -> Payload {
        Payload(self.0.body().clone())
    }

    /// The node that asks; it has proven to be that.
    #[getter]
    fn peer_id(&self) -> PeerId {
        PeerId(self.0.visitor().peer_id())
    }

    /// The entities that node has proven to speak for.
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

    /// Called when the handler's task is done: what was not answered by then will not be.
    fn __call__(&self, _task: &Bound<'_, PyAny>) {
        self.close();
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
        if let Some(reply) = self.close() {
            // Fails where the peer gave the request up.
            let _ = reply.send(answer);
        }
    }

    fn close(&self) -> Option<oneshot::Sender<Answer>> {
        let reply = self.answer.lock().take()?;
        self.task.bridge().forget(self.task.number());
        Some(reply)
    }

    fn is_given_up(&self) -> bool {
        self.answer.lock().as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

#[pymethods]
impl XAuth {
    /// The node.
    #[getter]
    fn peer_id(&self) -> PeerId {
        PeerId(self.0.peer_id())
    }

    /// The entities it speaks for.
    #[getter]
    fn netids(&self) -> Vec<NetId> {
        self.0.netids().iter().copied().map(NetId::of).collect()
    }

    fn __repr__(&self) -> String {
        let netids: Vec<String> = self.0.netids().iter().map(ToString::to_string).collect();
        format!("<netcom.XAuth {} for {}>", self.0.peer_id(), netids.join(", "))
    }
}

#[pymethods]
impl ServiceHandle {
    /// Serves no new ones. Those under way go on.
    fn withdraw(&self) {
        self.0.withdraw();
    }
}

impl ServiceHandle {
    pub(crate) fn new(handle: netcom::ServiceHandle) -> Self {
        Self(handle)
    }
}
