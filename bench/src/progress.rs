//! What is under way, for whoever waits.

use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use frame::{Case, Plan};

use crate::peers::Peer;

/// One line that is written over on a terminal, else a line for each round of a peer.
#[derive(Debug)]
pub(crate) struct Progress {
    round: u32,
    rounds: u32,
    begin: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Says how long the run may take.
    pub(crate) fn begin(peers: &[Peer], plan: &Plan, rounds: u32) -> Self {
        let cases = || peers.iter().flat_map(|peer| plan.cases.iter().filter(|&&c| peer.has(c)));
        let apart = cases().filter(|case| case.is_apart()).count();
        let starts = START * u32::try_from(peers.len() + apart).unwrap_or(u32::MAX);
        let usual: Duration = cases().map(|&case| plan.duration_of(case)).sum();
        let longest: Duration = cases().map(|&case| plan.patience_of(case) + LOSS).sum();
        eprintln!(
            "{} cases of {} peers, {rounds} rounds: about {}, {} if everything hangs",
            cases().count(),
            peers.len(),
            minutes(rounds * (usual + starts)),
            minutes(rounds * longest),
        );
        Self { round: 0, rounds, begin: Instant::now(), is_terminal: stderr().is_terminal() }
    }

    pub(crate) fn round(&mut self, round: u32) {
        self.round = round;
    }

    pub(crate) fn case(&self, peer: Peer, case: Case) {
        if self.is_terminal {
            let Self { round, rounds, .. } = self;
            let what = format!("{}: {}", peer.title(), case.title());
            eprint!("\rround {round} of {rounds}: {what:60}");
        }
    }

    /// A round of a peer is over.
    pub(crate) fn done(&self, peer: Peer) {
        if !self.is_terminal {
            let Self { round, rounds, begin, .. } = self;
            let (title, passed) = (peer.title(), begin.elapsed().as_secs());
            eprintln!("round {round} of {rounds}: {title} is measured, {passed} s since the start");
        }
    }

    /// The run is over.
    pub(crate) fn end(&self) {
        if self.is_terminal {
            eprint!("\r{:80}\r", "");
        }
    }
}

fn minutes(duration: Duration) -> String {
    format!("{} min", duration.as_secs().div_ceil(60))
}

/// What the start of both processes takes.
const START: Duration = Duration::from_millis(700);
/// What the end of hanging processes and the start of others takes at most.
const LOSS: Duration = Duration::from_secs(30);
