//! Streams of bytes, of messages, and with errors beside the data.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use netcom::{
    ByteReceiver, ByteSender, ErrorReceiver, ErrorSender, IncomingStream, MessageReceiver,
    MessageSender, StreamError, StreamErrorMessage,
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};
use tokio::sync::Mutex;

use crate::{
    buffer::{incoming, outgoing},
    error::exception,
    number::Number,
    operation::Operation,
    runtime::Owned,
};

/// A half of a stream: its calls wait for each other in the order in which they were made.
type Half<T> = Owned<Arc<Mutex<T>>>;

/// A stream of bytes in both directions.
#[pyclass(frozen, subclass, module = "netcom._native")]
pub(crate) struct ByteStream {
    sender: Half<ByteSender>,
    receiver: Half<ByteReceiver>,
    errors: Half<ErrorReceiver>,
    is_given_up: Arc<AtomicBool>,
}

/// A stream of messages in both directions.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct MessageStream {
    sender: Half<MessageSender>,
    receiver: Half<MessageReceiver>,
    is_given_up: Arc<AtomicBool>,
}

/// A stream of bytes with errors beside them, in both directions.
#[pyclass(frozen, extends = ByteStream, module = "netcom._native")]
pub(crate) struct XStream(Half<ErrorSender>);

/// The streams the peer opens.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct IncomingStreams(pub(crate) Half<netcom::IncomingStreams>);

pub(crate) fn half<T>(value: T) -> Half<T> {
    Owned::new(Arc::new(Mutex::new(value)))
}

impl ByteStream {
    pub(crate) fn new(stream: netcom::ByteStream) -> Self {
        let (sender, receiver, errors) = stream.into_parts();
        Self::of(sender, receiver, errors)
    }

    fn of(sender: ByteSender, receiver: ByteReceiver, errors: ErrorReceiver) -> Self {
        let (sender, receiver, errors) = (half(sender), half(receiver), half(errors));
        Self { sender, receiver, errors, is_given_up: Arc::default() }
    }
}

impl MessageStream {
    pub(crate) fn new(stream: netcom::MessageStream) -> Self {
        let (sender, receiver) = stream.into_split();
        Self { sender: half(sender), receiver: half(receiver), is_given_up: Arc::default() }
    }
}

impl XStream {
    pub(crate) fn new(py: Python<'_>, stream: netcom::XStream) -> PyResult<Py<Self>> {
        let (sender, receiver, error_sender, errors) = stream.into_parts();
        let base = ByteStream::of(sender, receiver, errors);
        Py::new(py, PyClassInitializer::from(base).add_subclass(Self(half(error_sender))))
    }
}

#[pymethods]
impl ByteStream {
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let (sender, data) = (Arc::clone(self.sender.get()?), outgoing(data)?);
        Ok(Operation::new(
            "ByteStream.write",
            async move { sender.lock().await.write_bytes(data).await },
            nothing,
        ))
    }

    /// Nothing at the end.
    fn read(&self, py: Python<'_>, max: Number<usize>, view: bool) -> PyResult<Operation> {
        let max = max.at_least_one(py, "bytes")?;
        let receiver = Arc::clone(self.receiver.get()?);
        let read = async move { receiver.lock().await.read_chunk(max).await };
        Ok(Operation::new("ByteStream.read", read, move |py, chunk| {
            let chunk = chunk.map_err(|error| exception(py, &error))?;
            incoming(py, chunk.unwrap_or_default(), view)
        }))
    }

    fn read_to_end(&self, limit: Number<usize>, view: bool) -> PyResult<Operation> {
        let Number(limit) = limit;
        let receiver = Arc::clone(self.receiver.get()?);
        let read = async move { receiver.lock().await.read_to_end(limit).await };
        Ok(Operation::new("ByteStream.read_to_end", read, move |py, all| {
            incoming(py, all.map_err(|error| exception(py, &error))?, view)
        }))
    }

    fn finish(&self) -> PyResult<Operation> {
        let (sender, is_given_up) = (Arc::clone(self.sender.get()?), Arc::clone(&self.is_given_up));
        let finish = async move {
            let mut sender = sender.lock().await;
            check_kept(&is_given_up)?;
            sender.finish().await
        };
        Ok(Operation::new("ByteStream.finish", finish, nothing))
    }

    fn reset(&self, code: Number<u32>) -> PyResult<Operation> {
        let Number(code) = code;
        let (sender, receiver) = (Arc::clone(self.sender.get()?), Arc::clone(self.receiver.get()?));
        let is_given_up = Arc::clone(&self.is_given_up);
        let reset = async move {
            let mut sender = sender.lock().await;
            is_given_up.store(true, Ordering::Release);
            sender.reset(code);
            drop(sender);
            receiver.lock().await.stop(code);
        };
        Ok(Operation::new("ByteStream.reset", reset, |py, ()| Ok(py.None())))
    }

    /// The error's code, message and context; `None` once there will be no more.
    fn next_error(&self) -> PyResult<Operation> {
        let errors = Arc::clone(self.errors.get()?);
        Ok(Operation::new(
            "ByteStream.next_error",
            async move { errors.lock().await.next().await },
            |py, error| {
                let Some(error) = error else { return Ok(py.None()) };
                let context = PyDict::new(py);
                for (name, value) in error.context() {
                    context.set_item(name, value)?;
                }
                Ok((error.code(), error.message(), context).into_pyobject(py)?.into_any().unbind())
            },
        ))
    }
}

