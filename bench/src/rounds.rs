//! Rounds: every peer once in each, and each begins with another one.

use std::{path::Path, thread, time::Duration};

use anyhow::{Result, bail, ensure};
use frame::cpu::Watch;

use crate::{
    cli::Options,
    peers::Peer,
    process,
    progress::Progress,
    report::{self, Machine, Report, Settings},
};

/// Measures, and reports on the terminal and in files.
pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = options.plan();
    let rounds = options.rounds.unwrap_or(if options.quick { QUICK_ROUNDS } else { LONG_ROUNDS });
    let has_some = |peer: &Peer| plan.cases.iter().any(|&case| peer.has(case));
    let peers: Vec<Peer> = options.peers().into_iter().filter(has_some).collect();
    ensure!(!peers.is_empty(), "none of these peers has any of these cases");
    if let Some(missing) = options.missing() {
        eprintln!("{missing}");
    }
    Peer::build(&peers)?;
    let machine = Machine::look();
    if machine.is_busy() {
        eprintln!("this machine is busy ({}): the figures will not be worth much", machine.load);
    }
    let settings = Settings::new(&plan, rounds, options.runs.threads);
    let mut report = Report::new(settings, machine, &peers);
    let mut progress = Progress::begin(&peers, &plan, rounds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let latest = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/latest.json");
    let file = options.save.clone().unwrap_or(latest);
    let mut spoilt = 0;
    for round in 1..=rounds {
        progress.round(round);
        for peer in in_turn(&peers, round) {
            loop {
                if options.calm {
                    wait_for_calm()?;
                }
                let watch = Watch::begin();
                let measured = process::measure(peer, &plan, options.runs, &progress);
                let findings = runtime.block_on(measured);
                let others = watch.and_then(Watch::others);
                if options.calm && others.is_some_and(|others| others > CALM) {
                    spoilt += 1;
                    ensure!(spoilt <= rounds * MAX_SPOILT, "this machine does not calm down");
                    continue;
                }
                report.add(peer, round, findings, others);
                progress.done(peer);
                break;
            }
        }
        // Whoever ends the run early keeps the rounds that were measured.
        report.close(spoilt);
        report::save(&report, &file)?;
    }
    progress.end();
    println!("{}", report::table(&report));
    println!("{} and the chart beside it tell all rounds", file.display());
    let gaps = report.gaps();
    ensure!(gaps == 0, "{gaps} measurements failed");
    Ok(())
}

/// All peers in the order of a round. Each round begins one further, so that no peer is always the
/// first or the last.
fn in_turn(peers: &[Peer], round: u32) -> impl Iterator<Item = Peer> {
    let (before, after) = peers.split_at((round as usize - 1) % peers.len());
    after.iter().chain(before).copied()
}

/// Waits until others let the processors rest for a second.
fn wait_for_calm() -> Result<()> {
    for _ in 0..MAX_WAIT {
        let watch = Watch::begin();
        thread::sleep(Duration::from_secs(1));
        if watch.and_then(Watch::others).is_none_or(|others| others <= CALM) {
            return Ok(());
        }
    }
    bail!("this machine does not calm down")
}

const QUICK_ROUNDS: u32 = 3;
const LONG_ROUNDS: u32 = 7;
/// The share of the processors that others may have in a calm measurement.
const CALM: f64 = 0.08;
/// Seconds to wait for one.
const MAX_WAIT: u32 = 3600;
/// Measurements that may be repeated, for each round.
const MAX_SPOILT: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_peer_and_has_all() {
        let peers = [Peer::Tcp, Peer::Rustls, Peer::Quinn];
        let order = |round| in_turn(&peers, round).collect::<Vec<_>>();

        assert_eq!(order(1), [Peer::Tcp, Peer::Rustls, Peer::Quinn]);
        assert_eq!(order(2), [Peer::Rustls, Peer::Quinn, Peer::Tcp]);
        assert_eq!(order(3), [Peer::Quinn, Peer::Tcp, Peer::Rustls]);
        assert_eq!(order(4), order(1));
    }
}
