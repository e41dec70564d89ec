//! What the node's errors mean for the one who typed the command.

use std::error::Error;

use netcom::{
    ConnectError, CreateError, HandlerError, OpenError, RequestError, ServeError, StreamError,
};

use crate::{
    failure::{Exit, Failure},
    transfer::TransferError,
};

pub(crate) fn create(error: &CreateError) -> Failure {
    Failure::from_error(Exit::Failure, error.code(), error).hint_if(error.hint())
}

pub(crate) fn serve(error: &ServeError) -> Failure {
    Failure::from_error(Exit::Failure, "serve", error)
}

pub(crate) fn connect(error: &ConnectError) -> Failure {
    let exit = match error {
        ConnectError::NotFound { .. }
        | ConnectError::NoOtherNode { .. }
        | ConnectError::Petname { .. }
        | ConnectError::Name(_)
        | ConnectError::NameUnsupported { .. } => Exit::NotFound,
        ConnectError::Unreachable { .. } | ConnectError::Timeout { .. } => Exit::Unreachable,
        ConnectError::Denied { .. } => Exit::Denied,
        _ => Exit::Failure,
    };
    Failure::from_error(exit, error.code(), error).hint_if(error.hint())
}

pub(crate) fn stream(error: &StreamError) -> Failure {
    let exit = match error {
        StreamError::Denied => Exit::Denied,
        StreamError::SessionEnded { .. } => Exit::Unreachable,
        _ => Exit::Failure,
    };
    Failure::from_error(exit, error.code(), error).hint_if(error.hint())
}

pub(crate) fn open(error: &OpenError) -> Failure {
    let exit = match error {
        OpenError::SessionEnded(_) => Exit::Unreachable,
        _ => Exit::Failure,
    };
    Failure::from_error(exit, error.code(), error).hint_if(error.hint())
}

pub(crate) fn request(error: &RequestError) -> Failure {
    match error {
        RequestError::Stream(error) => stream(error),
        RequestError::Open(error) => open(error),
        RequestError::Timeout { .. } => {
            Failure::from_error(Exit::Unreachable, error.code(), error).hint_if(error.hint())
        }
        _ => Failure::from_error(Exit::Failure, error.code(), error).hint_if(error.hint()),
    }
}

/// A stream that broke during a transfer. Another attempt can help unless the other side's rules
/// say no.
pub(crate) fn transfer(error: &StreamError) -> TransferError {
    let is_final = matches!(error, StreamError::Denied | StreamError::UnknownProtocol);
    let failure = match error {
        StreamError::UnknownProtocol => {
            let message = "the node takes no files";
            Failure::failed(error.code(), message).hint("netcom listen --receive DIR on that node")
        }
        StreamError::Denied => {
            let message = "the node does not take files from this identity";
            let hint = "ask its owner for netcom listen --allow with your NetID";
            Failure::new(Exit::Denied, error.code(), message).hint(hint)
        }
        _ => stream(error),
    };
    TransferError::stream(failure, !is_final)
}

/// What a service tells a caller about a failure here.
pub(crate) fn told(failure: &Failure) -> HandlerError {
    HandlerError::new(failure.code.to_string(), failure.message.clone())
}

/// An I/O error that may be a stream's in disguise.
pub(crate) fn io(doing: &str, error: &std::io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| {
        let inner: &(dyn Error + 'static) = inner;
        inner.downcast_ref::<StreamError>()
    });
    match inner {
        Some(error) => stream(error),
        None => Failure::io(doing, error),
    }
}
