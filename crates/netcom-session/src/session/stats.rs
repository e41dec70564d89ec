//! Figures of a session and its links.

use std::time::Duration;

use super::{LinkKind, Redundancy, Session};
use crate::LinkId;

/// A session's figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Streams not ended yet.
    pub streams: usize,
    /// Streams this side opened.
    pub streams_opened: u64,
    /// Bytes kept for the peer's acknowledgement, as charged.
    pub retained_bytes: usize,
    /// Bytes the peer may still make this side keep.
    pub granted_bytes: u64,
    /// Pieces that wait for what comes before them.
    pub gaps: usize,
    /// Bytes of frames sent, over all links.
    pub sent_bytes: u64,
    /// Bytes of streams received for the first time.
    pub received_bytes: u64,
    /// Bytes of streams received again.
    pub repeated_bytes: u64,
    /// Bytes of streams to be sent again, because nobody knows that they arrived.
    pub resent_bytes: u64,
    /// Frames received.
    pub received_frames: u64,
    /// Frames received that changed nothing.
    pub useless_frames: u64,
    /// Datagrams dropped, either way.
    pub dropped_datagrams: u64,
}

/// A link's figures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Its name.
    pub id: LinkId,
    /// Its transport.
    pub kind: LinkKind,
    /// Whether this side dialled it.
    pub is_dialer: bool,
    /// Whether it is part of the session, and not ending.
    pub is_attached: bool,
    /// Whether it carries the session's data, or leads where several do.
    pub is_active: bool,
    /// Whether data may travel on it: it is the active one, or one beside it where the session uses
    /// several.
    pub carries_data: bool,
    /// Whether it owes an answer for so long that it carries nothing while another link works.
    pub is_suspect: bool,
    /// Smoothed round trip; `None` before the first sample.
    pub rtt: Option<Duration>,
    /// The shortest round trip seen.
    pub least_rtt: Option<Duration>,
    /// The newest round trip seen.
    pub latest_rtt: Option<Duration>,
    /// Frames sent and not acknowledged.
    pub frames_in_flight: usize,
    /// Bytes of stream data in those frames.
    pub bytes_in_flight: usize,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Bytes of stream data received.
    pub bytes_received: u64,
    /// Bytes of stream data sent on it that went to another link too, because it did not answer;
    /// counted up to 4 GiB.
    pub bytes_resent: u64,
}

impl Session {
    /// The session's figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = &self.core;
        Stats {
            streams: core.streams.len(),
            streams_opened: core.opened,
            retained_bytes: core.retained,
            granted_bytes: core.granted,
            gaps: core.gaps,
            sent_bytes: core.traffic.sent,
            received_bytes: core.traffic.fresh,
            repeated_bytes: core.traffic.repeated,
            resent_bytes: core.traffic.resent,
            received_frames: core.traffic.frames,
            useless_frames: core.traffic.useless.into(),
            dropped_datagrams: core.datagrams.dropped,
        }
    }

    /// The figures of each link, in the order in which they came.
    pub fn links(&self) -> impl Iterator<Item = LinkStats> + '_ {
        self.links.iter().map(|link| {
            let known = |rtt: Duration| link.rtt.is_known().then_some(rtt);
            LinkStats {
                id: link.id,
                kind: link.spec.kind,
                is_dialer: link.is_dialer,
                is_attached: link.is_attached(),
                is_active: self.active == Some(link.id),
                carries_data: self.active == Some(link.id)
                    || (self.watch.redundancy != Redundancy::Standby && self.carries(link)),
                is_suspect: link.health.is_suspect(),
                rtt: known(link.rtt.smoothed()),
                least_rtt: known(link.rtt.least()),
                latest_rtt: known(link.rtt.latest()),
                frames_in_flight: link.frames_in_flight,
                bytes_in_flight: link.bytes_in_flight,
                bytes_sent: link.bytes_sent,
                bytes_received: link.bytes_received,
                bytes_resent: link.health.resent.into(),
            }
        })
    }
}
