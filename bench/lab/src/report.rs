//! What a run found: as tables, as JSON.

use std::{fmt, fs};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::{ends::Seen, peers::Peer, scene::Fault};

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The version of this form.
    schema: u32,
    /// The kernel's, by which peers over TCP send.
    tcp_congestion_control: String,
    peers: Vec<PeerReport>,
    faults: Vec<FaultReport>,
    rates: Vec<RateReport>,
}

/// What was chosen for a peer.
#[derive(Debug, Serialize)]
struct PeerReport {
    peer: Peer,
    title: String,
    settings: String,
}

/// What became of a peer's transfers when a link failed.
#[derive(Debug, Serialize)]
struct FaultReport {
    peer: Peer,
    fault: Fault,
    /// The longest times without new bytes of those that went on, in seconds, sorted.
    gaps: Vec<f64>,
    /// How many had no new bytes for as long as it was waited.
    silent: usize,
    /// Why streams ended.
    ended: Vec<String>,
    /// How many had bytes lost, repeated or out of order.
    other_bytes: usize,
    /// Why it could not be measured.
    failed: Vec<String>,
}

/// What a peer's transfers had over links side by side, in megabits a second.
#[derive(Debug, Serialize)]
struct RateReport {
    peer: Peer,
    one: Vec<f64>,
    two: Vec<f64>,
    failed: Vec<String>,
}

impl Report {
    pub(crate) fn new(peers: &[Peer]) -> Self {
        let control = fs::read_to_string(TCP_CONTROL).unwrap_or_default().trim().to_owned();
        let peers = peers.iter().map(|&peer| PeerReport {
            peer,
            title: peer.to_string(),
            settings: peer.settings(),
        });
        Self {
            schema: SCHEMA,
            tcp_congestion_control: control,
            peers: peers.collect(),
            faults: Vec::new(),
            rates: Vec::new(),
        }
    }

    pub(crate) fn add_fault(&mut self, peer: Peer, fault: Fault, seen: Result<Seen>) {
        let is_it = |row: &FaultReport| row.peer == peer && row.fault == fault;
        let row = match self.faults.iter().position(is_it) {
            Some(row) => row,
            None => {
                self.faults.push(FaultReport::new(peer, fault));
                self.faults.sort_by_key(|row| (row.peer, row.fault as u8));
                self.faults.iter().position(is_it).expect("it was put there")
            }
        };
        let row = &mut self.faults[row];
        match seen {
            Ok(Seen::WentOn(gap)) => {
                row.gaps.push(gap.as_secs_f64());
                row.gaps.sort_by(f64::total_cmp);
            }
            Ok(Seen::Silent(_)) => row.silent += 1,
            Ok(Seen::Ended(why)) => row.ended.push(why),
            Ok(Seen::OtherBytes(_)) => row.other_bytes += 1,
            Err(error) => row.failed.push(format!("{error:#}")),
        }
    }

    pub(crate) fn add_rate(&mut self, peer: Peer, links: usize, rate: Result<f64>) {
        let row = match self.rates.iter().position(|row| row.peer == peer) {
            Some(row) => row,
            None => {
                let (one, two, failed) = (Vec::new(), Vec::new(), Vec::new());
                self.rates.push(RateReport { peer, one, two, failed });
                self.rates.len() - 1
            }
        };
        let row = &mut self.rates[row];
        match rate {
            Ok(rate) if links == 1 => row.one.push(rate),
            Ok(rate) => row.two.push(rate),
            Err(error) => row.failed.push(format!("{links} links: {error:#}")),
        }
    }

    /// Whether each of our transfers was measured and had its bytes.
    pub(crate) fn verdict(&self) -> Result<()> {
        let ours = self.faults.iter().filter(|row| row.peer.is_ours());
        for row in ours {
            let name = format!("{}, {}", row.peer, row.fault);
            ensure!(row.other_bytes == 0, "{name}: other bytes than were sent");
            ensure!(row.gaps.len() == row.count(), "{name}: not every transfer went on");
        }
        Ok(())
    }

