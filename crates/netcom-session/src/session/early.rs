//! Data that goes out before it is known which process it goes to.
//!
//! A link that asks for a new session carries data in its first flight (E-23), and whichever
//! process is at its other end serves it. Until its answer comes nobody knows which one that was,
//! and where no answer comes nobody ever will. So what went to one process that way goes to no
//! other: the transport tells processes apart by their certificates.

use std::collections::BTreeSet;

use super::Session;
use crate::{Code, LinkId, StreamId};

/// What links carried that ended before the session knew its process.
#[derive(Debug)]
pub(super) struct EarlyData {
    /// Where they led.
    process: u64,
    /// The streams it was of. Few: a side opens no more before the peer's hello.
    streams: BTreeSet<StreamId>,
}

impl Session {
    /// Data goes to this process from now on, which has the session if it took what went out early.
    /// Streams of which something may have been served elsewhere end: sent again, they could be
    /// served twice.
    pub(super) fn turn_early_to(&mut self, process: u64, has_early: bool) {
        let Some(early) = self.early.take() else { return };
        match repeat(early.process, process, has_early) {
            Ok(()) => self.early = Some(early),
            Err(code) => self.fail_streams(early.streams, code),
        }
    }

    /// Lets links wait for their answers that ask for a new session, now that it has a process:
    /// another one may be at their other ends, which knows none of the session's streams.
    pub(super) fn mute_open_links(&mut self) {
        for link in self.links.iter_mut().filter(|link| link.is_open_to_all) {
            link.is_mute = true;
        }
    }

    /// A link ends. If it had no answer, it decides where what it carried may be sent again.
    pub(super) fn lose_early(&mut self, id: LinkId) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        if !std::mem::take(&mut link.is_open_to_all) || self.core.ended.is_some() {
            return;
        }
        let process = link.spec.process;
        let streams: BTreeSet<_> = link.streams_held().collect();
        let next = match self.bound {
            Some(bound) => repeat(process, bound.process, bound.has_early),
            None => {
                let mut open = self.links.iter().filter(|link| link.is_open_to_all);
                open.try_for_each(|link| repeat(process, link.spec.process, true))
            }
        };
        if let Err(code) = next {
            return self.fail_streams(streams, code);
        }
        if self.bound.is_none() && !streams.is_empty() {
            let new = || Box::new(EarlyData { process, streams: BTreeSet::new() });
            self.early.get_or_insert_with(new).streams.extend(streams);
        }
    }

    /// The process at the other end of this link served what it carried, and is another one.
    pub(super) fn fail_streams_of(&mut self, id: LinkId) {
        let Some(link) = self.links.iter().find(|link| link.id == id) else { return };
        let streams = link.streams_held().collect();
        self.fail_streams(streams, Code::INSTANCE_CHANGED);
    }

    fn fail_streams(&mut self, streams: BTreeSet<StreamId>, code: Code) {
        streams.into_iter().for_each(|id| self.core.fail_stream(id, code));
    }
}

/// Whether what went to one process may be sent again to this one, or why not.
fn repeat(went_to: u64, process: u64, has_early: bool) -> Result<(), Code> {
    if went_to != process {
        return Err(Code::INSTANCE_CHANGED);
    }
    if has_early { Ok(()) } else { Err(Code::LINK_LOST) }
}
