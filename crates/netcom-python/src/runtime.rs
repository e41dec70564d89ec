//! The threads the core runs on, one set for each process.

use std::{
    mem::ManuallyDrop,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use pyo3::{exceptions::PyOSError, prelude::*};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{WrongProcess, exception};

/// Something that belongs to the process that made it.
///
/// After a fork the child has a copy, but none of the threads behind it, and locks that were held
/// at that moment stay so. There it can neither be used nor dropped.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    process: u32,
    value: Option<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { process: current_process(), value: Some(value) }
    }

    /// The value, in the process that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        let value = self.value.as_ref().filter(|_| self.process == current_process());
        value.ok_or_else(wrong_process)
    }

    /// The value for change, in the process that made it.
    pub(crate) fn get_mut(&mut self) -> PyResult<&mut T> {
        let value = self.value.as_mut().filter(|_| self.process == current_process());
        value.ok_or_else(wrong_process)
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.process != current_process() {
            // A leak on purpose: to drop it could wait for a lock nobody will ever release.
            let _ = self.value.take().map(ManuallyDrop::new);
        }
    }
}

/// The threads of this process, which are started on first use and never end.
pub(crate) fn handle() -> PyResult<Handle> {
    let mut current = RUNTIME.lock();
    if let Some(runtime) = *current {
        return Ok(runtime.handle().clone());
    }
    let built = Builder::new_multi_thread().enable_all().thread_name("netcom").build();
    let runtime = built.map_err(|error| PyOSError::new_err(format!("no threads: {error}")))?;
    let runtime = Box::leak(Box::new(runtime));
    *current = Some(runtime);
    Ok(runtime.handle().clone())
}

/// Called in the child of a fork, which begins without threads.
#[pyfunction]
pub(crate) fn after_fork() {
    PROCESS.store(process::id(), Ordering::Relaxed);
    *RUNTIME.lock() = None;
}

fn current_process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => {
            let id = process::id();
            PROCESS.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

fn wrong_process() -> PyErr {
    Python::attach(|py| exception(py, &WrongProcess))
}

/// Locked with Python's lock held alone, so that no fork finds it locked.
static RUNTIME: Mutex<Option<&'static Runtime>> = Mutex::new(None);
/// Kept, because asking for it is a system call.
static PROCESS: AtomicU32 = AtomicU32::new(0);
