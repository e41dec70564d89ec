//! The core's errors as exceptions, whose classes stand in `netcom.errors`.

use std::fmt::Display;

use netcom::{
    ConnectError, CreateError, DiscoverError, EnrollError, OpenError, RequestError, StreamError,
    StreamErrorMessage,
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
        None
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
    ConnectError: ConnectError::is_retryable;
    DiscoverError: |_| true;
    EnrollError: EnrollError::is_retryable;
    OpenError: OpenError::is_retryable;
    StreamError: StreamError::is_retryable;
}

impl Explained for RequestError {
    fn code(&self) -> &'static str {
        RequestError::code(self)
    }

    fn hint(&self) -> Option<String> {
        RequestError::hint(self)
    }

    fn is_retryable(&self) -> bool {
        RequestError::is_retryable(self)
    }

    fn remote(&self) -> Option<&StreamErrorMessage> {
        match self {
            Self::Remote(message) => Some(message),
            _ => None,
        }
    }
}
