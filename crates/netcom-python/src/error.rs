//! The core's errors as exceptions, whose classes stand in `netcom.errors`.

use std::fmt::Display;

use netcom::{
    ConnectError, Connection, CreateError, DiscoverError, EnrollError, LinkRole, OpenError,
    RequestError, StreamError, StreamErrorMessage,
};
use pyo3::{prelude::*, sync::PyOnceLock, types::PyDict};

/// An error that tells its caller what to do.
pub(crate) trait Explained: Display {
    fn code(&self) -> &'static str;
    fn hint(&self) -> Option<String>;
    fn is_retryable(&self) -> bool;

    /// What the peer's handler said.
    fn remote(&self) -> Option<&StreamErrorMessage> {
        None
    }
}

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &impl Explained) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = || {
        let context = PyDict::new(py);
        let remote = error.remote();
        for (name, value) in remote.into_iter().flat_map(StreamErrorMessage::context) {
            context.set_item(name, value)?;
        }
        let text = remote.map_or_else(|| error.to_string(), |remote| remote.message().to_owned());
        let remote = remote.map(StreamErrorMessage::code);
        let facts = (text, error.code(), error.hint(), error.is_retryable(), remote, context);
        MAKE.import(py, "netcom.errors", "_make")?.call1(facts)
    };
    match make() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The exception for an argument that makes no sense, with what would.
pub(crate) fn bad_argument(py: Python<'_>, what: &impl Display, hint: &str) -> PyErr {
    exception(py, &BadArgument { what: what.to_string(), hint: hint.to_owned() })
}

/// The exception for a text that names nobody.
pub(crate) fn bad_name(py: Python<'_>, error: &impl Display) -> PyErr {
    exception(py, &BadName(error.to_string()))
}

struct BadName(String);

impl Display for BadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Explained for BadName {
    fn code(&self) -> &'static str {
        "bad_name"
    }

    fn hint(&self) -> Option<String> {
        let kinds = "a key (n1…), a name in a directory (alice.netcom) or a domain";
        Some(format!("an entity is named by {kinds}, a node by its PeerId, a ticket or an address"))
    }

    fn is_retryable(&self) -> bool {
        false
    }
}

struct BadArgument {
    what: String,
    hint: String,
}

impl Display for BadArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl Explained for BadArgument {
    fn code(&self) -> &'static str {
        "bad_argument"
    }

    fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }

    fn is_retryable(&self) -> bool {
        false
    }
}

macro_rules! explained {
    ($($error:ty: $retryable:expr;)*) => {$(
        impl Explained for $error {
            fn code(&self) -> &'static str {
                <$error>::code(self)
            }

            fn hint(&self) -> Option<String> {
                <$error>::hint(self)
            }

            fn is_retryable(&self) -> bool {
                let retryable: fn(&$error) -> bool = $retryable;
                retryable(self)
            }
        }
    )*};
}

explained! {
    CreateError: CreateError::is_retryable;
    DiscoverError: DiscoverError::is_retryable;
    EnrollError: EnrollError::is_retryable;
    OpenError: OpenError::is_retryable;
    StreamError: StreamError::is_retryable;
}

impl Explained for ConnectError {
    /// Where the time was over, no link worked.
    fn code(&self) -> &'static str {
        if matches!(self, Self::Timeout { .. }) { "no_link" } else { Self::code(self) }
    }

    fn hint(&self) -> Option<String> {
        Self::hint(self)
    }

    fn is_retryable(&self) -> bool {
        Self::is_retryable(self)
    }
}

/// What was made in another process, before this one began as its copy.
pub(crate) struct WrongProcess;

impl Display for WrongProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this was made before the process forked, and its threads stayed behind")
    }
}

impl Explained for WrongProcess {
    fn code(&self) -> &'static str {
        "wrong_process"
    }

    fn hint(&self) -> Option<String> {
        Some("make a node of the child's own, or start workers by 'spawn'".to_owned())
    }

    fn is_retryable(&self) -> bool {
        false
    }
}

/// A request that brought no answer, and whether a link to the peer worked then.
pub(crate) struct RequestFailure {
    error: RequestError,
    has_link: bool,
}

impl RequestFailure {
    pub(crate) fn new(error: RequestError, connection: &Connection) -> Self {
        let works = |role| matches!(role, LinkRole::Active | LinkRole::Standby);
        let has_link = connection.links().iter().any(|link| works(link.role));
        Self { error, has_link }
    }

    /// The time was over while there was no way to the peer.
    fn is_cut_off(&self) -> bool {
        matches!(self.error, RequestError::Timeout { .. }) && !self.has_link
    }
}

impl Display for RequestFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)?;
        if self.is_cut_off() { f.write_str(", and no link to the peer works") } else { Ok(()) }
    }
}

impl Explained for RequestFailure {
    fn code(&self) -> &'static str {
        if self.is_cut_off() { "no_link" } else { self.error.code() }
    }

    fn hint(&self) -> Option<String> {
        if self.is_cut_off() {
            return Some("connect again: an entity may have another node that works".to_owned());
        }
        self.error.hint()
    }

    fn is_retryable(&self) -> bool {
        self.error.is_retryable()
    }

    fn remote(&self) -> Option<&StreamErrorMessage> {
        match &self.error {
            RequestError::Remote(message) => Some(message),
            _ => None,
        }
    }
}
