//! From the core's threads to an asyncio loop: a queue, and one byte that says there is something.
//!
//! Whoever waits on a loop has an asyncio future there, under a number; a handler that runs has its
//! task there. The core's threads put that number in the queue and, for the first one, write to a
//! pipe that the loop watches; they never take Python's lock. The loop then completes all futures
//! whose numbers are in the queue, cancels the tasks, and starts the calls of handlers that came
//! with them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Wake,
};
#[cfg(unix)]
use std::{
    io::{self, PipeReader, PipeWriter, Read as _, Write as _, pipe},
    os::fd::AsRawFd as _,
};

use parking_lot::Mutex;
#[cfg(unix)]
use pyo3::exceptions::PyNotImplementedError;
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, sync::PyOnceLock};

use crate::serve::Call;

/// One asyncio loop, as the core's threads reach it.
pub(crate) struct Bridge {
    queue: Mutex<Queue>,
    /// The loop was told since it last looked.
    is_told: AtomicBool,
    bell: Bell,
    /// What a number in the queue stands for; touched with Python's lock held.
    waiting: Mutex<HashMap<u64, Waiting>>,
    event_loop: Py<PyAny>,
}

/// At most a number for each operation that waits and each handler that was started, and a call for
/// each handler the node lets run: what a caller gives up before it was started goes with it, also
/// where the loop is blocked or has ended.
#[derive(Default)]
struct Queue {
    woken: Vec<u64>,
    /// By the number of the handler to be, and so in the order they came.
    calls: BTreeMap<u64, Call>,
}

/// What is woken on a loop.
enum Waiting {
    /// A future, which is completed.
    Future(Py<PyAny>),
    /// The task of a handler whose caller gave up, which is cancelled.
    Handler(Py<PyAny>),
}

/// What makes the loop look.
enum Bell {
    /// A byte through a pipe, whose end the loop watches.
    #[cfg(unix)]
    Pipe(PipeReader, PipeWriter),
    /// For loops that watch no descriptors, as Windows' own. Takes Python's lock.
    Threadsafe,
}

/// Lets an operation on a loop go on.
pub(crate) struct Waiter {
    number: u64,
    bridge: Arc<Bridge>,
    is_woken: AtomicBool,
}

/// What the loop calls when it is told to look.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Wakeup {
    bridge: Arc<Bridge>,
}

impl Bridge {
    /// The bridge to the running loop.
    pub(crate) fn current(py: Python<'_>) -> PyResult<Arc<Self>> {
        let event_loop = running_loop(py)?;
        BRIDGES.with_borrow_mut(|bridges| {
            let known = bridges.iter().find(|bridge| bridge.event_loop.is(&event_loop));
            if let Some(bridge) = known {
                return Ok(Arc::clone(bridge));
            }
            bridges.retain(|bridge| !bridge.is_closed(py));
            let bridge = Self::open(&event_loop)?;
            bridges.push(Arc::clone(&bridge));
            Ok(bridge)
        })
    }

