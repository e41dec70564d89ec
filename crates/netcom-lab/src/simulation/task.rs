//! One side of an attempt: writes, reads, compares.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use netcom_session::{Code, Flow, ReadError, ReadState, Session, StreamId, Time, WriteError};

use super::{
    check::Failure,
    exchange::{Appetite, Attempt, Exchange, GiveUp, How, Line},
    node::Context,
};

/// What an application does with one stream.
#[derive(Debug)]
pub(super) struct Task {
    attempt: Attempt,
    is_opener: bool,
    outputs: Vec<Progress>,
    inputs: Vec<Progress>,
    /// What it sends waits until all was read.
    is_answer: bool,
    is_finished: bool,
    is_done: bool,
    appetite: Option<Appetite>,
    reads_at: Option<Time>,
    gives_up: Option<GiveUp>,
    /// Bytes that went either way.
    moved: u64,
    /// When the last of them did, on the world's clock.
    moved_at: Time,
}

/// What to do with the stream next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// Wait for an event.
    Waits,
    /// Wait for an event or for this moment.
    ReadsAt(Time),
    /// Drop it: everything went both ways.
    Done,
    /// Drop it: this side lost interest.
    GaveUp,
    /// Drop it.
    Failed(Failure),
}

#[derive(Debug)]
struct Progress {
    line: Line,
    moved: u64,
    is_ended: bool,
}

impl Task {
    pub(super) fn new(attempt: Attempt, exchange: &Exchange, is_opener: bool, now: Time) -> Self {
        let progress = |line| Progress { line, moved: 0, is_ended: false };
        let may_give_up = |it: &GiveUp| it.is_opener == is_opener && attempt.number == 0;
        Self {
            attempt,
            is_opener,
            outputs: exchange.sends(is_opener).into_iter().map(progress).collect(),
            inputs: exchange.reads(is_opener).into_iter().map(progress).collect(),
            is_answer: exchange.is_request && !is_opener,
            is_finished: false,
            is_done: false,
            appetite: exchange.appetite,
            reads_at: None,
            gives_up: exchange.gives_up.filter(may_give_up),
            moved: 0,
            moved_at: now,
        }
    }

    /// Does what can be done now.
    pub(super) fn advance(
        &mut self,
        session: &mut Session,
        stream: StreamId,
        cx: &mut Context<'_>,
    ) -> Turn {
        let before = self.moved;
        let turn = self.go_on(session, stream, cx);
        if self.moved > before {
            self.moved_at = cx.at;
        }
        turn
    }

    /// Whether nothing has moved for longer than anybody waits.
    pub(super) fn is_stuck(&self, at: Time) -> bool {
        at - self.moved_at >= PATIENCE
    }

    pub(super) fn attempt(&self) -> Attempt {
        self.attempt
    }

    pub(super) fn is_opener(&self) -> bool {
        self.is_opener
    }

    /// Whether this side has all it wanted, and only waits for its last bytes to be acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// What to do where the stream ended with this: an opener that has its answer does not mind.
    pub(super) fn failed(&self, code: Code) -> Turn {
        let has_read_all = self.inputs.iter().all(|input| input.is_ended);
        if self.is_done {
            return Turn::Done;
        }
        Turn::Failed(Failure::Ended { code, has_read_all })
    }

    fn go_on(&mut self, session: &mut Session, stream: StreamId, cx: &mut Context<'_>) -> Turn {
        let read_at = self.reads_at;
        let moved = self.read(session, stream, cx).and_then(|()| {
            let may_write = !self.is_answer || self.inputs.iter().all(|input| input.is_ended);
            if may_write { self.write(session, stream, cx.now) } else { Ok(()) }
        });
        // Also where the other side was sooner.
        if self.loses_interest(session, stream, cx.now) {
            return Turn::GaveUp;
        }
        if let Err(code) = moved {
            return self.failed(code);
        }
        if self.is_finished && self.inputs.iter().all(|input| input.is_ended) {
            if self.is_opener && !std::mem::replace(&mut self.is_done, true) {
                cx.ledger.done(self.attempt);
            }
            match self.delivery(session, stream) {
                Ok(true) => return Turn::Done,
                Ok(false) => {}
                Err(code) => return self.failed(code),
            }
        }
        self.reads_at.filter(|at| Some(*at) != read_at).map_or(Turn::Waits, Turn::ReadsAt)
    }

    fn read(
        &mut self,
        session: &mut Session,
        stream: StreamId,
        cx: &mut Context<'_>,
    ) -> Result<(), Code> {
        if self.reads_at.is_some_and(|at| cx.now < at) && session.closed().is_none() {
            return Ok(());
        }
        self.reads_at = None;
        for at in 0..self.inputs.len() {
            while !self.inputs[at].is_ended && self.read_once(at, session, stream, cx)? {}
        }
        Ok(())
    }

