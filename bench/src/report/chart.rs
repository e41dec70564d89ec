//! The report as bars, in SVG.

use std::fmt::Write as _;

use frame::Case;

use super::{PeerReport, Report};

/// One group of bars for each case; in each, the better end is said.
pub(crate) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = MARGIN;
    for case in Case::ALL {
        let found: Vec<&PeerReport> =
            report.peers.iter().filter(|peer| peer.cases.contains_key(&case)).collect();
        if !found.is_empty() {
            y = group(&mut body, case, &found, y);
        }
    }
    let note = format!(
        "Medians of {} rounds; thin lines span all rounds. netcom {}, {} x {}",
        report.settings.rounds,
        report.machine.commit,
        report.machine.processors,
        report.machine.processor,
    );
    let note = escape(&note);
    let _ = writeln!(body, r##"<text x="{MARGIN}" y="{y}" fill="#57606a">{note}</text>"##);
    let height = y + MARGIN;
    let size = format!(r#"width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}""#);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>
{body}</svg>
"##
    )
}

/// Draws one case from `y` on, and says where it ended.
fn group(body: &mut String, case: Case, peers: &[&PeerReport], y: u32) -> u32 {
    let better = if case.is_rate() { "more is better" } else { "less is better" };
    let _ = writeln!(
        body,
        r##"<text x="{MARGIN}" y="{}" font-weight="600" fill="#1f2328">{}, {} ({better})</text>"##,
        y + 4,
        case.title(),
        case.unit(),
    );
    let top = peers.iter().filter_map(|peer| peer.cases.get(&case));
    let top = top.map(|found| found.spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let scale = |value: f64| LABELS + (value / top * f64::from(BARS)) as u32;
    let mut y = y + ROW / 2;
    for peer in peers {
        let Some(found) = peer.cases.get(&case) else { continue };
        let spread = found.spread;
        let fill = if peer.peer.is_ours() { "#0969da" } else { "#8c959f" };
        let figure = format!("{:.*}", case.digits(), spread.median);
        let (end, middle) = (scale(spread.median), y + ROW / 2);
        let _ = writeln!(
            body,
            r##"<text x="{label}" y="{text}" text-anchor="end" fill="#1f2328">{title}</text>
<rect x="{LABELS}" y="{y}" width="{width}" height="{BAR}" rx="2" fill="{fill}"/>
<line x1="{min}" y1="{line}" x2="{max}" y2="{line}" stroke="#1f2328"/>
<text x="{number}" y="{text}" fill="#1f2328">{figure}</text>"##,
            label = LABELS - 8,
            text = middle + 1,
            title = escape(peer.title),
            width = end - LABELS,
            min = scale(spread.min),
            max = scale(spread.max),
            line = y + BAR / 2,
            number = scale(spread.max) + 8,
        );
        y += ROW;
    }
    y + ROW
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const WIDTH: u32 = 860;
const MARGIN: u32 = 24;
/// Where bars begin.
const LABELS: u32 = 260;
/// How long the longest is.
const BARS: u32 = 520;
const ROW: u32 = 26;
const BAR: u32 = 18;
