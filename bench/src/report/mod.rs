//! What a run found: as a table, as JSON, as a chart.

mod chart;
mod lines;
mod machine;
mod spread;
mod table;
mod wishes;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use frame::{Case, Findings, Measurement, Plan};
use serde::Serialize;

use crate::peers::Peer;

pub(crate) use self::{
    lines::Line,
    machine::Machine,
    spread::{ByRound, Spread},
    table::table,
};

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The version of this form.
    schema: u32,
    machine: Machine,
    settings: Settings,
    /// Measurements that were repeated because others used the machine.
    repeated: u32,
    peers: Vec<PeerReport>,
    ratios: Vec<Ratio>,
    lines: Vec<Line>,
}

/// How the run was made.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    rounds: u32,
    warm_up_seconds: f64,
    bulk_seconds: f64,
    latency_seconds: f64,
    rate_seconds: f64,
    sessions: usize,
    cases: Vec<Case>,
    /// Of all programs.
    build: &'static str,
    allocator: &'static str,
    /// Of each end's runtime; as many as there are processors if nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
}

/// What was found of a peer.
#[derive(Debug, Serialize)]
pub(crate) struct PeerReport {
    #[serde(skip)]
    peer: Peer,
    name: String,
    title: &'static str,
    configuration: Vec<String>,
    facts: Vec<String>,
    /// What failed, in the order of the rounds.
    failures: Vec<Failure>,
    /// Cases the peer has and that cannot be measured.
    left_out: Vec<LeftOut>,
    /// The share of the processors that others had in each round.
    others: Vec<f64>,
    cases: BTreeMap<Case, CaseReport>,
}

/// What was found of a case.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CaseReport {
    unit: &'static str,
    spread: Spread,
    /// In their order, without those in which the case failed.
    rounds: Vec<Round>,
}

/// A case in one round.
#[derive(Debug, Serialize)]
struct Round {
    round: u32,
    #[serde(flatten)]
    measurement: Measurement,
}

/// What failed, and why.
#[derive(Debug, Serialize)]
struct Failure {
    round: u32,
    case: Case,
    why: String,
}

/// What is not measured, and why.
#[derive(Debug, Serialize)]
struct LeftOut {
    case: Case,
    why: &'static str,
}

/// One peer to another, round by round: above 1, the first is the better one.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    of: String,
    to: String,
    case: Case,
    /// What the first was measured by, if it is not the case itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Case>,
    spread: Spread,
}

impl Report {
    pub(crate) fn new(settings: Settings, machine: Machine, peers: &[Peer]) -> Self {
        let peers = peers.iter().map(|&peer| PeerReport::new(peer)).collect();
        Self {
            schema: SCHEMA,
            machine,
            settings,
            repeated: 0,
            peers,
            ratios: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Takes one round of a peer, and the share of the processors that others had meanwhile.
    pub(crate) fn add(&mut self, peer: Peer, round: u32, findings: Findings, others: Option<f64>) {
        let Some(report) = self.peers.iter_mut().find(|report| report.peer == peer) else { return };
        if !findings.facts.is_empty() {
            report.facts = findings.facts;
        }
        report.others.extend(others);
        let failed = |(case, why)| Failure { round, case, why };
        report.failures.extend(findings.failures.into_iter().map(failed));
        for (case, measurement) in findings.cases {
            let report = report.cases.entry(case).or_default();
            report.unit = case.unit();
            report.rounds.push(Round { round, measurement });
        }
    }

    /// How many failed measurements leave a gap: ours, and those of a case that failed in every
    /// round. What others now and then fail in is told, and left out of their medians.
    pub(crate) fn gaps(&self) -> usize {
        let is_gap = |peer: &PeerReport, failure: &Failure| {
            peer.peer.is_ours() || !peer.cases.contains_key(&failure.case)
        };
        let gaps = self
            .peers
            .iter()
            .map(|peer| peer.failures.iter().filter(|failure| is_gap(peer, failure)).count());
        gaps.sum()
    }

    /// Makes the medians when the last round is over.
    pub(crate) fn close(&mut self, repeated: u32) {
        self.repeated = repeated;
        self.machine.look_again();
        for case in self.peers.iter_mut().flat_map(|peer| peer.cases.values_mut()) {
            case.spread = Spread::of(case.values().into_values());
        }
        self.ratios = self.compare();
        self.lines = lines::lines(&self.peers, &self.settings.cases);
    }

    /// The share of the processors that others had, over all measurements.
    fn others(&self) -> Spread {
        Spread::of(self.peers.iter().flat_map(|peer| peer.others.iter().copied()))
    }

    /// Ours to each of the others in the same language, in each case, and our slices to their
    /// slices.
    fn compare(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        let (ours, others): (Vec<_>, Vec<_>) =
            self.peers.iter().partition(|report| report.peer.is_ours());
        let itself = Case::ALL.map(|case| (case, None));
        for (case, by) in itself.into_iter().chain([(Case::Bulk, Some(Case::BulkSlices))]) {
            for of in &ours {
                let others = others.iter().filter(|to| to.peer.is_python() == of.peer.is_python());
                ratios.extend(others.filter_map(|to| Ratio::new(of, to, case, by)));
            }
        }
        ratios
    }
}

impl Settings {
    pub(crate) fn new(plan: &Plan, rounds: u32, threads: Option<usize>) -> Self {
        Self {
            rounds,
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            bulk_seconds: plan.bulk.as_secs_f64(),
            latency_seconds: plan.latency.as_secs_f64(),
            rate_seconds: plan.rate.as_secs_f64(),
            sessions: plan.sessions,
            cases: plan.cases.clone(),
            build: "release, thin LTO",
            allocator: "the system's",
            threads,
        }
    }
}

impl PeerReport {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            name: peer.name(),
            title: peer.title(),
            configuration: peer.configuration(),
            facts: Vec::new(),
            failures: Vec::new(),
            left_out: peer.left_out().iter().map(|&(case, why)| LeftOut { case, why }).collect(),
            others: Vec::new(),
            cases: BTreeMap::new(),
        }
    }
}

