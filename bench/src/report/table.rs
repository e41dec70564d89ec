//! The report for people, in Markdown that also reads well on a terminal.

use std::fmt::Write as _;

use frame::{CHUNK, Case, MESSAGE};

use super::{CaseReport, Machine, PeerReport, Ratio, Report, Settings, Spread};
use crate::peers::Peer;

/// Everything but the single rounds.
pub(crate) fn table(report: &Report) -> String {
    let mut text = setting(report);
    text += &grid(&figures(&report.peers));
    text.push_str("\nRatios to the other, round by round; above 1, the first is faster.\n\n");
    text += &grid(&ratios(&report.ratios));
    for peer in report.peers.iter().filter(|peer| !peer.failures.is_empty()) {
        let _ = writeln!(text, "\n{} failed: {}", peer.title, peer.failures.join("; "));
    }
    text.push_str("\nConfigurations:\n");
    for peer in &report.peers {
        let lines = peer.configuration.iter().chain(&peer.facts);
        let lines: Vec<&str> = lines.map(String::as_str).collect();
        let _ = writeln!(text, "- {}: {}", peer.title, lines.join("; "));
    }
    text
}

fn setting(report: &Report) -> String {
    let Machine { commit, processor, processors, kernel, .. } = &report.machine;
    let Settings { rounds, bulk_seconds, latency_seconds, threads, .. } = report.settings;
    let threads = match threads {
        Some(1) => "on tokio's runtime for one thread".to_owned(),
        Some(threads) => format!("on {threads} threads"),
        None => "on tokio's default runtime".to_owned(),
    };
    let others = report.others();
    format!(
        "netcom {commit} on {processors} x {processor}, Linux {kernel}, {}. Others used {:.0} % \
         of the processors, {:.0} % in the worst measurement; {} measurements repeated.\n\
         {rounds} rounds, both ends in processes of their own {threads}, loopback. One stream: \
         {bulk_seconds} s of {} KiB chunks, one way, until the receiver has counted them. \
         Latencies: {MESSAGE} B each way, {latency_seconds} s, medians of each round. Figures: \
         median (smallest to largest round). CPU: both ends.\n\n",
        report.machine.congestion_control,
        others.median * 100.0,
        others.max * 100.0,
        report.repeated,
        CHUNK >> 10,
    )
}

fn figures(peers: &[PeerReport]) -> Vec<Vec<String>> {
    let mut head = vec!["peer".to_owned()];
    head.extend(Case::ALL.map(|case| format!("{}, {}", case.title(), case.unit())));
    head.push("CPU s a GiB".to_owned());
    let mut rows = vec![head];
    for peer in peers {
        let mut row = vec![peer.title.to_owned()];
        row.extend(Case::ALL.map(|case| match peer.cases.get(&case) {
            Some(found) => cell(found.spread, case.digits()),
            None => "–".to_owned(),
        }));
        let cpu = peer.cases.get(&Case::Bulk).and_then(CaseReport::cpu_per_gibibyte);
        row.push(cpu.map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.2}")));
        rows.push(row);
    }
    rows
}

fn ratios(ratios: &[Ratio]) -> Vec<Vec<String>> {
    let mut rows = vec![["case", "of", "to", "ratio"].map(str::to_owned).to_vec()];
    // The usual peers are enough to read; the file has all.
    let usual = ratios.iter().filter(|ratio| Peer::usual().contains(&ratio.to));
    rows.extend(usual.map(|ratio| {
        vec![
            ratio.by.unwrap_or(ratio.case).title().to_owned(),
            ratio.of.title().to_owned(),
            ratio.to.title().to_owned(),
            cell(ratio.spread, 2),
        ]
    }));
    rows
}

fn cell(spread: Spread, digits: usize) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
}

fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            widths.iter().for_each(|&width| text += &format!("|{}", "-".repeat(width + 2)));
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "µs"], ["long", "1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(grid(&rows), "| a    | µs |\n|------|----|\n| long | 1  |\n");
    }
}
