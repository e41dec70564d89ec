//! The frames: what travels on a lane.

use std::fmt;

use bytes::Bytes;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

use super::Payload;
use crate::{Class, Code, Flow, InstanceId, LaneId, LinkId, SessionId, StreamId};

/// One message between two engines. Every frame means the same on any lane of any link at any
/// time: limits are absolute, data has offsets, and repeating one changes nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// Bytes of a flow.
    Data(Data),
    /// The sender's flow ends without the rest of its data.
    Reset(Reset),
    /// Asks the receiver to reset its flow.
    Stop(Stop),
    /// Allows a flow up to an absolute offset.
    Credit(Credit),
    /// Tells that a flow waits for credit at an offset.
    Blocked(Blocked),
    /// Allows the receiver to open streams with an index below `max`.
    Streams {
        /// Absolute count of streams, never lowered.
        max: u64,
    },
    /// Acknowledges the frames of a link's lanes.
    Lack(Lack),
    /// Tells what the sender thinks of a link.
    Link(LinkUpdate),
    /// Asks for a LACK of a link, on any link.
    Query {
        /// The link in question.
        link: LinkId,
    },
    /// Asks for a PONG.
    Ping {
        /// Returned by the answer.
        nonce: u64,
    },
    /// Answers a PING.
    Pong {
        /// The PING's.
        nonce: u64,
    },
    /// An unreliable message.
    Datagram(Datagram),
    /// The first frame of a link, each way.
    Hello(Box<Hello>),
    /// The session's secret, from the keeper to the bound process only.
    Key(SessionKey),
    /// Proves ownership of the session on this link.
    Join {
        /// HMAC-SHA256 by the session's secret.
        mac: [u8; 32],
    },
    /// A proof of representation, encoded as netcom-identity does.
    Auth(Bytes),
    /// Whether the sender's application holds the session.
    Want {
        /// Rises with each change; a lower one is ignored.
        sequence: u64,
        /// True while held.
        held: bool,
    },
    /// Streams of the receiver after this one will not be served.
    Drain {
        /// The last stream served; `None` serves none.
        last: Option<StreamId>,
    },
    /// The session ends.
    Close(Close),
    /// Bytes that mean nothing: padding, and ignorable frames this version does not know.
    Ignored {
        /// The frame's type, 0x80 and above.
        kind: u8,
        /// The body's length in bytes.
        length: usize,
    },
}

/// Body of DATA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Data {
    /// The stream.
    pub stream: StreamId,
    /// Which of the sender's flows.
    pub flow: Flow,
    /// Offset of the first byte.
    pub offset: u64,
    /// The flow ends after these bytes.
    pub fin: bool,
    /// With `fin` of a data flow: the error flow ends too, with nothing sent on it.
    pub fin_errors: bool,
    /// Describes the stream; only and always at offset 0 of the initiator's data flow.
    pub open: Option<Open>,
    /// The bytes.
    pub bytes: Payload,
}

/// What the first frame of a stream says about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    /// The class the opener wishes.
    pub class: Class,
    /// The protocol's name, at most 255 bytes. Decoded, it is a copy and pins no buffer.
    pub protocol: Bytes,
}

/// Body of RESET.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reset {
    /// The stream.
    pub stream: StreamId,
    /// Which of the sender's flows.
    pub flow: Flow,
    /// With a data flow: the error flow ends too, with nothing sent on it.
    pub fin_errors: bool,
    /// Why.
    pub code: Code,
    /// How many bytes of the flow were ever sent; settles the credit.
    pub final_size: u64,
}

/// Body of STOP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stop {
    /// The stream.
    pub stream: StreamId,
    /// Which of the receiver's flows.
    pub flow: Flow,
    /// Why.
    pub code: Code,
}

/// Body of CREDIT.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Credit {
    /// The stream.
    pub stream: StreamId,
    /// Which of the receiver's flows.
    pub flow: Flow,
    /// Bytes may be sent up to this offset, exclusive.
    pub max: u64,
}

/// Body of BLOCKED.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Blocked {
    /// The stream.
    pub stream: StreamId,
    /// Which of the sender's flows.
    pub flow: Flow,
    /// The limit it stands at.
    pub at: u64,
}

