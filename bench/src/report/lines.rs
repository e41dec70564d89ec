//! The lines to reach: ours beside another, round by round.

use frame::Case;
use serde::Serialize;

use super::{ByRound, CaseReport, PeerReport, Spread, wishes};
use crate::peers::Peer;

/// A line and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) to: String,
    pub(crate) wanted: String,
    /// `None` if one of both failed in each round.
    pub(crate) ratio: Option<Spread>,
    /// The figure itself, where the line also sets a limit to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) figure: Option<f64>,
    /// Of the figure.
    #[serde(skip)]
    pub(crate) unit: &'static str,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The ratio is told beside the others, and nothing is asked of it.
    Told,
    NotMeasured,
}

/// What a line asks for.
pub(super) struct Wish {
    of: (Peer, Figure),
    to: (Peer, Figure),
    bound: Bound,
    /// Meets the line whatever the ratio is.
    enough: Option<f64>,
}

/// What is compared.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Figure {
    Of(Case),
    /// Processor time of both ends for what one stream carries.
    Cpu,
    /// Processor time of the client for each of many requests in flight.
    ClientCpu,
    /// Memory of the client for each idle session.
    ClientIdle,
}

#[derive(Clone, Copy)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// The figure itself is at most so much; the ratio is told.
    Itself(f64),
    Nothing,
}

/// All lines of which both sides belong to the run.
pub(super) fn lines(peers: &[PeerReport], cases: &[Case]) -> Vec<Line> {
    wishes::all().iter().filter_map(|wish| wish.judge(peers, cases)).collect()
}

impl Wish {
    pub(super) const fn new(of: (Peer, Figure), bound: Bound, to: (Peer, Figure)) -> Self {
        Self { of, to, bound, enough: None }
    }

    pub(super) const fn or_at_most(mut self, enough: f64) -> Self {
        self.enough = Some(enough);
        self
    }

    fn judge(&self, peers: &[PeerReport], cases: &[Case]) -> Option<Line> {
        let find = |(peer, figure): (Peer, Figure)| {
            let report = peers.iter().find(|report| report.peer == peer)?;
            cases.contains(&figure.case()).then(|| figure.rounds(report))
        };
        let (ours, theirs) = (find(self.of)?, find(self.to)?);
        let ratio = Spread::of_ratios(&ours, &theirs);
        let has_limit = self.enough.is_some() || matches!(self.bound, Bound::Itself(_));
        let has_figure = has_limit && !ours.is_empty();
        let figure = has_figure.then(|| Spread::of(ours.into_values()).median);
        let is_small = self.enough.zip(figure).is_some_and(|(enough, figure)| figure <= enough);
        let verdict = match (ratio, self.bound) {
            _ if is_small => Verdict::Met,
            (_, Bound::Itself(bound)) => match figure {
                Some(figure) if figure <= bound => Verdict::Met,
                Some(_) => Verdict::Missed,
                None => Verdict::NotMeasured,
            },
            (None, _) => Verdict::NotMeasured,
            (_, Bound::Nothing) => Verdict::Told,
            (Some(ratio), Bound::AtLeast(bound)) if ratio.median >= bound => Verdict::Met,
            (Some(ratio), Bound::AtMost(bound)) if ratio.median <= bound => Verdict::Met,
            _ => Verdict::Missed,
        };
        Some(Line {
            what: format!("{}: {}", self.of.0.title(), self.of.1.title()),
            to: match (self.of.0 == self.to.0, self.of.1 == self.to.1) {
                (true, _) => format!("own {}", self.to.1.title()),
                (false, true) => self.to.0.title().to_owned(),
                (false, false) => format!("{}, {}", self.to.0.title(), self.to.1.title()),
            },
            wanted: self.wanted(),
            ratio,
            figure,
            unit: self.of.1.unit(),
            verdict,
        })
    }

    fn wanted(&self) -> String {
        let bound = match self.bound {
            Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
            Bound::AtMost(bound) => format!("≤ {bound:.2}"),
            Bound::Itself(bound) => format!("≤ {bound:.0} {}", self.of.1.unit()),
            Bound::Nothing => String::new(),
        };
        let enough = self.enough.map(|enough| format!(", or ≤ {enough:.0} KiB"));
        bound + &enough.unwrap_or_default()
    }
}

