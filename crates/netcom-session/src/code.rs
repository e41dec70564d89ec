//! Why a stream, a link or a session ended, as a number that both sides understand.

use std::fmt;

/// A reason on the wire. The hundreds digit names the party at fault as the sender of the code
/// sees it: 0x1xx the receiver, 0x2xx the sender, 0x3xx the network, 0x4xx a policy. Codes from
/// [`Code::APPLICATION`] on belong to the application.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(pub u64);

/// Who has to change something before the same thing can work.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The receiver of the code broke a rule.
    Receiver,
    /// The sender of the code failed.
    Sender,
    /// The network between them.
    Network,
    /// Nobody: a rule of either side says no.
    Policy,
    /// The application said so.
    Application,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal;)+) => {
        impl Code {
            $($(#[doc = $doc])+ pub const $name: Self = Self($value);)+

            /// The code's stable name, `None` for unknown codes and the application's.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// A rule of the protocol was broken in a way no other code names.
    PROTOCOL_VIOLATION = 0x100;
    /// A frame cannot be read.
    MALFORMED_FRAME = 0x101;
    /// A frame declares more than its limit.
    FRAME_TOO_LARGE = 0x102;
    /// A frame or hello entry that may not be skipped is unknown.
    UNKNOWN_CRITICAL = 0x103;
    /// Frames were acknowledged that were never sent.
    ACK_OF_UNSENT = 0x104;
    /// More data than the credit allows.
    FLOW_CONTROL = 0x105;
    /// A second, different end of a flow, or data beyond the end.
    FINAL_SIZE = 0x106;
    /// More streams than allowed.
    STREAM_LIMIT = 0x107;
    /// More gaps in received data than a correct sender makes.
    TOO_MANY_GAPS = 0x108;
    /// Too many frames that change nothing.
    USELESS = 0x109;
    /// Streams opened and reset faster than they can be answered.
    RESET_FLOOD = 0x10a;
    /// No hello, or no proof of the session, in time.
    HANDSHAKE_TIMEOUT = 0x10b;
    /// The proof of owning the session is wrong.
    BAD_JOIN = 0x10c;
    /// This side failed.
    INTERNAL = 0x200;
    /// A new process took this one's place.
    PEER_RESTARTED = 0x201;
    /// The application dropped the stream without ending it.
    ABANDONED = 0x202;
    /// This side has no room now; trying again later can work.
    OVERLOADED = 0x203;
    /// The window for coming back has passed.
    RESUME_EXPIRED = 0x300;
    /// The waiting session gave way to others.
    RESUME_EVICTED = 0x301;
    /// The link's transport failed.
    LINK_LOST = 0x302;
    /// Closed without a complaint.
    NO_ERROR = 0x400;
    /// Nobody held the session any more.
    IDLE = 0x401;
    /// Not accepted; trying again later can work.
    REFUSED = 0x402;
    /// Too many processes of one key.
    TOO_MANY_INSTANCES = 0x403;
    /// The peer is shutting down and did not process this.
    NOT_PROCESSED = 0x404;
    /// The right to speak for the NetId ended.
    REPRESENTATION_EXPIRED = 0x405;
    /// The link leads to another process than the session's.
    INSTANCE_CHANGED = 0x406;
    /// Another link does the same.
    DUPLICATE_LINK = 0x407;
    /// The session is unknown here.
    UNKNOWN_SESSION = 0x408;
    /// This side may not do that.
    DENIED = 0x409;
    /// Nothing serves that protocol.
    UNKNOWN_PROTOCOL = 0x40a;
    /// The application cancelled the operation.
    CANCELLED = 0x40b;
    /// A deadline passed.
    DEADLINE = 0x40c;
}

impl Code {
    /// The first of the application's codes: `APPLICATION + n` carries the application's `n`.
    pub const APPLICATION: u64 = 0x1_0000;

    /// Carries an application's own code.
    #[must_use]
    pub fn application(code: u32) -> Self {
        Self(Self::APPLICATION + u64::from(code))
    }

    /// The application's own code, if it is one.
    #[must_use]
    pub fn as_application(self) -> Option<u32> {
        self.0.checked_sub(Self::APPLICATION).and_then(|code| u32::try_from(code).ok())
    }

    /// Who is at fault, seen from the sender of the code.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self.0 {
            0x100..=0x1ff => Fault::Receiver,
            0x200..=0x2ff => Fault::Sender,
            0x300..=0x3ff => Fault::Network,
            Self::APPLICATION.. => Fault::Application,
            _ => Fault::Policy,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.as_application()) {
            (Some(name), _) => f.write_str(&name.to_lowercase().replace('_', " ")),
            (None, Some(code)) => write!(f, "application code {code}"),
            (None, None) => write!(f, "code {:#x}", self.0),
        }
    }
}
