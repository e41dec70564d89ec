//! What TCP under TLS and QUIC do between two hosts, as far as a session can see it: ordered lanes
//! of bytes over packets that are lost, late, overtaken and doubled.
//!
//! Both are one machine with different numbers. Packets are numbered and never sent twice; what a
//! lost one carried goes again in another. So a TCP connection here acknowledges selectively and
//! tells a repetition from the original, as kernels do with SACK and time stamps. What differs is
//! what sessions notice: TCP is one lane, so a lost packet holds up all that follows, takes two
//! round trips to begin, is bound to both addresses and hears of a peer that forgot it; QUIC has
//! many lanes, takes one round trip, follows a client to another address, pings, and gives up
//! silence.
//!
//! Left out: encryption, receive windows (drivers drain), path MTU discovery, and pacing.

mod connection;
mod incoming;
mod outgoing;
mod recovery;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use netcom_session::{LaneId, LinkKind};

use super::network::Address;

pub(super) use self::connection::{Connection, ConnectionEvent};

/// Names a connection at both of its ends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ConnectionId(pub(super) u64);

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) connection: ConnectionId,
    pub(super) kind: LinkKind,
    /// The process that sends it.
    pub(super) process: u32,
    /// The process it is for, once known: another one cannot tell that it lost the connection.
    pub(super) for_process: Option<u32>,
    pub(super) body: Body,
}

/// What a packet says.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// One of the flights by which a connection begins, the dialer's with even numbers.
    Handshake { flight: u8 },
    /// Data, acknowledgement or both.
    Segment(Segment),
    /// There is no such connection.
    Reset,
    /// The connection is over, in order.
    Close,
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// What arrived, as first and last numbers in a row, the newest first.
    pub(super) acknowledged: Vec<(u64, u64)>,
    pub(super) chunks: Vec<Chunk>,
    /// Whether an answer is wanted though there is no data.
    pub(super) is_ping: bool,
}

/// Bytes of a lane.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) lane: LaneId,
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
    /// Nothing follows on the lane.
    pub(super) is_last: bool,
}

impl Packet {
    /// The packet's length with all headers.
    pub(super) fn len_bytes(&self) -> usize {
        match &self.body {
            // A hello with keys, or a certificate; QUIC fills its first packets up.
            Body::Handshake { .. } if self.kind == LinkKind::Quic => QUIC_PACKET,
            Body::Handshake { flight } if *flight >= FIRST_TLS_FLIGHT => TCP_PACKET,
            Body::Handshake { .. } | Body::Reset | Body::Close => HEADERS,
            Body::Segment(segment) => {
                let chunks = segment.chunks.iter().map(|chunk| CHUNK_HEADER + chunk.bytes.len());
                HEADERS + chunks.sum::<usize>()
            }
        }
    }

    /// What a process answers that has no such connection.
    pub(super) fn refused(&self, process: u32) -> Self {
        Self {
            from: self.to,
            to: self.from,
            connection: self.connection,
            kind: self.kind,
            process,
            for_process: Some(self.process),
            body: Body::Reset,
        }
    }
}

impl Segment {
    /// Whether the peer acknowledges it.
    pub(super) fn is_answered(&self) -> bool {
        self.is_ping || !self.chunks.is_empty()
    }
}

/// The numbers in which TCP and QUIC differ.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    /// Bytes of chunks in a packet.
    room: usize,
    /// Round trips before the dialer may send.
    round_trips: u8,
    /// Retransmission begins no earlier.
    shortest_timeout: Duration,
    /// Bytes that wait to be sent before the driver is held up.
    unsent: usize,
}

impl Tuning {
    fn of(kind: LinkKind) -> Self {
        match kind {
            LinkKind::Quic => Self {
                room: QUIC_PACKET - HEADERS,
                round_trips: 1,
                shortest_timeout: ACK_DELAY,
                unsent: 1 << 20,
            },
            _ => Self {
                room: TCP_PACKET - HEADERS,
                round_trips: 2,
                // What Linux has, beside the 1 s of RFC 6298, section 2.4.
                shortest_timeout: Duration::from_millis(200),
                unsent: 128 << 10,
            },
        }
    }
}

/// Headers of IPv6, UDP or TCP, and of what protects the payload.
const HEADERS: usize = 80;
/// Lane, offset and length.
const CHUNK_HEADER: usize = 12;
/// A full packet of TCP.
const TCP_PACKET: usize = 1500;
/// A full packet of QUIC before it has tried longer ones: 1,200 bytes of UDP payload.
const QUIC_PACKET: usize = 1248;
/// TCP's own handshake has the flights before this one.
const FIRST_TLS_FLIGHT: u8 = 2;
/// How long an acknowledgement waits for company
/// ([RFC 9000, section 18.2](https://www.rfc-editor.org/rfc/rfc9000#section-18.2)).
const ACK_DELAY: Duration = Duration::from_millis(25);