impl Figure {
    fn title(self) -> &'static str {
        match self {
            Self::Of(case) => case.title(),
            Self::Cpu => "CPU s a GiB",
            Self::ClientCpu => "client's CPU a request, 100 in flight",
            Self::ClientIdle => "idle session, client",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Of(case) => case.unit(),
            Self::Cpu => "s",
            Self::ClientCpu => "µs",
            Self::ClientIdle => Case::Idle.unit(),
        }
    }

    /// What it is measured by.
    fn case(self) -> Case {
        match self {
            Self::Of(case) => case,
            Self::Cpu => Case::Bulk,
            Self::ClientCpu => Case::InFlight100,
            Self::ClientIdle => Case::Idle,
        }
    }

    fn rounds(self, report: &PeerReport) -> ByRound {
        let Some(found) = report.cases.get(&self.case()) else { return ByRound::new() };
        match self {
            Self::Of(_) => CaseReport::values(found),
            Self::Cpu => found.cpu_per_gibibyte().unwrap_or_default(),
            Self::ClientCpu => found.client_cpu_each().unwrap_or_default(),
            Self::ClientIdle => found.client().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use frame::Measurement;

    use super::*;
    use crate::report::Round;

    #[test]
    fn a_line_is_met_by_the_median_of_its_ratios() {
        let peers = [
            report(Peer::NetcomTcp, Case::Bulk, &[(1, 0.9), (2, 0.8), (3, 0.9)]),
            report(Peer::Rustls, Case::Bulk, &[(1, 1.0), (2, 1.0), (3, 1.0)]),
            report(Peer::ZenohTcp, Case::Bulk, &[(1, 1.0), (2, 1.0), (3, 1.0)]),
        ];

        let lines = lines(&peers, &[Case::Bulk]);

        let judged: Vec<_> = lines.iter().map(|line| (line.to.as_str(), line.verdict)).collect();
        let expected = [
            ("rustls", Verdict::Met),
            ("zenoh, plain TCP", Verdict::Missed),
            ("rustls", Verdict::NotMeasured),
        ];
        assert_eq!(judged, expected, "processor time was not told");
        assert_eq!(lines[0].ratio, Some(Spread { median: 0.9, min: 0.8, max: 0.9 }));
    }

    #[test]
    fn a_round_that_failed_is_compared_with_none() {
        let peers = [
            report(Peer::NetcomTcp, Case::Connect, &[(1, 2.0), (3, 6.0)]),
            report(Peer::Rustls, Case::Connect, &[(1, 2.0), (2, 1.0), (3, 6.0)]),
        ];

        let lines = lines(&peers, &[Case::Connect]);

        assert_eq!(lines[0].ratio, Some(Spread { median: 1.0, min: 1.0, max: 1.0 }));
    }

    #[test]
    fn a_line_of_a_peer_that_always_failed_is_not_measured() {
        let ours = report(Peer::NetcomTcp, Case::Connect, &[(1, 2.0)]);
        let peers = [ours, PeerReport::new(Peer::Rustls)];

        assert_eq!(lines(&peers, &[Case::Connect])[0].verdict, Verdict::NotMeasured);
        assert!(lines(&peers, &[Case::Bulk])[0].ratio.is_none());
        assert!(lines(&peers, &[Case::Idle]).iter().all(|line| line.figure.is_none()));
    }

    #[test]
    fn idle_sessions_that_are_small_meet_their_line_whatever_others_take() {
        let judge = |figure| {
            let ours = report(Peer::NetcomTcp, Case::Idle, &[(1, figure)]);
            let peers = [ours, report(Peer::Rustls, Case::Idle, &[(1, 10.0)])];
            lines(&peers, &[Case::Idle])[0].verdict
        };

        assert_eq!(judge(24.0), Verdict::Met);
        assert_eq!(judge(25.0), Verdict::Missed);
        assert_eq!(judge(12.0), Verdict::Met);
    }

    #[test]
    fn idle_sessions_are_judged_at_each_end_by_its_own_memory() {
        let of = |peer, server, client| {
            let mut report = report(peer, Case::Idle, &[(1, server)]);
            for case in report.cases.values_mut() {
                case.rounds[0].measurement.client = Some(client);
            }
            report
        };

        let peers = [of(Peer::NetcomTcp, 12.0, 30.0), of(Peer::Rustls, 10.0, 20.0)];
        let lines = lines(&peers, &[Case::Idle]);

        let judged: Vec<_> = lines.iter().map(|line| (line.figure, line.verdict)).collect();
        assert_eq!(judged, [(Some(12.0), Verdict::Met), (Some(30.0), Verdict::Missed)]);
        assert_eq!(lines[1].ratio.map(|ratio| ratio.median), Some(1.5));
    }

    #[test]
    fn a_round_trip_is_judged_by_tasks_and_told_beside_inline() {
        let mut rustls = report(Peer::Rustls, Case::RoundTrip, &[(1, 100.0)]);
        let inline = report(Peer::Rustls, Case::RoundTripInline, &[(1, 50.0)]);
        rustls.cases.extend(inline.cases);
        let peers = [report(Peer::NetcomTcp, Case::RoundTrip, &[(1, 116.0)]), rustls];

        let lines = lines(&peers, &[Case::RoundTrip, Case::RoundTripInline]);

        assert_eq!(lines[0].verdict, Verdict::Missed);
        assert_eq!(lines[1].verdict, Verdict::Told);
        assert_eq!(lines[1].ratio.map(|ratio| ratio.median), Some(2.32));
    }

    #[test]
    fn processor_time_of_requests_is_judged_by_itself_and_told_beside_the_other() {
        let judge = |micros: f64| {
            let with_cpu = |peer, micros: f64| {
                let mut report = report(peer, Case::InFlight100, &[(1, 40.0)]);
                for case in report.cases.values_mut() {
                    case.rounds[0].measurement.count = 1000;
                    case.rounds[0].measurement.client_cpu_seconds = Some(micros / 1e3);
                }
                report
            };
            let peers = [with_cpu(Peer::PythonNetcom, micros), with_cpu(Peer::NetcomTcp, 10.0)];
            let lines = lines(&peers, &[Case::InFlight100]);
            let line = lines.iter().find(|line| line.figure.is_some()).unwrap();
            (line.verdict, line.ratio.map(|ratio| ratio.median), line.wanted.clone())
        };

        assert_eq!(judge(25.0), (Verdict::Met, Some(2.5), "≤ 25 µs".to_owned()));
        assert_eq!(judge(26.0).0, Verdict::Missed);
    }

    fn report(peer: Peer, case: Case, values: &[(u32, f64)]) -> PeerReport {
        let mut report = PeerReport::new(peer);
        let rounds = values.iter().map(|&(round, value)| {
            let measurement = Measurement { value, count: 1, ..Measurement::default() };
            Round { round, measurement }
        });
        report.cases.entry(case).or_default().rounds.extend(rounds);
        report
    }
}
