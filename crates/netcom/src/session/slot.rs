//! What the shell keeps of a stream beside the engine: who waits for what, and how it was stopped.

use std::task::Waker;

use bytes::Bytes;
use netcom_session::{Code, Flow};

/// One stream that the application holds.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The protocol's name.
    pub(crate) protocol: Bytes,
    /// This side opened it.
    pub(crate) is_local: bool,
    /// The connection it was opened through; 0 for none.
    pub(crate) owner: u64,
    /// All its halves had ended before the session did.
    pub(crate) ended_whole: bool,
    /// The peer asked to stop writing these flows.
    stopped: [Option<Code>; 2],
    wakers: [Option<Waker>; INTERESTS],
}

/// What a task may wait for on a stream. One task each: the halves are not shared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interest {
    /// Bytes, the end or a reset.
    Read(Flow),
    /// Room.
    Write(Flow),
    /// The acknowledgement of the end.
    Finish(Flow),
    /// The peer's loss of interest.
    Stop,
}

impl Slot {
    pub(crate) fn new(protocol: Bytes, is_local: bool, owner: u64) -> Self {
        Self {
            protocol,
            is_local,
            owner,
            ended_whole: false,
            stopped: [None; 2],
            wakers: [const { None }; INTERESTS],
        }
    }

    /// Notes who waits.
    pub(crate) fn wait(&mut self, interest: Interest, waker: &Waker) {
        match &mut self.wakers[interest.index()] {
            Some(known) => known.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }

    /// Takes out who waits.
    pub(crate) fn take(&mut self, interest: Interest) -> Option<Waker> {
        self.wakers[interest.index()].take()
    }

    /// Takes out all who wait.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waker> + '_ {
        self.wakers.iter_mut().filter_map(Option::take)
    }

    /// Notes that the peer asked to stop.
    pub(crate) fn stop(&mut self, flow: Flow, code: Code) {
        self.stopped[index(flow)].get_or_insert(code);
    }

    /// Why the peer asked to stop, if it did.
    pub(crate) fn stopped(&self, flow: Flow) -> Option<Code> {
        self.stopped[index(flow)]
    }
}

impl Interest {
    fn index(self) -> usize {
        match self {
            Self::Read(flow) => index(flow),
            Self::Write(flow) => 2 + index(flow),
            Self::Finish(flow) => 4 + index(flow),
            Self::Stop => 6,
        }
    }
}

fn index(flow: Flow) -> usize {
    usize::from(flow == Flow::Error)
}

const INTERESTS: usize = 7;