impl CaseReport {
    fn values(&self) -> ByRound {
        self.rounds.iter().map(|round| (round.round, round.measurement.value)).collect()
    }

    /// Processor seconds of both ends for a GiB.
    fn cpu_per_gibibyte(&self) -> Option<ByRound> {
        let each = |round: &Round| {
            let gibibytes = round.measurement.count as f64 / GIBIBYTE;
            Some((round.round, round.measurement.cpu_seconds? / gibibytes))
        };
        self.rounds.iter().map(each).collect()
    }

    /// Processor time of the client for each of what is counted, in µs.
    fn client_cpu_each(&self) -> Option<ByRound> {
        let each = |round: &Round| {
            let seconds = round.measurement.client_cpu_seconds?;
            Some((round.round, seconds * 1e6 / round.measurement.count as f64))
        };
        self.rounds.iter().map(each).collect()
    }

    /// What the client's end takes, where both are told.
    fn client(&self) -> Option<ByRound> {
        let each = |round: &Round| Some((round.round, round.measurement.client?));
        self.rounds.iter().map(each).collect()
    }
}

impl Ratio {
    fn new(of: &PeerReport, to: &PeerReport, case: Case, by: Option<Case>) -> Option<Self> {
        let ours = of.cases.get(&by.unwrap_or(case))?.values();
        let theirs = to.cases.get(&case)?.values();
        let spread = match case.is_rate() {
            true => Spread::of_ratios(&ours, &theirs)?,
            false => Spread::of_ratios(&theirs, &ours)?,
        };
        Some(Self { of: of.name.clone(), to: to.name.clone(), case, by, spread })
    }
}

/// Writes the results as JSON, and the chart beside them.
pub(crate) fn save(report: &Report, file: &Path) -> Result<()> {
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    write(file, serde_json::to_string_pretty(report)? + "\n")?;
    write(&file.with_extension("svg"), chart::svg(report))?;
    Ok(())
}

const SCHEMA: u32 = 3;
const GIBIBYTE: f64 = (1_u64 << 30) as f64;

#[cfg(test)]
mod tests {
    use frame::Event;

    use super::*;

    #[test]
    fn a_failure_of_others_is_a_gap_only_where_no_round_makes_up_for_it() {
        let settings = Settings::new(&Plan::QUICK, 2, None);
        let peers = [Peer::NetcomTcp, Peer::ZenohTls];
        let mut report = Report::new(settings, Machine::look(), &peers);
        let failed = || {
            let mut findings = Findings::default();
            findings.note(Event::Failed(Case::Bulk, "the stream broke".into()));
            findings
        };

        report.add(Peer::ZenohTls, 1, failed(), None);
        assert_eq!(report.gaps(), 1);
        let mut measured = Findings::default();
        measured.note(Event::Measured(Case::Bulk, Measurement::default()));
        report.add(Peer::ZenohTls, 2, measured, None);
        assert_eq!(report.gaps(), 0);
        report.add(Peer::NetcomTcp, 1, failed(), None);
        assert_eq!(report.gaps(), 1);
    }
}
