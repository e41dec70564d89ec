//! The lines to reach: ours beside another, round by round.

use frame::Case;
use serde::Serialize;

use super::{CaseReport, PeerReport, Spread};
use crate::peers::Peer;

/// A line and what became of it.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) to: String,
    pub(crate) wanted: String,
    pub(crate) ratio: Spread,
    /// The figure itself, where the line also sets a limit to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) figure: Option<f64>,
    pub(crate) is_met: bool,
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
}

/// All lines of which both sides were measured.
pub(super) fn lines(peers: &[PeerReport]) -> Vec<Line> {
    wishes().iter().filter_map(|wish| wish.judge(peers)).collect()
}

impl Wish {
    const fn new(of: (Peer, Figure), bound: Bound, to: (Peer, Figure)) -> Self {
        Self { of, to, bound, enough: None }
    }

    const fn or_at_most(mut self, enough: f64) -> Self {
        self.enough = Some(enough);
        self
    }

    fn judge(&self, peers: &[PeerReport]) -> Option<Line> {
        let find = |(peer, figure): (Peer, Figure)| {
            figure.rounds(peers.iter().find(|report| report.peer == peer)?)
        };
        let (ours, theirs) = (find(self.of)?, find(self.to)?);
        let ratio = Spread::of(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
        let figure = self.enough.map(|_| Spread::of(ours).median);
        let is_small = self.enough.zip(figure).is_some_and(|(enough, figure)| figure <= enough);
        let (wanted, is_met) = match self.bound {
            Bound::AtLeast(bound) => (format!("≥ {bound:.2}"), ratio.median >= bound),
            Bound::AtMost(bound) => (format!("≤ {bound:.2}"), ratio.median <= bound),
        };
        let enough = self.enough.map(|enough| format!(", or ≤ {enough:.0} KiB"));
        let own = self.of.0 == self.to.0;
        Some(Line {
            what: format!("{}: {}", self.of.0.title(), self.of.1.title()),
            to: match (own, self.of.1 == self.to.1) {
                (true, _) => format!("own {}", self.to.1.title()),
                (false, true) => self.to.0.title().to_owned(),
                (false, false) => format!("{}, {}", self.to.0.title(), self.to.1.title()),
            },
            wanted: wanted + &enough.unwrap_or_default(),
            ratio,
            figure,
            is_met: is_met || is_small,
        })
    }
}

impl Figure {
    fn title(self) -> &'static str {
        match self {
            Self::Of(case) => case.title(),
            Self::Cpu => "CPU s a GiB",
        }
    }

    fn rounds(self, report: &PeerReport) -> Option<Vec<f64>> {
        match self {
            Self::Of(case) => {
                let found = report.cases.get(&case)?;
                Some(found.rounds.iter().map(|round| round.value).collect())
            }
            Self::Cpu => report.cases.get(&Case::Bulk).and_then(CaseReport::cpu_per_gibibyte),
        }
    }
}

fn wishes() -> Vec<Wish> {
    use Bound::{AtLeast, AtMost};
    use Case::{
        Bulk, BulkBoth, BulkSlices, Connect, Idle, InFlight, Messages, Request, RoundTrip,
        Streams20, Streams2000,
    };
    use Figure::{Cpu, Of};
    use Peer::{
        Iroh, Libp2pQuic, Libp2pTls, NetcomQuic, NetcomTcp, Quinn, Rustls, Tentacle, Tonic,
        ZenohTcp,
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
        Wish::new((NetcomTcp, Of(Request)), AtMost(1.3), (NetcomTcp, Of(RoundTrip))),
        line(NetcomTcp, Request, AtMost(0.5), Libp2pTls),
        line(NetcomTcp, Request, AtMost(0.9), Iroh),
        line(NetcomTcp, InFlight, AtLeast(2.0), Libp2pTls),
        line(NetcomTcp, InFlight, AtLeast(1.5), Tonic),
        line(NetcomTcp, Messages, AtLeast(2.0), Libp2pTls),
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

    #[test]
    fn a_line_is_met_by_the_median_of_its_ratios() {
        let peers = [
            report(Peer::NetcomTcp, Case::Bulk, &[0.9, 0.8, 0.9]),
            report(Peer::Rustls, Case::Bulk, &[1.0, 1.0, 1.0]),
            report(Peer::ZenohTcp, Case::Bulk, &[1.0, 1.0, 1.0]),
        ];

        let lines = lines(&peers);

        let judged: Vec<_> = lines.iter().map(|line| (line.to.as_str(), line.is_met)).collect();
        assert_eq!(judged, [("rustls", true), ("zenoh, plain TCP", false)]);
        assert_eq!(lines[0].ratio, Spread { median: 0.9, min: 0.8, max: 0.9 });
    }

    #[test]
    fn idle_sessions_that_are_small_meet_their_line_whatever_others_take() {
        let judge = |figure| {
            let ours = report(Peer::NetcomTcp, Case::Idle, &[figure]);
            lines(&[ours, report(Peer::Rustls, Case::Idle, &[10.0])])[0].is_met
        };

        assert!(judge(24.0));
        assert!(!judge(25.0));
        assert!(judge(12.0));
    }

    fn report(peer: Peer, case: Case, values: &[f64]) -> PeerReport {
        let mut report = PeerReport::new(peer);
        let rounds = values.iter().map(|&value| Measurement {
            value,
            count: 1,
            p99: None,
            cpu_seconds: None,
            client: None,
        });
        report.cases.entry(case).or_default().rounds.extend(rounds);
        report
    }
}