/// How many frames were applied, lane by lane.
pub type LaneCounts = Vec<(LaneId, u64)>;

/// Body of LACK.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lack {
    /// The link whose frames are acknowledged.
    pub link: LinkId,
    /// How long the newest of them waited for this answer, in microseconds.
    pub delay_us: u64,
    /// Frames applied in order, per lane, at most [`MAX_LANES_PER_FRAME`] entries.
    pub lanes: LaneCounts,
}

/// What a side thinks of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkState {
    /// It works.
    Alive,
    /// It answers late.
    Suspect,
    /// Nothing more will be sent on it.
    Closing,
    /// Nothing more will be read from it; the counts are final.
    Dead,
}

/// What the keeper wants a link for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkRole {
    /// Carries frames.
    Active,
    /// Waits.
    Standby,
}

/// Body of LINK.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkUpdate {
    /// The link.
    pub link: LinkId,
    /// The sender's view.
    pub state: LinkState,
    /// The keeper's wish.
    pub role: LinkRole,
    /// Frames applied, final where `state` is dead.
    pub lanes: LaneCounts,
}

/// Body of DATAGRAM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// Chosen by the application: names whom it is for.
    pub flow: u64,
    /// Rises by one with each datagram of the session; removes duplicates.
    pub sequence: u64,
    /// Dropped if it waited longer, in milliseconds.
    pub ttl_ms: u64,
    /// The message.
    pub bytes: Bytes,
}

/// Body of CLOSE.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Close {
    /// Why.
    pub code: Code,
    /// For a person, at most 256 bytes of UTF-8.
    pub reason: String,
}

/// Body of HELLO: the first frame of a link, each way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// The sender's process.
    pub instance: InstanceId,
    /// The sender's earlier process, which is known to be gone.
    pub supersedes: Option<InstanceId>,
    /// The link's name; the acceptor repeats the dialer's.
    pub link: LinkId,
    /// What the sender asks for or answers.
    pub purpose: Purpose,
    /// The sender's name for the session, missing only where there is none; the keeper's is the
    /// session's id.
    pub session: Option<SessionId>,
    /// What the sender allows before any other frame.
    pub limits: Limits,
    /// How long the sender keeps the session without a link, in milliseconds; 60 s where absent.
    pub resume_window_ms: Option<u64>,
    /// Optional abilities by number; used only where both sides name them.
    pub features: Vec<u64>,
    /// Final counts of links that died before, from the oldest to the newest: at most 16, and what
    /// does not fit into 16 KiB is left out from the front.
    pub finals: Vec<Finals>,
}

/// What a HELLO is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Dialer: a new session, or the one being made right now.
    New,
    /// Dialer: another link of a session that both sides know; JOIN follows, if the dialer has the
    /// secret.
    Join {
        /// The acceptor's name for the session.
        session: SessionId,
    },
    /// Acceptor: the link belongs to the session now.
    Attached,
    /// Acceptor: the session exists; prove that it is yours.
    NeedJoin,
    /// Acceptor: the session ended.
    Gone {
        /// Why it ended.
        code: Code,
    },
    /// Acceptor: no.
    Refused {
        /// Why.
        code: Code,
        /// When trying again makes sense, in milliseconds.
        retry_after_ms: u64,
    },
}

/// What a side allows from the start, before any CREDIT or STREAMS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Streams the peer may open.
    pub streams: u64,
    /// Bytes the peer may send on a data flow.
    pub data_window: u64,
    /// Bytes the peer may send on an error flow.
    pub error_window: u64,
}

/// The last word on a dead link: how many of the peer's frames were applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finals {
    /// The link.
    pub link: LinkId,
    /// Frames applied, per lane.
    pub lanes: LaneCounts,
}

/// The session's secret. Never printed.
#[derive(Clone, Zeroize)]
#[zeroize(drop)]
pub struct SessionKey(pub [u8; 32]);

