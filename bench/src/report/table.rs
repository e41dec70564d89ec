//! The report for people, in Markdown that also reads well on a terminal.

use std::fmt::Write as _;

use frame::{CHUNK, Case, MESSAGE};

use super::{
    CaseReport, Failure, LeftOut, Line, Machine, PeerReport, Report, Settings, Spread,
    lines::Verdict,
};

/// Everything but the single rounds.
pub(crate) fn table(report: &Report) -> String {
    let mut text = setting(report);
    for group in GROUPS {
        let rows = figures(&report.peers, group);
        if rows.len() > 1 {
            text += &grid(&rows);
            text.push('\n');
        }
    }
    for (index, group) in GROUPS.into_iter().enumerate() {
        let rows = ratios(report, group);
        if rows.len() > 1 {
            if index == 0 {
                text.push_str("How many times better ours is, round by round:\n\n");
            }
            text += &grid(&rows);
            text.push('\n');
        }
    }
    if !report.lines.is_empty() {
        text.push_str("Lines to reach, as ratios of the figures, round by round:\n\n");
        text += &grid(&lines(&report.lines));
    }
    for peer in &report.peers {
        for Failure { round, case, why } in &peer.failures {
            let case = case.title();
            let _ = writeln!(text, "\nFAILED in round {round}: {}, {case}: {why}", peer.title);
        }
        for LeftOut { case, why } in &peer.left_out {
            let _ = writeln!(text, "\nNot measured: {}, {}: {why}", peer.title, case.title());
        }
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
    let Settings { rounds, bulk_seconds, latency_seconds, rate_seconds, sessions, .. } =
        report.settings;
    let Settings { build, allocator, .. } = report.settings;
    let threads = match report.settings.threads {
        Some(1) => "on tokio's runtime for one thread".to_owned(),
        Some(threads) => format!("on {threads} threads"),
        None => "on tokio's default runtime".to_owned(),
    };
    let others = report.others();
    format!(
        "netcom {commit} on {processors} x {processor}, Linux {kernel}, {}. Others used {:.0} % \
         of the processors, {:.0} % in the worst measurement; {} measurements repeated.\n\
         {rounds} rounds, both ends in processes of their own {threads}, loopback. One stream: \
         {bulk_seconds} s of {} KiB chunks, one way, until the receiver has counted them; \
         latencies: {MESSAGE} B each way, {latency_seconds} s, medians of each round; the rest: \
         {rate_seconds} s. Idle: growth of memory by each of {sessions} sessions. Figures: median \
         (smallest to largest round). CPU: both ends, one stream. All programs: {build}, \
         {allocator} allocator.\n\n",
        report.machine.congestion_control,
        others.median * 100.0,
        others.max * 100.0,
        report.repeated,
        CHUNK >> 10,
    )
}

/// The peers that have one of the cases, with the columns that some peer has.
fn figures(peers: &[PeerReport], group: &[Case]) -> Vec<Vec<String>> {
    let has = |peer: &PeerReport, case: &Case| peer.cases.contains_key(case);
    let cases: Vec<Case> =
        group.iter().copied().filter(|case| peers.iter().any(|peer| has(peer, case))).collect();
    let mut head = vec!["peer".to_owned()];
    head.extend(cases.iter().map(|case| format!("{}, {}", case.title(), case.unit())));
    let has_cpu = cases.contains(&Case::Bulk);
    head.extend(has_cpu.then(|| "CPU s a GiB".to_owned()));
    let has_idle = cases.contains(&Case::Idle);
    head.extend(has_idle.then(|| "the same, client, KiB".to_owned()));
    let has_client_cpu = cases.contains(&Case::InFlight100);
    head.extend(has_client_cpu.then(|| "its client's CPU µs each".to_owned()));
    let mut rows = vec![head];
    for peer in peers.iter().filter(|peer| cases.iter().any(|case| has(peer, case))) {
        let mut row = vec![peer.title.to_owned()];
        row.extend(cases.iter().map(|case| match peer.cases.get(case) {
            Some(found) => cell(found.spread, case.digits()),
            None => NOTHING.to_owned(),
        }));
        let or_nothing = |spread: Option<Spread>, digits| {
            spread.map_or_else(|| NOTHING.to_owned(), |spread| cell(spread, digits))
        };
        let bulk = peer.cases.get(&Case::Bulk);
        let cpu = bulk.and_then(CaseReport::cpu_per_gibibyte);
        let cpu = cpu.map(|rounds| Spread::of(rounds.into_values()));
        row.extend(has_cpu.then(|| or_nothing(cpu, 2)));
        let client = peer.cases.get(&Case::Idle).and_then(CaseReport::client);
        let client = client.map(|rounds| Spread::of(rounds.into_values()));
        row.extend(has_idle.then(|| or_nothing(client, 0)));
        let requests = peer.cases.get(&Case::InFlight100);
        let cpu = requests.and_then(CaseReport::client_cpu_each);
        let cpu = cpu.map(|rounds| Spread::of(rounds.into_values()));
        row.extend(has_client_cpu.then(|| or_nothing(cpu, 1)));
        rows.push(row);
    }
    rows
}

/// Ours over TCP beside all peers, and over QUIC beside those that use it.
fn ratios(report: &Report, group: &[Case]) -> Vec<Vec<String>> {
    let is_slices = |case: &Case| *case == Case::BulkSlices;
    // Slices are compared with whatever is fastest of the other.
    let find = |of: &PeerReport, to: &PeerReport, case: Case| {
        let (case, by) = if is_slices(&case) { (Case::Bulk, Some(case)) } else { (case, None) };
        let is_it = |(ratio_case, ratio_by)| (ratio_case, ratio_by) == (case, by);
        report.ratios.iter().find(|ratio| {
            ratio.of == of.name && ratio.to == to.name && is_it((ratio.case, ratio.by))
        })
    };
    let pairs = || {
        let ours = report.peers.iter().filter(|of| of.peer.is_ours());
        ours.flat_map(|of| report.peers.iter().map(move |to| (of, to)))
            .filter(|(of, to)| !to.peer.is_ours() && (!of.peer.is_quic() || to.peer.is_quic()))
    };
    let cases: Vec<Case> = group
        .iter()
        .copied()
        .filter(|&case| pairs().any(|(of, to)| find(of, to, case).is_some()))
        .collect();
    let mut head = vec!["ours".to_owned(), "to".to_owned()];
    head.extend(cases.iter().map(|case| case.title().to_owned()));
    let mut rows = vec![head];
    for (of, to) in pairs() {
        let found: Vec<_> = cases.iter().map(|&case| find(of, to, case)).collect();
        if found.iter().any(Option::is_some) {
            let mut row = vec![of.title.to_owned(), to.title.to_owned()];
            row.extend(found.into_iter().map(|found| {
                found.map_or_else(|| NOTHING.to_owned(), |ratio| cell(ratio.spread, 2))
            }));
            rows.push(row);
        }
    }
    rows
}

fn lines(lines: &[Line]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "of", "to", "wanted", "ratio"].map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| {
        let verdict = match line.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Told => "told",
            Verdict::NotMeasured => "not measured",
        };
        let digits = usize::from(line.unit == "µs");
        let figure = line.figure.map(|figure| format!("{figure:.digits$} {}, ", line.unit));
        let figure = figure.unwrap_or_default();
        let ratio = line.ratio.map_or_else(|| NOTHING.to_owned(), |ratio| cell(ratio, 2));
        let ratio = figure + &ratio;
        vec![verdict.to_owned(), line.what.clone(), line.to.clone(), line.wanted.clone(), ratio]
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

/// Tables that are not too wide.
const GROUPS: [&[Case]; 3] = [
    &[
        Case::Bulk,
        Case::BulkSlices,
        Case::BulkDown,
        Case::BulkBoth,
        Case::Streams20,
        Case::Streams2000,
    ],
    &[
        Case::RoundTrip,
        Case::RoundTripInline,
        Case::Request,
        Case::InFlight,
        Case::Messages,
        Case::InFlight100,
    ],
    &[Case::Connect, Case::Idle],
];
const NOTHING: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "µs"], ["long", "1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(grid(&rows), "| a    | µs |\n|------|----|\n| long | 1  |\n");
    }
}
