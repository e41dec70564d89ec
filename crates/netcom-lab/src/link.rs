//! The handle on the link between two namespaces while it runs.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};
use tun_rs::SyncDevice;

use crate::{
    Change, Condition, Counters, LabError, Lateness, LinkSpec, PathSpec, Side,
    control::Controls,
    counters::Tally,
    forwarder::{Forwarder, hurry},
    lateness::LatenessTally,
    namespace::joined,
    recording::Recording,
};

/// A running link; dropped, it ends and its interfaces vanish.
///
/// What is asked of it holds for each packet that is sent after the call returned; what is on its
/// way then arrives as it would have, unless the link is down.
pub struct Link {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Starts to forward between two devices that do not block.
    pub(crate) fn start(spec: LinkSpec, devices: [SyncDevice; 2]) -> Result<Self, LabError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| LabError::Forwarder(error.into()))?;
        let shared = Arc::new(Shared::new(wake, spec));
        let forwarder = Forwarder::new(spec, devices, Arc::clone(&shared));
        let (send_ready, ready) = mpsc::sync_channel(1);
        let work = move || {
            hurry();
            // Nobody waits for it only if somebody panicked.
            let _ = send_ready.send(());
            forwarder.run();
        };
        let thread = thread::Builder::new().name("lab link".to_owned()).spawn(work);
        let thread = Some(thread.map_err(LabError::Forwarder)?);
        // So that the first packet finds it running.
        let _ = ready.recv();
        Ok(Self { shared, thread })
    }

    /// Changes what the link does in both directions, with what is on its way too.
    pub fn set(&self, condition: Condition) {
        self.apply(Change::Set(condition));
    }

    /// Changes what the link does with packets from one side alone, with those on their way too.
    pub fn set_from(&self, side: Side, condition: Condition) {
        self.apply(Change::SetFrom(side, condition));
    }

    /// Changes what the path from one side is like.
    pub fn change(&self, from: Side, path: PathSpec) {
        self.apply(Change::Path(from, path));
    }

    /// Lets no UDP through, or all again. Default: all.
    pub fn block_udp(&self, is_blocked: bool) {
        self.apply(Change::BlockUdp(is_blocked));
    }

    /// Lets no TCP through, or all again. Default: all.
    pub fn block_tcp(&self, is_blocked: bool) {
        self.apply(Change::BlockTcp(is_blocked));
    }

    /// Makes one change now.
    pub fn apply(&self, change: Change) {
        self.shared.controls.apply(change);
    }

    /// Makes each change so long after this call, in place of those of an earlier script that are
    /// still to come.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use netcom_lab::{Change, Condition, Link};
    /// /// Takes the link away for two seconds.
    /// fn flap(link: &Link) {
    ///     link.follow([
    ///         (Duration::from_secs(1), Change::Set(Condition::Down)),
    ///         (Duration::from_secs(3), Change::Set(Condition::Up)),
    ///     ]);
    /// }
    /// ```
    pub fn follow(&self, script: impl IntoIterator<Item = (Duration, Change)>) {
        self.shared.controls.follow(script);
        self.shared.wake();
    }

    /// Begins a file of all packets with the moments they were sent at, lost ones too, as
    /// Wireshark and tcpdump read it. It ends an earlier one. It is there for people: writing it
    /// makes the link less exact.
    ///
    /// # Errors
    /// If the file cannot be made, or the earlier one could not be written.
    pub fn record(&self, file: impl AsRef<Path>) -> io::Result<()> {
        self.shared.recording.start(file.as_ref())
    }

    /// Ends the file of packets, if there is one.
    ///
    /// # Errors
    /// If the file lacks packets because it could not be written.
    pub fn end_record(&self) -> io::Result<()> {
        self.shared.recording.end()
    }

    /// Tells what became of the packets that were sent from one side.
    #[must_use]
    pub fn counters(&self, from: Side) -> Counters {
        self.shared.tallies[from.index()].counters()
    }

    /// Tells how late packets were handed over in both directions since the link began.
    #[must_use]
    pub fn lateness(&self) -> Lateness {
        self.shared.lateness.lateness()
    }

    /// Tells what happens to packets from one side.
    #[must_use]
    pub fn condition(&self, from: Side) -> Condition {
        self.shared.controls.state().conditions[from.index()]
    }

    /// Tells what the path from one side is like.
    #[must_use]
    pub fn path(&self, from: Side) -> PathSpec {
        self.shared.controls.state().paths[from.index()]
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = Side::BOTH.map(|side| self.counters(side));
        f.debug_struct("Link").field("counters", &counters).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.wake();
        let Some(thread) = self.thread.take() else { return };
        let result = thread.join();
        // A second panic would abort the process and hide the first one.
        if !thread::panicking() {
            joined(result);
        }
    }
}

/// What the handle and the forwarding thread share.
pub(crate) struct Shared {
    pub(crate) wake: OwnedFd,
    is_over: AtomicBool,
    pub(crate) controls: Controls,
    pub(crate) recording: Recording,
    pub(crate) tallies: [Tally; 2],
    pub(crate) lateness: LatenessTally,
}

impl Shared {
    fn new(wake: OwnedFd, spec: LinkSpec) -> Self {
        Self {
            wake,
            is_over: AtomicBool::new(false),
            controls: Controls::new(spec.paths),
            recording: Recording::default(),
            tallies: Default::default(),
            lateness: LatenessTally::new(),
        }
    }

    /// Has the forwarding thread look around.
    fn wake(&self) {
        // A counter of eight bytes in the machine's order; full, it has woken somebody anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}
