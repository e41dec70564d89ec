//! The report as bars, in SVG: a panel for each case, the best peer first.

use std::fmt::Write as _;

use frame::Case;

use super::{CaseReport, PeerReport, Ratio, Report, Spread};

/// One case, with what else belongs beside it.
struct Panel {
    title: String,
    is_rate: bool,
    digits: usize,
    bars: Vec<Bar>,
}

/// One peer.
struct Bar {
    label: String,
    spread: Spread,
    /// How many times better ours is.
    ratio: Option<Spread>,
    is_ours: bool,
    is_quic: bool,
}

/// All panels, in columns.
pub(crate) fn svg(report: &Report) -> String {
    let panels = panels(report);
    let mut body = String::new();
    let mut bottoms = [TOP; COLUMNS];
    for panel in &panels {
        // The next panel goes where most room is left.
        let column = (0..COLUMNS).min_by_key(|&column| bottoms[column]).unwrap_or(0);
        let x = MARGIN + column as u32 * (PANEL + MARGIN);
        bottoms[column] = panel.draw(&mut body, x, bottoms[column]);
    }
    let y = bottoms.into_iter().max().unwrap_or(TOP);
    head(report, &mut body);
    let size = format!(r#"width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}""#);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" {size}
font-family="sans-serif" font-size="11.5">
<defs><pattern id="stripes" width="5" height="5" patternUnits="userSpaceOnUse"
patternTransform="rotate(45)"><rect width="5" height="5" fill="#b4bcc6"/>
<rect width="2" height="5" fill="#8c959f"/></pattern></defs>
<rect width="100%" height="100%" fill="#ffffff"/>
{body}</svg>
"##
    )
}

/// What the chart shows, and what its colours mean.
fn head(report: &Report, body: &mut String) {
    let Report { machine, settings, .. } = report;
    let what = format!(
        "netcom {} beside others on {} x {}, both ends in processes of their own, loopback.",
        machine.commit, machine.processors, machine.processor,
    );
    let how = format!(
        "Medians of {} rounds; thin lines span all rounds, as far as they fit.",
        settings.rounds,
    );
    let ratios = "Behind ×: how many times better netcom is, median and range of the rounds: over \
                  QUIC beside peers that use it, else over TCP.";
    for (index, note) in [&what, &how, ratios].into_iter().enumerate() {
        let (y, note) = (MARGIN + 16 * index as u32, escape(note));
        let _ = writeln!(body, r##"<text x="{MARGIN}" y="{y}" fill="#57606a">{note}</text>"##);
    }
    let colours = [
        ("netcom over TCP", OURS_BY_TCP),
        ("netcom over QUIC", OURS_BY_QUIC),
        ("others over TCP", OTHERS_BY_TCP),
        ("others over QUIC", OTHERS_BY_QUIC),
    ];
    for (index, (title, colour)) in colours.into_iter().enumerate() {
        let x = MARGIN + LEGEND * index as u32;
        let (y, text, base) = (MARGIN + 42, x + 20, MARGIN + 52);
        let _ = writeln!(
            body,
            r##"<rect x="{x}" y="{y}" width="14" height="{BAR}" rx="1.5" fill="{colour}"/>
<text x="{text}" y="{base}" fill="#1f2328">{title}</text>"##,
        );
    }
}

fn panels(report: &Report) -> Vec<Panel> {
    let beside = |case| match case {
        Case::Bulk => Some((Case::BulkSlices, "slices")),
        Case::RoundTrip => Some((Case::RoundTripInline, "inline")),
        _ => None,
    };
    let mut panels = Vec::new();
    for case in Case::ALL {
        if matches!(case, Case::BulkSlices | Case::RoundTripInline) {
            continue;
        }
        let mut bars = bars(report, case, None);
        if let Some((other, note)) = beside(case) {
            bars.extend(self::bars(report, other, Some(note)));
        }
        panels.push(Panel {
            title: format!("{}, {}", case.title(), case.unit()),
            is_rate: case.is_rate(),
            digits: case.digits(),
            bars,
        });
        if case == Case::Bulk {
            panels.push(cpu(report));
        }
    }
    for panel in &mut panels {
        panel.bars.sort_by(|a, b| a.spread.median.total_cmp(&b.spread.median));
        if panel.is_rate {
            panel.bars.reverse();
        }
    }
    panels.retain(|panel| !panel.bars.is_empty());
    panels
}

/// All peers that have the case, with a note behind their names if it is not the panel's own.
fn bars(report: &Report, case: Case, note: Option<&str>) -> Vec<Bar> {
    let bar = |peer: &PeerReport| {
        let spread = peer.cases.get(&case)?.spread;
        let ours = ours(report, peer).filter(|_| note.is_none());
        let ratio = ours.and_then(|ours| {
            let is_it = |ratio: &&Ratio| {
                ratio.of == ours.name
                    && ratio.to == peer.name
                    && (ratio.case, ratio.by) == (case, None)
            };
            report.ratios.iter().find(is_it).map(|ratio| ratio.spread)
        });
        let label = match note {
            Some(note) => format!("{}, {note}", peer.title),
            None => peer.title.to_owned(),
        };
        Some(Bar::new(peer, label, spread, ratio))
    };
    report.peers.iter().filter_map(bar).collect()
}

fn cpu(report: &Report) -> Panel {
    let of = |peer: &PeerReport| peer.cases.get(&Case::Bulk).and_then(CaseReport::cpu_per_gibibyte);
    let bar = |peer: &PeerReport| {
        let found = of(peer)?;
        let ours = ours(report, peer).and_then(of);
        let ratio = ours.and_then(|ours| Spread::of_ratios(&found, &ours));
        let spread = Spread::of(found.into_values());
        Some(Bar::new(peer, peer.title.to_owned(), spread, ratio))
    };
    let title = "one stream, processor seconds a GiB".to_owned();
    Panel { title, is_rate: false, digits: 2, bars: report.peers.iter().filter_map(bar).collect() }
}

/// Ours in the language and over the carrier of a peer that is none of ours.
fn ours<'a>(report: &'a Report, peer: &PeerReport) -> Option<&'a PeerReport> {
    let kind = |peer: &PeerReport| (peer.peer.is_python(), peer.peer.is_quic());
    let is_match = |ours: &&PeerReport| ours.peer.is_ours() && kind(ours) == kind(peer);
    report.peers.iter().find(is_match).filter(|_| !peer.peer.is_ours())
}

