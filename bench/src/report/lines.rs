//! The lines to reach: ours beside another, round by round.

use frame::Case;
use serde::Serialize;

use super::{ByRound, CaseReport, PeerReport, Spread};
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
struct Wish {
    of: (Peer, Figure),
    to: (Peer, Figure),
    bound: Bound,
    /// Meets the line whatever the ratio is.
    enough: Option<f64>,
}

/// What is compared.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Figure {
    Of(Case),
    Cpu,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Nothing,
}

/// All lines of which both sides belong to the run.
pub(super) fn lines(peers: &[PeerReport], cases: &[Case]) -> Vec<Line> {
    wishes().iter().filter_map(|wish| wish.judge(peers, cases)).collect()
}

impl Wish {
    const fn new(of: (Peer, Figure), bound: Bound, to: (Peer, Figure)) -> Self {
        Self { of, to, bound, enough: None }
    }

    const fn or_at_most(mut self, enough: f64) -> Self {
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
        let figure = self.enough.filter(|_| !ours.is_empty());
        let figure = figure.map(|_| Spread::of(ours.into_values()).median);
        let is_small = self.enough.zip(figure).is_some_and(|(enough, figure)| figure <= enough);
        let verdict = match (ratio, self.bound) {
            _ if is_small => Verdict::Met,
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
            verdict,
        })
    }

    fn wanted(&self) -> String {
        let bound = match self.bound {
            Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
            Bound::AtMost(bound) => format!("≤ {bound:.2}"),
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
        }
    }

    /// What it is measured by.
    fn case(self) -> Case {
        match self {
            Self::Of(case) => case,
            Self::Cpu => Case::Bulk,
        }
    }

    fn rounds(self, report: &PeerReport) -> ByRound {
        let Some(found) = report.cases.get(&self.case()) else { return ByRound::new() };
        match self {
            Self::Of(_) => CaseReport::values(found),
            Self::Cpu => found.cpu_per_gibibyte().unwrap_or_default(),
        }
    }
}

fn wishes() -> Vec<Wish> {
    use Bound::{AtLeast, AtMost, Nothing};
    use Case::{
        Bulk, BulkBoth, BulkSlices, Connect, Idle, InFlight, Messages, Request, RoundTrip,
        RoundTripInline, Streams20, Streams2000,
    };
    use Figure::{Cpu, Of};
    use Peer::{
        Iroh, Libp2pNoise, Libp2pQuic, Libp2pTls, NetcomQuic, NetcomTcp, Quinn, Rustls, Tentacle,
        Tonic, ZenohTcp,
    };
    // Most compare the same case of two.
    let line = |of, case, bound, to| Wish::new((of, Of(case)), bound, (to, Of(case)));
    vec![
        line(NetcomTcp, Bulk, AtLeast(0.85), Rustls),
        Wish::new((NetcomTcp, Of(BulkSlices)), AtLeast(0.75), (Rustls, Of(Bulk))),
        line(NetcomTcp, BulkBoth, AtLeast(0.8), Rustls),
        line(NetcomTcp, Bulk, AtLeast(3.0), Libp2pTls),
        line(NetcomTcp, Bulk, AtLeast(2.0), Iroh),
        line(NetcomTcp, Bulk, AtLeast(1.8), Tentacle),
        line(NetcomTcp, Bulk, AtLeast(1.0), ZenohTcp),
        line(NetcomQuic, Bulk, AtLeast(0.95), Quinn),
        line(NetcomQuic, Bulk, AtLeast(1.1), Iroh),
        line(NetcomQuic, Bulk, AtLeast(1.4), Libp2pQuic),
        line(NetcomTcp, RoundTrip, AtMost(1.15), Rustls),
        Wish::new((NetcomTcp, Of(RoundTrip)), Nothing, (Rustls, Of(RoundTripInline))),
        Wish::new((NetcomTcp, Of(Request)), AtMost(1.3), (NetcomTcp, Of(RoundTrip))),
        line(NetcomTcp, Request, AtMost(0.5), Libp2pTls),
        line(NetcomTcp, Request, AtMost(0.5), Libp2pNoise),
        line(NetcomTcp, Request, AtMost(0.9), Iroh),
        line(NetcomTcp, InFlight, AtLeast(2.0), Libp2pTls),
        line(NetcomTcp, InFlight, AtLeast(2.0), Libp2pNoise),
        line(NetcomTcp, InFlight, AtLeast(1.5), Tonic),
        line(NetcomTcp, Messages, AtLeast(2.0), Libp2pTls),
        line(NetcomTcp, Messages, AtLeast(2.0), Libp2pNoise),
        line(NetcomTcp, Messages, AtLeast(1.0), ZenohTcp),
        Wish::new((NetcomTcp, Of(Streams2000)), AtLeast(0.9), (NetcomTcp, Of(Streams20))),
        Wish::new((NetcomQuic, Of(Streams2000)), AtLeast(0.9), (NetcomQuic, Of(Streams20))),
        line(NetcomTcp, Connect, AtLeast(0.9), Rustls),
        Wish::new((NetcomTcp, Cpu), AtMost(1.25), (Rustls, Cpu)),
        line(NetcomTcp, Idle, AtMost(1.25), Rustls).or_at_most(24.0),
        line(NetcomQuic, Idle, AtMost(1.25), Quinn).or_at_most(64.0),
    ]
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

    fn report(peer: Peer, case: Case, values: &[(u32, f64)]) -> PeerReport {
        let mut report = PeerReport::new(peer);
        let rounds = values.iter().map(|&(round, value)| {
            let (p99, cpu_seconds, client) = (None, None, None);
            Round { round, measurement: Measurement { value, count: 1, p99, cpu_seconds, client } }
        });
        report.cases.entry(case).or_default().rounds.extend(rounds);
        report
    }
}
