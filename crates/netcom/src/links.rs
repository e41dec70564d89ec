//! The links of a session as they can be looked at: what each is for, and why.

use std::{fmt, time::Duration};

use netcom_identity::{Multiaddr, PeerId};
use netcom_session::LinkKind;

use crate::session::{LinkView, SharedSession};

/// A link of a session, as it is at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LinkSummary {
    /// Its session's number at this node.
    pub session: u64,
    /// Its number in the session.
    pub id: u64,
    /// The other side.
    pub peer_id: PeerId,
    /// What carries it.
    pub kind: LinkKind,
    /// Whether this side dialled.
    pub is_dialer: bool,
    /// Whether it carries the session's data; others stand by.
    pub is_active: bool,
    /// Whether what was sent on it has had no answer for so long that another link takes over.
    pub is_suspect: bool,
    /// What it is to the session.
    pub role: LinkRole,
    /// Why it is that, as a sentence for a person.
    pub reason: String,
    /// This side's address.
    pub local: Option<Multiaddr>,
    /// The other side's.
    pub remote: Option<Multiaddr>,
    /// The smoothed round trip, once known.
    pub rtt: Option<Duration>,
    /// The shortest round trip seen.
    pub least_rtt: Option<Duration>,
    /// How long there has been this link.
    pub age: Duration,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Bytes of stream data received.
    pub bytes_received: u64,
    /// Bytes of stream data sent and not acknowledged.
    pub bytes_in_flight: u64,
    /// Bytes of stream data sent on it that went to another link too, because it did not answer;
    /// counted up to 4 GiB.
    pub bytes_resent: u64,
    /// Packets sent, where the transport counts them: QUIC does, TCP leaves it to the system.
    pub packets_sent: Option<u64>,
    /// Packets of those that were lost and so sent again.
    pub packets_lost: Option<u64>,
}

/// What a link is to its session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum LinkRole {
    /// It carries the session's data.
    Active,
    /// It works, and carries no more than what shows that it does.
    Standby,
    /// It has owed an answer for too long.
    Suspect,
    /// It is not part of the session yet, or ends.
    Pending,
}

impl LinkSummary {
    /// All links of a session, in the order in which they came.
    pub(crate) fn all_of(session: &SharedSession) -> Vec<Self> {
        let views = session.links();
        views.iter().map(|view| Self::of(session, view, &views)).collect()
    }

    fn of(session: &SharedSession, view: &LinkView, all: &[LinkView]) -> Self {
        let (stats, info) = (&view.stats, &view.info);
        let packets = view.driver.as_ref().and_then(netcom_transport::LinkDriver::packets);
        Self {
            session: session.key(),
            id: stats.id.0,
            peer_id: session.peer(),
            kind: stats.kind,
            is_dialer: stats.is_dialer,
            is_active: stats.carries_data,
            is_suspect: stats.is_suspect,
            role: LinkRole::of(view),
            reason: reason(view, all),
            local: info.local.clone(),
            remote: info.remote.clone(),
            rtt: stats.rtt,
            least_rtt: stats.least_rtt,
            age: info.since.elapsed(),
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            bytes_in_flight: stats.bytes_in_flight as u64,
            bytes_resent: stats.bytes_resent,
            packets_sent: packets.map(|packets| packets.sent),
            packets_lost: packets.map(|packets| packets.lost),
        }
    }
}

impl LinkRole {
    /// All roles.
    pub(crate) const ALL: [Self; 4] = [Self::Active, Self::Standby, Self::Suspect, Self::Pending];

    pub(crate) fn of(view: &LinkView) -> Self {
        match view.stats {
            stats if !stats.is_attached => Self::Pending,
            stats if stats.is_suspect => Self::Suspect,
            stats if stats.carries_data => Self::Active,
            _ => Self::Standby,
        }
    }

    /// A stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Suspect => "suspect",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for LinkRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a link has its role.
fn reason(view: &LinkView, all: &[LinkView]) -> String {
    let others = || all.iter().filter(|other| other.stats.id != view.stats.id);
    let in_use = others().find(|other| LinkRole::of(other) == LinkRole::Active);
    match (LinkRole::of(view), in_use) {
        (LinkRole::Pending, _) => "it is not part of the session yet, or ends".to_owned(),
        (LinkRole::Suspect, Some(_)) => {
            "it has not answered for too long, so another carries what it carried".to_owned()
        }
        (LinkRole::Suspect, None) => {
            "it has not answered for too long, and no other link works".to_owned()
        }
        (LinkRole::Active, Some(_)) => "it works, and others carry data beside it".to_owned(),
        (LinkRole::Active, None) => match others().count() {
            0 => "it is the only link".to_owned(),
            _ => "it works, and no other is clearly better".to_owned(),
        },
        (LinkRole::Standby, Some(other)) => match extra(view, other) {
            Some(extra) => format!("the link in use works, and this way is {extra:.1?} longer"),
            None => "the link in use works, and this one is not clearly better".to_owned(),
        },
        (LinkRole::Standby, None) => "it works, and is about to be used".to_owned(),
    }
}

/// How much longer a link's way is than another's, by the shortest round trips.
fn extra(view: &LinkView, other: &LinkView) -> Option<Duration> {
    let extra = view.stats.least_rtt?.checked_sub(other.stats.least_rtt?)?;
    (!extra.is_zero()).then_some(extra)
}
