//! A Rust future that asyncio awaits like a coroutine.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeError, PyStopIteration},
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
    state: Mutex<Owned<State>>,
}

enum State {
    /// Not begun, or waiting.
    Open { future: Future, waiter: Option<Arc<Waiter>> },
    /// A thread is polling it.
    Polled,
    /// It ended, or was given up.
    Closed,
}

impl Operation {
    /// Wraps a future whose output becomes an object by `convert`.
    pub(crate) fn new<F, C, O>(future: F, convert: C) -> Self
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
        let state = State::Open { future: Box::pin(future), waiter: None };
        Self { state: Mutex::new(Owned::new(state)) }
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
                self.set(State::Open { future, waiter: None });
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
                self.set(State::Open { future, waiter: Some(waiter) });
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
            State::Open { future, waiter } => Ok((future, waiter)),
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
        if let State::Open { future, waiter } = state {
            if let Some(waiter) = waiter {
                waiter.bridge().forget(waiter.number());
            }
            py.detach(|| drop(future));
        }
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
        if let Ok(State::Open { waiter: Some(waiter), .. }) = self.state.get_mut().get_mut() {
            waiter.bridge().forget(waiter.number());
        }
    }
}