impl PartialEq for SessionKey {
    /// Takes as long whichever bytes differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SessionKey {}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Frame types on the wire.
pub mod kind {
    /// [`Frame::Data`](super::Frame::Data)
    pub const DATA: u8 = 0x01;
    /// [`Frame::Reset`](super::Frame::Reset)
    pub const RESET: u8 = 0x02;
    /// [`Frame::Stop`](super::Frame::Stop)
    pub const STOP: u8 = 0x03;
    /// [`Frame::Credit`](super::Frame::Credit)
    pub const CREDIT: u8 = 0x04;
    /// [`Frame::Blocked`](super::Frame::Blocked)
    pub const BLOCKED: u8 = 0x05;
    /// [`Frame::Streams`](super::Frame::Streams)
    pub const STREAMS: u8 = 0x06;
    /// [`Frame::Lack`](super::Frame::Lack)
    pub const LACK: u8 = 0x07;
    /// [`Frame::Link`](super::Frame::Link)
    pub const LINK: u8 = 0x08;
    /// [`Frame::Query`](super::Frame::Query)
    pub const QUERY: u8 = 0x09;
    /// [`Frame::Ping`](super::Frame::Ping)
    pub const PING: u8 = 0x0a;
    /// [`Frame::Pong`](super::Frame::Pong)
    pub const PONG: u8 = 0x0b;
    /// [`Frame::Datagram`](super::Frame::Datagram)
    pub const DATAGRAM: u8 = 0x0c;
    /// [`Frame::Hello`](super::Frame::Hello)
    pub const HELLO: u8 = 0x0d;
    /// [`Frame::Key`](super::Frame::Key)
    pub const KEY: u8 = 0x0e;
    /// [`Frame::Join`](super::Frame::Join)
    pub const JOIN: u8 = 0x0f;
    /// [`Frame::Auth`](super::Frame::Auth)
    pub const AUTH: u8 = 0x10;
    /// [`Frame::Want`](super::Frame::Want)
    pub const WANT: u8 = 0x11;
    /// [`Frame::Drain`](super::Frame::Drain)
    pub const DRAIN: u8 = 0x12;
    /// [`Frame::Close`](super::Frame::Close)
    pub const CLOSE: u8 = 0x13;
    /// Padding, the first of the ignorable types 0x80 to 0xff.
    pub const PAD: u8 = 0x80;
}

/// Bits of the frames that name a flow.
pub mod bits {
    /// DATA: the flow ends after these bytes.
    pub const FIN: u8 = 1;
    /// The error flow is meant, not the data flow.
    pub const ERR: u8 = 2;
    /// DATA: the frame describes its stream.
    pub const OPEN: u8 = 4;
    /// DATA with FIN, RESET: the error flow ends too, with nothing sent on it.
    pub const FIN_ERRORS: u8 = 8;
}

/// The longest body of a DATA frame on a link over TLS records, so that a frame fits one record.
pub const MAX_DATA_BODY: usize = 16_352;
/// The longest body of a DATA frame on a QUIC link.
pub const MAX_DATA_BODY_QUIC: usize = 64 * 1024;
/// The longest body of a HELLO, AUTH or ignorable frame.
pub const MAX_HELLO_BODY: usize = 16 * 1024;
/// The longest body of every other frame: what the most lanes with the longest numbers need.
pub const MAX_CONTROL_BODY: usize = 2304;
/// The most entries of a HELLO.
pub const MAX_HELLO_ENTRIES: usize = 64;
/// The most lanes one LACK, LINK or final names.
pub const MAX_LANES_PER_FRAME: usize = 128;
/// The most final counts of dead links in one HELLO.
pub const MAX_FINALS: usize = 16;
/// The longest name of a protocol, in bytes.
pub const MAX_PROTOCOL: usize = 255;
/// The longest reason of a CLOSE, in bytes.
pub const MAX_REASON: usize = 256;
/// The longest DATAGRAM payload that fits every link, in bytes.
pub const MAX_DATAGRAM: usize = 1100;
/// The most features a HELLO names.
pub const MAX_FEATURES: usize = 64;
/// The longest duration a frame tells, in milliseconds: a day. Longer ones are read as this.
pub const MAX_WAIT_MS: u64 = 86_400_000;
