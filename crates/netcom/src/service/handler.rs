//! What handlers get and how they fail.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{RequestHandler, Visitor};
use crate::stream::StreamErrorMessage;

/// A request to be answered.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) body: Bytes,
    pub(super) visitor: Arc<Visitor>,
    pub(super) protocol: Bytes,
}

/// Why a handler has no answer, as the caller will see it.
///
/// Every error converts into one, by `?`, with the code `failed` and its text as the message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandlerError(StreamErrorMessage);

impl Request {
    /// What was asked.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What was asked, by value.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Who asks.
    #[must_use]
    pub fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// The protocol's name and version.
    #[must_use]
    pub fn protocol(&self) -> &[u8] {
        &self.protocol
    }
}

impl HandlerError {
    /// Makes an error of a stable code and a sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(StreamErrorMessage::new(code, message))
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self(self.0.with(name, value))
    }

    /// What the caller will see.
    #[must_use]
    pub fn message(&self) -> &StreamErrorMessage {
        &self.0
    }
}

impl From<StreamErrorMessage> for HandlerError {
    fn from(message: StreamErrorMessage) -> Self {
        Self(message)
    }
}

/// `HandlerError` is no [`std::error::Error`] itself, so that every error can become one.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new("failed", error.to_string())
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn boxed<F, Fut>(handler: F) -> RequestHandler
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Bytes, HandlerError>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(handler(request)))
}
