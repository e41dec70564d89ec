//! Network namespaces without a name: they live as long as somebody uses them, so nothing is left
//! behind, however a test ends.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    panic,
    process::{self, Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};
use tokio::runtime;

use crate::{LabError, Running};

/// A network of its own: no interface but what is put into it, no way out.
#[derive(Debug)]
pub struct Namespace {
    /// Keeps it alive.
    handle: File,
}

impl Namespace {
    /// Makes one, with its loopback interface up.
    ///
    /// # Errors
    /// [`LabError`] says what the machine lacks.
    pub fn new() -> Result<Self, LabError> {
        // A thread that moved would stay there, so one is spent for it.
        let moved = thread::spawn(|| -> io::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let handle = joined(moved.join()).map_err(LabError::Namespace)?;
        let namespace = Self { handle };
        namespace.ip("link set dev lo up\n")?;
        Ok(namespace)
    }

    /// Calls `work` on a thread inside and waits for it. Sockets and threads that it makes belong
    /// to this namespace for good.
    ///
    /// # Panics
    /// If `work` does, with its words.
    pub fn call<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        joined(thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join()
        }))
    }

    /// Runs an asynchronous `work` on a thread inside, with a runtime of its own, and waits for it.
    ///
    /// # Panics
    /// If `work` does, with its words.
    pub fn run<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.call(|| runtime().block_on(work()))
    }

    /// Starts an asynchronous `work` on a thread inside, with a runtime of its own. It is
    /// cancelled when the handle is dropped.
    ///
    /// # Panics
    /// If the process has no file handle left.
    pub fn start<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Running<T> {
        let inside = self.share();
        Running::spawn(
            async move || work().await,
            move || {
                inside.enter();
                runtime()
            },
        )
    }

    /// Has iproute2 carry out commands inside, one a line.
    ///
    /// # Errors
    /// [`LabError::Ip`] where it is missing, [`LabError::Interface`] where it refuses.
    pub fn ip(&self, commands: &str) -> Result<(), LabError> {
        self.ip_with(&[], commands)
    }

    /// Has nftables load rules inside, all of them or none.
    ///
    /// # Errors
    /// [`LabError::Nft`] where it is missing, [`LabError::Rules`] where it refuses.
    pub fn nft(&self, rules: &str) -> Result<(), LabError> {
        let result = self.feed("nft", &["-f", "-"], rules).map_err(LabError::Nft)?;
        result.map_err(|said| LabError::Rules { said })
    }

    /// The same as [`ip`](Self::ip) with options of `ip`.
    pub(crate) fn ip_with(&self, options: &[&str], commands: &str) -> Result<(), LabError> {
        let arguments = [options, &["-batch", "-"]].concat();
        let result = self.feed("ip", &arguments, commands).map_err(LabError::Ip)?;
        result.map_err(|said| LabError::Interface { said })
    }

    /// Joins this namespace and another by a cable that delays and loses nothing, with a card of
    /// its own at either end. Both are down, and gone with the first of the two namespaces.
    pub(crate) fn join(&self, card: &str, other: &Self, its_card: &str) -> Result<(), LabError> {
        // The namespace has no name, but the handle on it has one as long as it is open.
        let place = format!("/proc/{}/fd/{}", process::id(), other.handle.as_raw_fd());
        self.ip(&format!("link add name {card} type veth peer name {its_card} netns {place}\n"))
    }

    /// Another handle on the same namespace.
    ///
    /// # Panics
    /// If the process has no file handle left.
    pub(crate) fn share(&self) -> Self {
        Self { handle: self.handle.try_clone().expect("a file handle is left") }
    }

    /// Runs a program inside that reads from stdin what to do, and tells what it said if it failed.
    fn feed(
        &self,
        program: &str,
        arguments: &[&str],
        work: &str,
    ) -> io::Result<Result<(), String>> {
        let output = self.call(|| {
            let mut program = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut input) = program.stdin.take() {
                // One that ended early says why on stderr.
                let _ = io::Write::write_all(&mut input, work.as_bytes());
            }
            program.wait_with_output()
        })?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Moves the calling thread, and what it makes from now on, into this namespace.
    fn enter(&self) {
        setns(&self.handle, CloneFlags::CLONE_NEWNET)
            .expect("who was allowed to make a namespace may enter it");
    }
}

/// What a thread returned; a panic goes on in the caller.
pub(crate) fn joined<T>(result: thread::Result<T>) -> T {
    result.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only a few file handles")
}
