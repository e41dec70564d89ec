//! A Rust future that asyncio awaits like a coroutine.

use std::{
    ffi::CString,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration},
    intern,
    prelude::*,
    types::PyTuple,
};

use crate::{
    bridge::{Bridge, Waiter},
    runtime::{self, Owned},
};

/// What an operation ends with, made into an object of Python's on the loop's thread.
pub(crate) type Answer = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

type Future = BoxFuture<'static, Answer>;

/// Something under way. Await it once; what is dropped is given up.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Operation {
    /// The method that made it, as its caller knows it.
    name: &'static str,
    state: Mutex<Owned<State>>,
}

enum State {
    /// Nobody has awaited it yet.
    New(Future),
    Waiting {
        future: Future,
        waiter: Arc<Waiter>,
    },
    /// A thread is polling it.
    Polled,
    /// It ended, or was given up.
    Closed,
}

impl Operation {
    /// Wraps a future whose output becomes an object by `convert`, for a caller of `name`.
    pub(crate) fn new<F, C, O>(name: &'static str, future: F, convert: C) -> Self
    where
        F: std::future::Future<Output = O> + Send + 'static,
        C: FnOnce(Python<'_>, O) -> PyResult<Py<PyAny>> + Send + 'static,
        O: Send + 'static,
    {
        let future = async move {
            let output = future.await;
            let answer: Answer = Box::new(move |py| convert(py, output));
            answer
        };
        let state = State::New(Box::pin(future));
        Self { name, state: Mutex::new(Owned::new(state)) }
    }

    /// Polls the future once. Where it waits, gives a future of asyncio's to wait for; where it
    /// ended, raises `StopIteration` with the outcome.
    fn step<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let handle = runtime::handle()?;
        let (mut future, waiter) = self.begin()?;
        let waiter = match waiter.map_or_else(|| Bridge::current(py).map(Waiter::new), Ok) {
            Ok(waiter) => waiter,
            Err(error) => {
                // Outside of asyncio nothing has begun.
                self.set(State::New(future));
                return Err(error);
            }
        };
        waiter.arm();
        let polled = py.detach(|| {
            let _entered = handle.enter();
            let waker = Waker::from(Arc::clone(&waiter));
            let mut context = Context::from_waker(&waker);
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)))
        });
        match polled {
            Ok(Poll::Ready(answer)) => {
                self.set(State::Closed);
                Err(PyStopIteration::new_err((answer(py)?,)))
            }
            Ok(Poll::Pending) => {
                let wait = waiter.bridge().wait(py, waiter.number())?;
                wait.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
                self.set(State::Waiting { future, waiter });
                Ok(wait)
            }
            Err(panic) => {
                self.set(State::Closed);
                resume_unwind(panic)
            }
        }
    }

    fn begin(&self) -> PyResult<(Future, Option<Arc<Waiter>>)> {
        let mut state = self.state.lock();
        match mem::replace(state.get_mut()?, State::Polled) {
            State::New(future) => Ok((future, None)),
            State::Waiting { future, waiter } => Ok((future, Some(waiter))),
            State::Polled => Err(PyRuntimeError::new_err("this is awaited already")),
            State::Closed => {
                *state.get_mut()? = State::Closed;
                Err(PyRuntimeError::new_err("this was awaited before, or given up"))
            }
        }
    }

    fn set(&self, state: State) {
        if let Ok(place) = self.state.lock().get_mut() {
            *place = state;
        }
    }

    /// Drops the future.
    fn give_up(&self, py: Python<'_>) {
        let state = match self.state.lock().get_mut() {
            Ok(state) => mem::replace(state, State::Closed),
            Err(_) => return,
        };
        let future = match state {
            State::New(future) => future,
            State::Waiting { future, waiter } => {
                waiter.bridge().forget(waiter.number());
                future
            }
            State::Polled | State::Closed => return,
        };
        py.detach(|| drop(future));
    }
}

#[pymethods]
impl Operation {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    fn send<'py>(&self, py: Python<'py>, _value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py)
    }

    /// Gives the operation up and raises what is thrown.
    #[pyo3(signature = (kind, *rest))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: Bound<'_, PyAny>,
        rest: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        self.give_up(py);
        let value = rest.iter().next().filter(|value| !value.is_none());
        Err(PyErr::from_value(value.unwrap_or(kind)))
    }

    /// Gives the operation up.
    fn close(&self, py: Python<'_>) {
        self.give_up(py);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        match self.state.get_mut().get_mut() {
            Ok(State::New(_)) => warn_never_awaited(self.name),
            Ok(State::Waiting { waiter, .. }) => waiter.bridge().forget(waiter.number()),
            Ok(State::Polled | State::Closed) | Err(_) => {}
        }
    }
}

/// As Python does for coroutines. None once the interpreter ends.
fn warn_never_awaited(name: &str) {
    Python::try_attach(|py| {
        // What is dropped because of an exception leaves it as it is.
        let raised = PyErr::take(py);
        let text = CString::new(format!("{name} was never awaited")).unwrap_or_default();
        let category = py.get_type::<PyRuntimeWarning>();
        if let Err(error) = PyErr::warn(py, &category, &text, 1) {
            error.write_unraisable(py, None);
        }
        if let Some(raised) = raised {
            raised.restore(py);
        }
    });
}
