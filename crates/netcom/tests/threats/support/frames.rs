//! One frame of every kind, with the numbers a test wants in it.

use bytes::Bytes;
use netcom::{Class, Code};
use netcom_session::{
    Flow, InstanceId, LaneId, LinkId, SessionId, StreamId,
    wire::{
        Blocked, Close, Credit, Data, Datagram, Finals, Frame, Hello, Lack, Limits, LinkRole,
        LinkState, LinkUpdate, Open, Purpose, Reset, SessionKey, Stop,
    },
};

/// A frame made of the numbers in a slice, each of which stands in a field of its own.
pub(crate) struct FrameKind {
    pub(crate) name: &'static str,
    /// How many numbers it has.
    pub(crate) numbers: usize,
    make: fn(&[u64]) -> Frame,
}

impl FrameKind {
    pub(crate) fn with(&self, numbers: &[u64]) -> Frame {
        (self.make)(numbers)
    }
}

/// Every kind of frame.
pub(crate) fn samples() -> Vec<FrameKind> {
    let kind = |name, numbers, make| FrameKind { name, numbers, make };
    vec![
        kind("DATA", 2, |n| data(n, Flow::Data)),
        kind("DATA of errors", 2, |n| data(n, Flow::Error)),
        kind("RESET", 3, |n| {
            let (flow, fin_errors) = (Flow::Data, true);
            let (stream, code, final_size) = (StreamId(n[0]), Code(n[1]), n[2]);
            Frame::Reset(Reset { stream, flow, fin_errors, code, final_size })
        }),
        kind("STOP", 2, |n| {
            Frame::Stop(Stop { stream: StreamId(n[0]), flow: Flow::Data, code: Code(n[1]) })
        }),
        kind("CREDIT", 2, |n| {
            Frame::Credit(Credit { stream: StreamId(n[0]), flow: Flow::Data, max: n[1] })
        }),
        kind("BLOCKED", 2, |n| {
            Frame::Blocked(Blocked { stream: StreamId(n[0]), flow: Flow::Data, at: n[1] })
        }),
        kind("STREAMS", 1, |n| Frame::Streams { max: n[0] }),
        kind("LACK", 4, |n| {
            let (link, delay_us, lanes) = (LinkId(n[0]), n[1], vec![(LaneId(n[2]), n[3])]);
            Frame::Lack(Lack { link, delay_us, lanes })
        }),
        kind("LINK", 3, |n| update(n, LinkState::Alive)),
        kind("LINK of a dead link", 3, |n| update(n, LinkState::Dead)),
        kind("QUERY", 1, |n| Frame::Query { link: LinkId(n[0]) }),
        kind("PING", 1, |n| Frame::Ping { nonce: n[0] }),
        kind("PONG", 1, |n| Frame::Pong { nonce: n[0] }),
        kind("DATAGRAM", 3, |n| {
            let (flow, sequence, ttl_ms) = (n[0], n[1], n[2]);
            Frame::Datagram(Datagram { flow, sequence, ttl_ms, bytes: Bytes::from_static(b"x") })
        }),
        kind("HELLO", 8, hello),
        kind("KEY", 0, |_| Frame::Key(SessionKey([7; 32]))),
        kind("JOIN", 0, |_| Frame::Join { mac: [7; 32] }),
        kind("AUTH", 0, |_| Frame::Auth(Bytes::from_static(&[7; 40]))),
        kind("WANT", 1, |n| Frame::Want { sequence: n[0], held: true }),
        kind("DRAIN", 1, |n| Frame::Drain { last: Some(StreamId(n[0])) }),
        kind("CLOSE", 1, |n| Frame::Close(Close { code: Code(n[0]), reason: "why".into() })),
        kind("PAD", 0, |_| Frame::Ignored { kind: 0x80, length: 9 }),
    ]
}

fn data(n: &[u64], flow: Flow) -> Frame {
    let (stream, offset, bytes) = (StreamId(n[0]), n[1], Bytes::from_static(b"bytes").into());
    let opens = offset == 0 && flow == Flow::Data;
    let protocol = Bytes::from_static(b"netcom/bytes/1");
    let open = opens.then_some(Open { class: Class::Normal, protocol });
    Frame::Data(Data { stream, flow, offset, fin: true, fin_errors: false, open, bytes })
}

fn update(n: &[u64], state: LinkState) -> Frame {
    let (link, lanes) = (LinkId(n[0]), vec![(LaneId(n[1]), n[2])]);
    Frame::Link(LinkUpdate { link, state, role: LinkRole::Standby, lanes })
}

fn hello(n: &[u64]) -> Frame {
    Frame::Hello(Box::new(Hello {
        instance: InstanceId([9; 16]),
        supersedes: Some(InstanceId([8; 16])),
        link: LinkId(n[0]),
        purpose: Purpose::Refused { code: Code(n[1]), retry_after_ms: n[2] },
        session: Some(SessionId([9; 16])),
        limits: Limits { streams: n[3], data_window: n[4], error_window: n[5] },
        resume_window_ms: Some(n[6]),
        features: vec![n[7]],
        finals: vec![Finals { link: LinkId(n[0]), lanes: vec![(LaneId(n[1]), n[2])] }],
    }))
}