impl Bar {
    fn new(peer: &PeerReport, label: String, spread: Spread, ratio: Option<Spread>) -> Self {
        let (is_ours, is_quic) = (peer.peer.is_ours(), peer.peer.is_quic());
        Self { label, spread, ratio, is_ours, is_quic }
    }

    fn ratio_text(&self) -> String {
        let text = |Spread { median, min, max }| format!("×{median:.2} ({min:.2}–{max:.2})");
        self.ratio.map(text).unwrap_or_default()
    }

    fn fill(&self) -> &'static str {
        match (self.is_ours, self.is_quic) {
            (true, false) => OURS_BY_TCP,
            (true, true) => OURS_BY_QUIC,
            (false, false) => OTHERS_BY_TCP,
            (false, true) => OTHERS_BY_QUIC,
        }
    }
}

impl Panel {
    /// Draws from `x` and `y` on, and says where the next panel may begin.
    fn draw(&self, body: &mut String, x: u32, y: u32) -> u32 {
        let better = if self.is_rate { "more is better" } else { "less is better" };
        let _ = writeln!(
            body,
            r##"<text x="{x}" y="{}" font-size="13"><tspan font-weight="600"
fill="#1f2328">{}</tspan><tspan dx="5" fill="#57606a">({better})</tspan></text>"##,
            y + 12,
            escape(&self.title),
        );
        // One round that went wrong must not make all other bars too short to be told apart.
        let largest = |of: fn(&Spread) -> f64| {
            self.bars.iter().map(|bar| of(&bar.spread)).fold(f64::MIN_POSITIVE, f64::max)
        };
        let top = largest(|spread| spread.max).min(BEYOND * largest(|spread| spread.median));
        let scale = |value: f64| ((value / top).min(1.0) * f64::from(BARS)).round() as u32;
        let mut y = y + 20;
        for bar in &self.bars {
            self.draw_bar(bar, body, x + LABELS, y, scale);
            y += ROW;
        }
        y + GAP
    }

    fn draw_bar(
        &self,
        bar: &Bar,
        body: &mut String,
        left: u32,
        y: u32,
        scale: impl Fn(f64) -> u32,
    ) {
        let Spread { median, min, max } = bar.spread;
        let (weight, text) = if bar.is_ours { ("600", "#0550ae") } else { ("400", "#1f2328") };
        let _ = writeln!(
            body,
            r##"<text x="{label}" y="{base}" text-anchor="end" font-weight="{weight}"
fill="{text}">{name}</text>
<rect x="{left}" y="{y}" width="{width}" height="{BAR}" rx="1.5" fill="{fill}"/>
<path d="M{low} {middle}H{high}M{low} {tick}v5M{high} {tick}v5" fill="none" stroke="#1f2328"
stroke-width="0.8"/>
<text x="{number}" y="{base}" text-anchor="end" font-weight="{weight}"
fill="{text}">{median:.*}</text>
<text x="{behind}" y="{base}" fill="#57606a">{ratio}</text>"##,
            self.digits,
            label = left - 6,
            base = y + BAR - 3,
            name = escape(&bar.label),
            width = scale(median).max(1),
            fill = bar.fill(),
            low = left + scale(min),
            high = left + scale(max),
            middle = y + BAR / 2,
            tick = y + BAR / 2 - 2,
            number = left + BARS + NUMBERS,
            behind = left + BARS + NUMBERS + 8,
            ratio = bar.ratio_text(),
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const OURS_BY_TCP: &str = "#0969da";
const OURS_BY_QUIC: &str = "#54aeff";
const OTHERS_BY_TCP: &str = "#b4bcc6";
const OTHERS_BY_QUIC: &str = "url(#stripes)";
const COLUMNS: usize = 2;
const MARGIN: u32 = 24;
const PANEL: u32 = 548;
const WIDTH: u32 = MARGIN + COLUMNS as u32 * (PANEL + MARGIN);
/// Where panels begin, below the head.
const TOP: u32 = 98;
/// From one colour to the next.
const LEGEND: u32 = 150;
/// Where a panel's bars begin.
const LABELS: u32 = 146;
/// How long the longest is.
const BARS: u32 = 210;
/// Room for the figures behind them.
const NUMBERS: u32 = 52;
/// How far a thin line may go beyond the longest bar, as a multiple of it.
const BEYOND: f64 = 1.2;
const ROW: u32 = 17;
const BAR: u32 = 13;
/// Between panels.
const GAP: u32 = 22;
