//! The page: one family of figures after the other, as
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> has them.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    time::Duration,
};

use netcom_session::LinkKind;

use super::Traffic;
use crate::{
    commander::SessionState,
    links::{LinkRole, LinkSummary},
    node::Shared,
};

/// The page as far as it is written.
#[derive(Debug, Default)]
struct Page(String);

/// The sessions there are, added up.
#[derive(Debug, Default)]
struct Living {
    states: BTreeMap<&'static str, u64>,
    /// By transport and role.
    links: BTreeMap<(&'static str, &'static str), u64>,
    /// Of each transport.
    rtts: BTreeMap<&'static str, Vec<Duration>>,
    packets: BTreeMap<&'static str, (u64, u64)>,
    streams: u64,
    unacknowledged: u64,
    traffic: Traffic,
}

/// Writes the page of a node.
pub(super) fn page(node: &Shared) -> String {
    let living = Living::of(node);
    let mut page = Page::default();
    page.family("netcom_info", "gauge", "What runs.");
    page.sample("netcom_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    living.write(&mut page);
    totals(node, &living, &mut page);
    listeners(node, &mut page);
    limits(node, &mut page);
    events(node, &mut page);
    page.0
}

impl Living {
    fn of(node: &Shared) -> Self {
        let mut living = Self::default();
        for session in node.sessions.all() {
            let stats = session.stats();
            *living.states.entry(SessionState::from(session.state()).as_str()).or_default() += 1;
            living.streams += stats.streams as u64;
            living.unacknowledged += stats.retained_bytes as u64;
            living.traffic = living.traffic.with(&Traffic::of(&stats), u64::saturating_add);
            for link in LinkSummary::all_of(&session) {
                living.add_link(&link);
            }
        }
        living
    }

    fn add_link(&mut self, link: &LinkSummary) {
        let transport = transport(link.kind);
        *self.links.entry((transport, link.role.as_str())).or_default() += 1;
        if let Some(rtt) = link.rtt {
            self.rtts.entry(transport).or_default().push(rtt);
        }
        if let (Some(sent), Some(lost)) = (link.packets_sent, link.packets_lost) {
            let packets = self.packets.entry(transport).or_default();
            *packets = (packets.0.saturating_add(sent), packets.1.saturating_add(lost));
        }
    }

    fn write(&self, page: &mut Page) {
        page.family("netcom_sessions", "gauge", "Sessions by state.");
        for state in SessionState::ALL {
            let count = self.states.get(state.as_str()).copied().unwrap_or(0);
            page.sample("netcom_sessions", &[("state", state.as_str())], count);
        }
        page.family("netcom_links", "gauge", "Links of sessions by transport and role.");
        for transport in TRANSPORTS {
            for role in LinkRole::ALL {
                let count = self.links.get(&(transport, role.as_str())).copied().unwrap_or(0);
                let labels = [("transport", transport), ("role", role.as_str())];
                page.sample("netcom_links", &labels, count);
            }
        }
        page.family(
            "netcom_link_rtt_seconds",
            "gauge",
            "Round trips of the links there are: the shortest, the median, the longest.",
        );
        for (transport, rtts) in &self.rtts {
            for (stat, rtt) in spread(rtts.clone()) {
                let labels = [("transport", *transport), ("stat", stat)];
                page.sample("netcom_link_rtt_seconds", &labels, rtt.as_secs_f64());
            }
        }
        page.family("netcom_link_packets", "gauge", "Packets of the links there are, by fate.");
        for (transport, (sent, lost)) in &self.packets {
            for (fate, count) in [("sent", sent), ("lost", lost)] {
                let labels = [("transport", *transport), ("fate", fate)];
                page.sample("netcom_link_packets", &labels, count);
            }
        }
        page.one("netcom_streams", "gauge", "Streams that have not ended.", self.streams);
        page.one(
            "netcom_unacknowledged_bytes",
            "gauge",
            "Bytes kept until peers acknowledge them.",
            self.unacknowledged,
        );
    }
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A line. Labels are words of ours, so that none needs quoting.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// What the node counted since it was made.
fn totals(node: &Shared, living: &Living, page: &mut Page) {
    let all = node.totals.with_living(&living.traffic);
    let mut count = |name, help, value| page.one(name, "counter", help, value);
    count("netcom_sent_bytes_total", "Bytes of frames sent, over all links.", all.sent);
    count("netcom_received_bytes_total", "Bytes of streams that were new.", all.received);
    count("netcom_repeated_bytes_total", "Bytes of streams that came again.", all.repeated);
    count("netcom_resent_bytes_total", "Bytes of streams to be sent again.", all.resent);
    count("netcom_streams_opened_total", "Streams this node opened.", all.streams_opened);
    count(
        "netcom_datagrams_dropped_total",
        "Datagrams dropped, either way.",
        all.dropped_datagrams,
    );
    let panics = node.sessions.panics() + node.transport.stats().panics;
    count("netcom_panics_total", "Panics that were caught: each is a bug.", panics);
}

/// What strangers and peers did at the listeners.
fn listeners(node: &Shared, page: &mut Page) {
    let stats = node.transport.stats();
    page.one("netcom_half_open", "gauge", "Handshakes under way.", stats.half_open);
    page.one("netcom_accepted_total", "counter", "Links accepted.", stats.accepted);
    let name = "netcom_refused_total";
    page.family(name, "counter", "Connections that became no link, by reason.");
    let refused = [
        ("http", stats.refused_http),
        ("multistream", stats.refused_multistream),
        ("other_protocol", stats.refused_other),
        ("unfinished", stats.unfinished),
        ("failed_handshake", stats.failed_handshakes),
        ("crowded_out", stats.crowded_out),
        ("untaken", stats.untaken),
    ];
    for (reason, count) in refused {
        page.sample(name, &[("reason", reason)], count);
    }
    let help = "QUIC handshakes that were asked to prove their address first.";
    page.one("netcom_retries_total", "counter", help, stats.retries);
    let help = "Times the system could not hand over a connection.";
    page.one("netcom_accept_errors_total", "counter", help, stats.accept_errors);
}

fn limits(node: &Shared, page: &mut Page) {
    let (sessions, budget) = (node.sessions.limits(), node.sessions.budget());
    page.one("netcom_sessions_limit", "gauge", "Sessions there may be.", sessions.total);
    let streams = node.limits.session.max_streams;
    let help = "Streams a peer may have open in a session.";
    page.one("netcom_streams_limit", "gauge", help, streams);
    let help = "Memory charged to sessions.";
    page.one("netcom_memory_bytes", "gauge", help, budget.used());
    let help = "Memory that all sessions together may take.";
    page.one("netcom_memory_limit_bytes", "gauge", help, budget.limit());
}

fn events(node: &Shared, page: &mut Page) {
    let name = "netcom_events_total";
    page.family(name, "counter", "What happened at the node, by kind.");
    for (event, count) in node.events.counts() {
        page.sample(name, &[("event", event)], count);
    }
    let help = "Events that the event log did not take.";
    page.one("netcom_event_log_lost_total", "counter", help, node.totals.lost_events());
}

/// The shortest, the median and the longest.
fn spread(mut rtts: Vec<Duration>) -> Vec<(&'static str, Duration)> {
    rtts.sort_unstable();
    let stats = [("min", rtts.first()), ("median", rtts.get(rtts.len() / 2)), ("max", rtts.last())];
    stats.into_iter().filter_map(|(stat, rtt)| Some((stat, *rtt?))).collect()
}

fn transport(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Tcp => "tcp",
        LinkKind::Quic => "quic",
        LinkKind::Memory => "memory",
        _ => "other",
    }
}

/// What [`transport`] may say.
const TRANSPORTS: [&str; 4] = ["tcp", "quic", "memory", "other"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_its_kind_and_its_samples() {
        let mut page = Page::default();
        page.family("netcom_links", "gauge", "Links.");
        page.sample("netcom_links", &[("transport", "tcp"), ("role", "active")], 2);
        page.one("netcom_streams", "gauge", "Streams.", 7);
        let expected = "# HELP netcom_links Links.\n# TYPE netcom_links gauge\n\
                        netcom_links{transport=\"tcp\",role=\"active\"} 2\n\
                        # HELP netcom_streams Streams.\n# TYPE netcom_streams gauge\n\
                        netcom_streams 7\n";
        assert_eq!(page.0, expected);
    }

    #[test]
    fn round_trips_are_told_by_three_of_them() {
        let millis = |count| Duration::from_millis(count);
        let told = spread(vec![millis(9), millis(1), millis(3)]);
        assert_eq!(told, [("min", millis(1)), ("median", millis(3)), ("max", millis(9))]);
        assert!(spread(Vec::new()).is_empty());
    }
}
