//! Commander's answers as JSON.

use std::time::Duration;

use netcom::{Commander, Explanation, LinkSummary};
use serde_json::{Value, json};

use crate::{
    errors,
    nodes::{PathView, link_name},
};

pub(super) fn peers(commander: &Commander) -> Value {
    let peers = commander.peers();
    let peers = peers.iter().map(|peer| {
        json!({
            "peer_id": peer.peer_id.to_string(),
            "netids": texts(&peer.netids),
            "sessions": peer.sessions,
            "addresses": texts(&peer.addresses),
            "bytes_sent": peer.data_use.sent,
            "bytes_received": peer.data_use.received,
        })
    });
    json!({ "peers": peers.collect::<Vec<_>>() })
}

pub(super) fn sessions(commander: &Commander) -> Value {
    let sessions = commander.sessions();
    let sessions = sessions.iter().map(|session| {
        json!({
            "session": session.id,
            "peer_id": session.peer_id.to_string(),
            "netids": texts(&session.netids),
            "state": session.state.as_str(),
            "links": session.links,
            "streams": session.streams,
            "connections": session.connections,
            "rate": session.rate.map(netcom::Rate::bytes_per_second),
            "bytes_sent": session.bytes_sent,
            "bytes_received": session.bytes_received,
            "bytes_repeated": session.bytes_repeated,
            "bytes_resent": session.bytes_resent,
            "bytes_unacknowledged": session.bytes_unacknowledged,
        })
    });
    json!({ "sessions": sessions.collect::<Vec<_>>() })
}

pub(super) fn links(commander: &Commander) -> Value {
    json!({ "links": commander.links().iter().map(link).collect::<Vec<_>>() })
}

fn link(link: &LinkSummary) -> Value {
    json!({
        "session": link.session,
        "link": link.id,
        "peer_id": link.peer_id.to_string(),
        "kind": link_name(link.kind),
        "is_dialer": link.is_dialer,
        "is_active": link.is_active,
        "is_suspect": link.is_suspect,
        "role": link.role.as_str(),
        "reason": link.reason,
        "local": link.local.as_ref().map(ToString::to_string),
        "remote": link.remote.as_ref().map(ToString::to_string),
        "rtt_us": link.rtt.map(micros),
        "least_rtt_us": link.least_rtt.map(micros),
        "age_seconds": link.age.as_secs(),
        "bytes_sent": link.bytes_sent,
        "bytes_received": link.bytes_received,
        "bytes_in_flight": link.bytes_in_flight,
        "bytes_resent": link.bytes_resent,
        "packets_sent": link.packets_sent,
        "packets_lost": link.packets_lost,
    })
}

/// What was found out about a target.
pub(crate) fn explanation(told: &Explanation) -> Value {
    let sources = told.sources.iter().map(|answer| {
        let nodes = answer.nodes.iter().map(|(peer, addresses)| {
            json!({ "peer_id": peer.to_string(), "addresses": texts(addresses) })
        });
        json!({ "source": answer.source, "nodes": nodes.collect::<Vec<_>>() })
    });
    let dials = told.dials.iter().map(|dial| {
        json!({
            "peer_id": dial.peer_id.to_string(),
            "address": dial.address.to_string(),
            "source": dial.source,
            "kind": dial.kind.map(link_name),
            "took_us": dial.took.map(micros),
            "failure": dial.failure,
        })
    });
    let mut value = json!({
        "target": told.target,
        "kind": told.kind,
        "netid": told.netid.map(|netid| netid.to_string()),
        "peer_id": told.peer_id.map(|peer| peer.to_string()),
        "sources": sources.collect::<Vec<_>>(),
        "dials": dials.collect::<Vec<_>>(),
        "is_udp_blocked": told.is_udp_blocked(),
        "links": told.links.iter().map(link).collect::<Vec<_>>(),
        "path": told.path.clone().and_then(PathView::from_path),
    });
    if let Some(error) = &told.error {
        value["error"] = errors::connect(error).to_json()["error"].take();
    }
    value
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn streams(commander: &Commander) -> Value {
    let streams = commander.streams();
    let streams = streams.iter().map(|stream| {
        json!({
            "session": stream.session,
            "stream": stream.id,
            "peer_id": stream.peer_id.to_string(),
            "protocol": stream.protocol,
            "is_local": stream.is_local,
            "bytes_written": stream.bytes_written,
            "bytes_acknowledged": stream.bytes_acknowledged,
        })
    });
    json!({ "streams": streams.collect::<Vec<_>>() })
}

pub(super) fn counters(commander: &Commander) -> Value {
    let counters = commander.counters();
    let listeners = counters.listeners;
    json!({
        "panics_total": counters.panics,
        "half_open": listeners.half_open,
        "accepted_total": listeners.accepted,
        "unfinished_total": listeners.unfinished,
        "failed_handshakes_total": listeners.failed_handshakes,
        "crowded_out_total": listeners.crowded_out,
        "retries_total": listeners.retries,
        "untaken_total": listeners.untaken,
        "refused_total": listeners.refused_http
            + listeners.refused_multistream
            + listeners.refused_other,
        "accept_errors_total": listeners.accept_errors,
    })
}

pub(super) fn limits(commander: &Commander) -> Value {
    let limits = commander.limits();
    json!({
        "sessions": limits.sessions.total,
        "sessions_per_peer": limits.sessions.per_peer,
        "resume_seconds": limits.session.resume_window.as_secs(),
        "streams_per_session": limits.session.max_streams,
    })
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