#[pymethods]
impl XStream {
    fn send_error(
        &self,
        code: &str,
        message: &str,
        context: &Bound<'_, PyDict>,
    ) -> PyResult<Operation> {
        let mut error = StreamErrorMessage::new(code, message);
        for (name, value) in context {
            error = error.with(name.extract::<String>()?, value.str()?.to_string());
        }
        let errors = Arc::clone(self.0.get()?);
        Ok(Operation::new(
            "XStream.send_error",
            async move { errors.lock().await.send(&error).await },
            nothing,
        ))
    }
}

#[pymethods]
impl MessageStream {
    fn write(&self, message: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let (sender, message) = (Arc::clone(self.sender.get()?), outgoing(message)?);
        Ok(Operation::new(
            "MessageStream.write",
            async move { sender.lock().await.send(message).await },
            nothing,
        ))
    }

    /// `None` at the end.
    fn read(&self, view: bool) -> PyResult<Operation> {
        let receiver = Arc::clone(self.receiver.get()?);
        Ok(Operation::new(
            "MessageStream.read",
            async move { receiver.lock().await.recv().await },
            move |py, message| match message.map_err(|error| exception(py, &error))? {
                Some(message) => incoming(py, message, view),
                None => Ok(py.None()),
            },
        ))
    }

    /// All messages that are here, at least one and at most `max`; none at the end.
    fn read_batch(&self, py: Python<'_>, max: Number<usize>, view: bool) -> PyResult<Operation> {
        let max = max.at_least_one(py, "messages")?;
        let receiver = Arc::clone(self.receiver.get()?);
        let read = async move {
            let mut receiver = receiver.lock().await;
            let mut messages = Vec::new();
            messages.extend(receiver.recv().await?);
            while !messages.is_empty() && messages.len() < max {
                // What is half here stays with the receiver. An error is told by the next call.
                let next = futures_util::FutureExt::now_or_never(receiver.recv());
                let Some(Ok(Some(message))) = next else { break };
                messages.push(message);
            }
            Ok::<_, StreamError>(messages)
        };
        Ok(Operation::new("MessageStream.read_batch", read, move |py, messages| {
            let messages = messages.map_err(|error| exception(py, &error))?;
            let messages = messages.into_iter().map(|message| incoming(py, message, view));
            let messages = messages.collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, messages)?.into_any().unbind())
        }))
    }

    fn finish(&self) -> PyResult<Operation> {
        let (sender, is_given_up) = (Arc::clone(self.sender.get()?), Arc::clone(&self.is_given_up));
        let finish = async move {
            let mut sender = sender.lock().await;
            check_kept(&is_given_up)?;
            sender.finish().await
        };
        Ok(Operation::new("MessageStream.finish", finish, nothing))
    }

    fn reset(&self, code: Number<u32>) -> PyResult<Operation> {
        let Number(code) = code;
        let (sender, receiver) = (Arc::clone(self.sender.get()?), Arc::clone(self.receiver.get()?));
        let is_given_up = Arc::clone(&self.is_given_up);
        let reset = async move {
            let mut sender = sender.lock().await;
            is_given_up.store(true, Ordering::Release);
            sender.reset(code);
            drop(sender);
            receiver.lock().await.stop(code);
        };
        Ok(Operation::new("MessageStream.reset", reset, |py, ()| Ok(py.None())))
    }
}

#[pymethods]
impl IncomingStreams {
    /// The next stream's kind and itself; `None` once there will be no more.
    fn next(&self) -> PyResult<Operation> {
        let streams = Arc::clone(self.0.get()?);
        Ok(Operation::new(
            "IncomingStreams.next",
            async move { streams.lock().await.next().await },
            |py, stream| {
                let stream: (&str, Py<PyAny>) = match stream {
                    Some(IncomingStream::Bytes(stream)) => {
                        ("bytes", Py::new(py, ByteStream::new(stream))?.into_any())
                    }
                    Some(IncomingStream::Messages(stream)) => {
                        ("messages", Py::new(py, MessageStream::new(stream))?.into_any())
                    }
                    Some(IncomingStream::X(stream)) => ("x", XStream::new(py, stream)?.into_any()),
                    _ => return Ok(py.None()),
                };
                Ok(stream.into_pyobject(py)?.into_any().unbind())
            },
        ))
    }
}

/// Nobody acknowledges the end of a stream that was given up.
fn check_kept(is_given_up: &AtomicBool) -> Result<(), StreamError> {
    if is_given_up.load(Ordering::Acquire) { Err(StreamError::Finished) } else { Ok(()) }
}

fn nothing(py: Python<'_>, result: Result<(), StreamError>) -> PyResult<Py<PyAny>> {
    result.map(|()| py.None()).map_err(|error| exception(py, &error))
}
