//! Commander's answers as JSON.

use netcom::Commander;
use serde_json::{Value, json};

use crate::nodes::link_name;

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
            "bytes_unacknowledged": session.bytes_unacknowledged,
        })
    });
    json!({ "sessions": sessions.collect::<Vec<_>>() })
}

pub(super) fn links(commander: &Commander) -> Value {
    let links = commander.links();
    let links = links.iter().map(|link| {
        json!({
            "session": link.session,
            "link": link.id,
            "peer_id": link.peer_id.to_string(),
            "kind": link_name(link.kind),
            "is_dialer": link.is_dialer,
            "is_active": link.is_active,
            "is_suspect": link.is_suspect,
            "local": link.local.as_ref().map(ToString::to_string),
            "remote": link.remote.as_ref().map(ToString::to_string),
            "rtt_us": link.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            "age_seconds": link.age.as_secs(),
            "bytes_sent": link.bytes_sent,
            "bytes_received": link.bytes_received,
        })
    });
    json!({ "links": links.collect::<Vec<_>>() })
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