    /// Reads what there is of a line. Returns whether there may be more at once.
    fn read_once(
        &mut self,
        at: usize,
        session: &mut Session,
        stream: StreamId,
        cx: &mut Context<'_>,
    ) -> Result<bool, Code> {
        let most = self.appetite.map_or(usize::MAX >> 1, |appetite| appetite.bytes);
        let mut chunks = VecDeque::new();
        let flow = self.inputs[at].line.flow;
        let state = session.read(stream, flow, most, &mut chunks, cx.now);
        for chunk in chunks {
            self.moved += chunk.len() as u64;
            self.inputs[at].compare(self.attempt, chunk, cx);
        }
        match state {
            Ok(ReadState::Finished) => {
                self.inputs[at].end(self.attempt, cx);
                Ok(false)
            }
            Ok(ReadState::Blocked) => Ok(false),
            Ok(ReadState::Open) => {
                self.reads_at = self.appetite.map(|appetite| cx.now + appetite.pause);
                Ok(self.reads_at.is_none() || session.closed().is_some())
            }
            Err(ReadError::Reset(code) | ReadError::SessionEnded(code)) => Err(code),
            Err(_) => Err(Code::INTERNAL),
        }
    }

    fn write(&mut self, session: &mut Session, stream: StreamId, now: Time) -> Result<(), Code> {
        for output in &mut self.outputs {
            let line = output.line;
            while output.moved < line.length {
                let mut bytes = line.bytes(self.attempt, output.moved..line.length);
                let taken = session
                    .write(stream, line.flow, &mut bytes, now)
                    .map_err(|error| code(&error))?;
                if taken == 0 {
                    break;
                }
                output.moved += taken as u64;
                self.moved += taken as u64;
            }
        }
        let is_written = self.outputs.iter().all(|output| output.moved == output.line.length);
        if is_written && !self.is_finished {
            session.finish_all(stream, now).map_err(|error| code(&error))?;
            self.is_finished = true;
        }
        Ok(())
    }

    /// Whether everything this side sent was acknowledged.
    fn delivery(&self, session: &Session, stream: StreamId) -> Result<bool, Code> {
        let is_open = self.outputs.iter().any(|output| {
            // What is no longer known of was acknowledged.
            let progress = session.send_progress(stream, output.line.flow);
            progress.is_some_and(|progress| !progress.is_finished)
        });
        match session.closed() {
            Some(closed) if is_open => Err(closed.code),
            _ => Ok(!is_open),
        }
    }

    fn loses_interest(&mut self, session: &mut Session, stream: StreamId, now: Time) -> bool {
        let Some(it) = self.gives_up.take_if(|it| it.after <= self.moved) else { return false };
        match it.how {
            How::Reset => session.reset(stream, Flow::Data, Code::CANCELLED, now),
            How::Stop => session.stop(stream, Flow::Data, Code::CANCELLED, now),
            How::Drop => {}
        }
        true
    }
}

impl Progress {
    /// Holds what was read against what was sent.
    fn compare(&mut self, attempt: Attempt, mut read: Bytes, cx: &mut Context<'_>) {
        while !read.is_empty() {
            let from = self.moved;
            let sent = self.line.bytes(attempt, from..from + read.len() as u64);
            if sent.is_empty() || read.split_to(sent.len()) != sent {
                let line = self.line;
                return cx.ledger.broken(cx.at, || {
                    format!("{attempt}: other bytes than were sent, from {from} on, of {line:?}")
                });
            }
            self.moved += sent.len() as u64;
        }
    }

    /// The line ended, which must not be before its end.
    fn end(&mut self, attempt: Attempt, cx: &mut Context<'_>) {
        self.is_ended = true;
        let (moved, line) = (self.moved, self.line);
        // Who drops a stream has no more errors to tell, and gives up the data alone.
        let is_dropped = line.flow == Flow::Error && cx.ledger.is_given_up(attempt);
        if moved < line.length && !is_dropped {
            cx.ledger.broken(cx.at, || format!("{attempt}: an end after {moved} of {line:?}"));
        }
    }
}

fn code(error: &WriteError) -> Code {
    match error {
        WriteError::Reset(code) | WriteError::SessionEnded(code) => *code,
        // Nobody writes to what it ended.
        _ => Code::INTERNAL,
    }
}

/// How long an application waits for anything to move.
const PATIENCE: Duration = Duration::from_secs(120);