    /// What went wrong, and what was chosen.
    fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for row in &self.faults {
            let name = format!("{}, {}", row.peer, row.fault);
            if row.silent > 0 {
                writeln!(f, "{name}: {} had no new bytes for 40 s", row.silent)?;
            }
            for why in &row.ended {
                writeln!(f, "{name}: the stream ended: {why}")?;
            }
            for why in &row.failed {
                writeln!(f, "{name}: not measured: {why}")?;
            }
        }
        for row in &self.rates {
            for why in &row.failed {
                writeln!(f, "{}: not measured: {why}", row.peer)?;
            }
        }
        for peer in &self.peers {
            writeln!(f, "{}: {}", peer.title, peer.settings)?;
        }
        write!(f, "TCP by the kernel's {}", self.tcp_congestion_control)
    }
}

impl FaultReport {
    fn new(peer: Peer, fault: Fault) -> Self {
        let (gaps, ended, failed) = (Vec::new(), Vec::new(), Vec::new());
        Self { peer, fault, gaps, silent: 0, ended, other_bytes: 0, failed }
    }

    fn count(&self) -> usize {
        let others = self.silent + self.ended.len() + self.other_bytes + self.failed.len();
        self.gaps.len() + others
    }

    /// The gap that so many of a hundred do not exceed, of all that were measured.
    fn at(&self, share: usize) -> String {
        let count = self.count() - self.failed.len();
        let place = (count * share / 100).min(count.saturating_sub(1));
        match self.gaps.get(place) {
            Some(gap) => format!("{:.0}", gap * 1e3),
            None => "–".to_owned(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.faults.is_empty() {
            writeln!(f, "One of two links fails: the longest time without new bytes, in ms.\n")?;
            writeln!(f, "| peer | what happens | went on | p50 | p99 | most | other bytes |")?;
            writeln!(f, "|---|---|---|---|---|---|---|")?;
        }
        for row in &self.faults {
            let (peer, fault, went_on, count) = (row.peer, row.fault, row.gaps.len(), row.count());
            let [half, nearly, most] = [50, 99, 100].map(|share| row.at(share));
            write!(f, "| {peer} | {fault} | {went_on} of {count} | {half} | {nearly} | {most} ")?;
            writeln!(f, "| {} |", row.other_bytes)?;
        }
        if !self.rates.is_empty() {
            writeln!(f, "\nLinks of 100 Mbit/s and 20 ms, medians in Mbit/s.\n")?;
            writeln!(f, "| peer | one link | two links | times as much |")?;
            writeln!(f, "|---|---|---|---|")?;
        }
        for RateReport { peer, one, two, .. } in &self.rates {
            let (one, two) = (median(one), median(two));
            writeln!(f, "| {peer} | {one:.1} | {two:.1} | {:.2} |", two / one)?;
        }
        self.fmt_rest(f)
    }
}

/// Of no figures at all, it is no number.
fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

const SCHEMA: u32 = 1;
const TCP_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn transfers_that_did_not_go_on_are_the_longest_gaps_and_failures_of_ours() {
        let mut report = Report::new(&[Peer::NetcomTcp]);
        let mut add = |seen| report.add_fault(Peer::NetcomTcp, Fault::Reset, seen);
        add(Ok(Seen::WentOn(Duration::from_millis(80))));
        add(Ok(Seen::Silent(Duration::from_secs(40))));
        add(Ok(Seen::WentOn(Duration::from_millis(20))));
        add(Err(anyhow!("no namespaces")));

        let row = &report.faults[0];
        assert_eq!((row.at(0), row.at(50), row.at(99)), ("20".into(), "80".into(), "–".into()));
        assert!(report.to_string().contains("| 2 of 4 |"), "{report}");
        assert!(report.verdict().is_err());
    }
}
