//! All measurements of a run: each round has every peer once, so what changes on the machine meets
//! all.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{
    cli::Options,
    peers::Peer,
    report::Report,
    scene::{self, Fault},
};

/// Measures everything. What failed is in the report.
pub(crate) fn measure(options: &Options) -> Report {
    let peers = options.peers();
    let mut report = Report::new(&peers);
    for round in 1..=options.runs {
        for &peer in peers.iter().filter(|peer| peer.stripes()) {
            for links in [1, 2] {
                eprintln!("rates, round {round} of {}: {peer}, links: {links}", options.runs);
                report.add_rate(peer, links, scene::rate(peer, links));
            }
        }
    }
    fail(options, &peers, report)
}

/// Fails links, several at once: most of such a measurement is waiting.
fn fail(options: &Options, peers: &[Peer], report: Report) -> Report {
    let mut round: Vec<(Peer, Fault)> = Vec::new();
    for &peer in peers {
        round.extend(Fault::ALL.iter().filter(|fault| fault.meets(peer)).map(|&it| (peer, it)));
    }
    let jobs: VecDeque<_> = (0..options.cuts).flat_map(|_| round.iter().copied()).collect();
    let (jobs, report) = (Mutex::new(jobs), Mutex::new(report));
    thread::scope(|scope| {
        for _ in 0..options.at_once.max(1) {
            scope.spawn(|| {
                // The guard of the queue is gone before the work begins.
                while let Some((peer, fault)) = next(&jobs) {
                    let seen = scene::fail(peer, fault);
                    eprintln!("{peer}, {fault}: {seen:.2?}");
                    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                    report.add_fault(peer, fault, seen);
                }
            });
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn next<T>(jobs: &Mutex<VecDeque<T>>) -> Option<T> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