    fn open(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let new = |bell| {
            Arc::new(Self {
                queue: Mutex::default(),
                is_told: AtomicBool::new(false),
                bell,
                waiting: Mutex::default(),
                event_loop: event_loop.clone().unbind(),
            })
        };
        #[cfg(unix)]
        {
            let py = event_loop.py();
            let (watched, ours) = pipe()?;
            // A child of a fork has both ends, too, and may take the byte.
            rustix::io::ioctl_fionbio(&watched, true).map_err(io::Error::from)?;
            rustix::io::ioctl_fionbio(&ours, true).map_err(io::Error::from)?;
            let number = watched.as_raw_fd();
            let bridge = new(Bell::Pipe(watched, ours));
            let wakeup = Py::new(py, Wakeup { bridge: Arc::clone(&bridge) })?;
            match event_loop.call_method1(intern!(py, "add_reader"), (number, wakeup)) {
                Ok(_) => return Ok(bridge),
                Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(new(Bell::Threadsafe))
    }

    /// Makes a future on the loop that is completed when the waiter is woken.
    pub(crate) fn wait<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        let future = self.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        self.waiting.lock().insert(number, Waiting::Future(future.clone().unbind()));
        Ok(future)
    }

    /// Keeps the task of a handler, which a loop holds weakly, until it is forgotten; it is
    /// cancelled when the waiter is woken.
    pub(crate) fn keep_handler(&self, number: u64, task: Py<PyAny>) {
        self.waiting.lock().insert(number, Waiting::Handler(task));
    }

    /// Forgets who waits no more.
    pub(crate) fn forget(&self, number: u64) {
        // Dropped after the lock is gone: a finalizer may come here again.
        let waiting = self.waiting.lock().remove(&number);
        drop(waiting);
    }

    /// Brings a call of a handler to the loop, under the number of the handler to be.
    pub(crate) fn call(self: &Arc<Self>, number: u64, call: Call) {
        self.queue.lock().calls.insert(number, call);
        self.tell();
    }

    /// Takes back a call that was not started. False if it was.
    pub(crate) fn take_back(&self, number: u64) -> bool {
        // Dropped after the lock is gone: what it holds has locks of its own.
        let call = self.queue.lock().calls.remove(&number);
        call.is_some()
    }

    fn tell(self: &Arc<Self>) {
        if self.is_told.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.bell {
            #[cfg(unix)]
            Bell::Pipe(_, ours) => {
                // There is room: a byte is written only after the one before was read.
                let _ = (&*ours).write(&[1]);
            }
            Bell::Threadsafe => {
                let bridge = Arc::clone(self);
                // None once the interpreter ends, and then nobody waits.
                Python::try_attach(|py| {
                    let wakeup = Py::new(py, Wakeup { bridge })?;
                    let name = intern!(py, "call_soon_threadsafe");
                    self.event_loop.call_method1(py, name, (wakeup,))
                });
            }
        }
    }

    /// Lets all go on that were woken, and starts the calls that came. What goes wrong with one of
    /// them holds up no other.
    fn answer(self: &Arc<Self>, py: Python<'_>) {
        #[cfg(unix)]
        if let Bell::Pipe(watched, _) = &self.bell {
            let _ = (&*watched).read(&mut [0]);
        }
        self.is_told.store(false, Ordering::Release);
        let (woken, calls) = {
            let mut queue = self.queue.lock();
            (mem::take(&mut queue.woken), queue.calls.len())
        };
        let event_loop = self.event_loop.bind(py);
        for number in woken {
            let waiting = self.woken(py, number);
            if let Some(Err(error)) = waiting.map(|waiting| waiting.wake(py)) {
                error.write_unraisable(py, Some(event_loop));
            }
        }
        // As many as there were, so that the loop goes on. Each stays in the queue until its turn,
        // so that its caller can take it back.
        for _ in 0..calls {
            let Some((_, call)) = self.queue.lock().calls.pop_first() else { break };
            if let Err(error) = call.start(event_loop) {
                error.write_unraisable(py, Some(event_loop));
            }
        }
    }

    /// What a number stands for. The future is done with; the task is kept until it is forgotten,
    /// since a handler that is cancelled may wait for what it cleans up.
    fn woken(&self, py: Python<'_>, number: u64) -> Option<Waiting> {
        let mut waiting = self.waiting.lock();
        match waiting.get(&number)? {
            Waiting::Future(_) => waiting.remove(&number),
            Waiting::Handler(task) => Some(Waiting::Handler(task.clone_ref(py))),
        }
    }

    fn is_closed(&self, py: Python<'_>) -> bool {
        let closed = self.event_loop.call_method0(py, intern!(py, "is_closed"));
        closed.and_then(|closed| closed.is_truthy(py)).unwrap_or(true)
    }
}

impl Waiting {
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Future(future) => complete(future.bind(py)),
            Self::Handler(task) => task.call_method0(py, intern!(py, "cancel")).map(drop),
        }
    }
}

impl Waiter {
    pub(crate) fn new(bridge: Arc<Bridge>) -> Arc<Self> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { number, bridge, is_woken: AtomicBool::new(false) })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn bridge(&self) -> &Arc<Bridge> {
        &self.bridge
    }

    /// Takes wake-ups from now on; called before the future is polled.
    pub(crate) fn arm(&self) {
        self.is_woken.store(false, Ordering::Release);
    }
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.bridge.queue.lock().woken.push(self.number);
            self.bridge.tell();
        }
    }
}

#[pymethods]
impl Wakeup {
    fn __call__(&self, py: Python<'_>) {
        self.bridge.answer(py);
    }
}

/// Completes an asyncio future, unless it was cancelled meanwhile.
fn complete(future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
        future.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let get = GET.import(py, "asyncio", "_get_running_loop")?;
    let event_loop = get.call0()?;
    if event_loop.is_none() {
        return Err(PyRuntimeError::new_err(
            "netcom works within asyncio: await this in a coroutine, as by asyncio.run(main())",
        ));
    }
    Ok(event_loop)
}

thread_local! {
    /// The bridges of this thread's loops; those of closed loops go when another is made.
    static BRIDGES: RefCell<Vec<Arc<Bridge>>> = const { RefCell::new(Vec::new()) };
}

/// Numbers of waiters, never used again.
static NUMBERS: AtomicU64 = AtomicU64::new(0);
