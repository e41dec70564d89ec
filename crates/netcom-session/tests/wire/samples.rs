//! Valid frames: by hand one or more of each type, and arbitrary ones.

use bytes::{Bytes, BytesMut};
use netcom_session::{
    Class, Code, Flow, InstanceId, LaneId, LinkId, SessionId, StreamId,
    wire::{
        Blocked, Close, Credit, Data, Datagram, DecodeError, Finals, Frame, FrameLimits, Hello,
        Lack, LaneCounts, Limits, LinkRole, LinkState, LinkUpdate, MAX_VARINT, MAX_WAIT_MS, Open,
        Purpose, Reset, SessionKey, Stop, decode, encode, kind,
    },
};
use proptest::{collection::vec, option, prelude::*};

/// At least one frame of each type, small, with each optional part present and absent.
pub(crate) fn every_frame() -> Vec<Frame> {
    let (stream, link) = (StreamId(6), LinkId(70));
    let lanes = vec![(LaneId(0), 5), (LaneId(3), 70_000)];
    let reset = |flow, fin_errors| {
        Frame::Reset(Reset { stream, flow, fin_errors, code: Code::CANCELLED, final_size: 99 })
    };
    let update = |state, role| Frame::Link(LinkUpdate { link, state, role, lanes: lanes.clone() });
    let mut frames = every_data();
    frames.extend(Purposes::ALL.map(|purpose| Frame::Hello(Box::new(hello(purpose)))));
    frames.extend([
        Frame::Hello(Box::new(bare_hello())),
        reset(Flow::Data, false),
        reset(Flow::Data, true),
        reset(Flow::Error, false),
        Frame::Stop(Stop { stream, flow: Flow::Data, code: Code::application(7) }),
        Frame::Stop(Stop { stream, flow: Flow::Error, code: Code::NO_ERROR }),
        Frame::Credit(Credit { stream, flow: Flow::Data, max: 1 << 20 }),
        Frame::Credit(Credit { stream, flow: Flow::Error, max: 4096 }),
        Frame::Blocked(Blocked { stream, flow: Flow::Data, at: 16_384 }),
        Frame::Blocked(Blocked { stream, flow: Flow::Error, at: 0 }),
        Frame::Streams { max: 64 },
        Frame::Lack(Lack { link, delay_us: 250, lanes: lanes.clone() }),
        Frame::Lack(Lack { link, delay_us: 0, lanes: Vec::new() }),
        update(LinkState::Alive, LinkRole::Active),
        update(LinkState::Suspect, LinkRole::Standby),
        update(LinkState::Closing, LinkRole::Active),
        update(LinkState::Dead, LinkRole::Standby),
        Frame::Query { link },
        Frame::Ping { nonce: 1 << 40 },
        Frame::Pong { nonce: 3 },
        Frame::Datagram(Datagram { flow: 1, sequence: 2, ttl_ms: 200, bytes: "hey".into() }),
        Frame::Datagram(Datagram { flow: 0, sequence: 0, ttl_ms: 0, bytes: Bytes::new() }),
        Frame::Key(SessionKey([7; 32])),
        Frame::Join { mac: [9; 32] },
        Frame::Auth("proof".into()),
        Frame::Auth(Bytes::new()),
        Frame::Want { sequence: 5, held: true },
        Frame::Want { sequence: 6, held: false },
        Frame::Drain { last: None },
        Frame::Drain { last: Some(stream) },
        Frame::Close(Close { code: Code::NO_ERROR, reason: String::new() }),
        Frame::Close(Close { code: Code::INTERNAL, reason: "grün".into() }),
        Frame::Ignored { kind: kind::PAD, length: 0 },
        Frame::Ignored { kind: kind::PAD, length: 100 },
        Frame::Ignored { kind: 0xff, length: 3 },
    ]);
    frames
}

fn every_data() -> Vec<Frame> {
    let open = |class, protocol: &'static str| Some(Open { class, protocol: protocol.into() });
    let data = |flow, offset, fin, fin_errors, open, bytes: &'static str| {
        let (stream, bytes) = (StreamId(6), Bytes::from(bytes).into());
        Frame::Data(Data { stream, flow, offset, fin, fin_errors, open, bytes })
    };
    vec![
        data(Flow::Data, 0, false, false, open(Class::Interactive, "/echo/1"), "hello"),
        data(Flow::Data, 0, true, true, open(Class::Normal, ""), "hello"),
        data(Flow::Data, 0, true, false, open(Class::Bulk, "/files/1"), ""),
        data(Flow::Data, 1 << 20, false, false, None, "more"),
        data(Flow::Data, 20_000, true, false, None, ""),
        data(Flow::Data, 7, true, true, None, "end"),
        data(Flow::Error, 0, false, false, None, "it broke"),
        data(Flow::Error, 8, true, false, None, ""),
    ]
}

/// The purposes a HELLO can have.
pub(crate) struct Purposes;

impl Purposes {
    pub(crate) const ALL: [Purpose; 6] = [
        Purpose::New,
        Purpose::Join { session: SessionId([4; 16]) },
        Purpose::Attached,
        Purpose::NeedJoin,
        Purpose::Gone { code: Code::RESUME_EXPIRED },
        Purpose::Refused { code: Code::TOO_MANY_INSTANCES, retry_after_ms: 30_000 },
    ];
}

/// A HELLO with each of its entries.
pub(crate) fn hello(purpose: Purpose) -> Hello {
    Hello {
        instance: InstanceId([1; 16]),
        supersedes: Some(InstanceId([2; 16])),
        link: LinkId(70),
        purpose,
        session: Some(SessionId([3; 16])),
        limits: Limits { streams: 64, data_window: 16_384, error_window: 4096 },
        resume_window_ms: Some(60_000),
        features: vec![1, 500],
        finals: vec![
            Finals { link: LinkId(66), lanes: vec![(LaneId(0), 12)] },
            Finals { link: LinkId(68), lanes: vec![] },
        ],
    }
}

/// A HELLO with the required entries only.
pub(crate) fn bare_hello() -> Hello {
    Hello {
        supersedes: None,
        session: None,
        resume_window_ms: None,
        features: vec![],
        finals: vec![],
        ..hello(Purpose::New)
    }
}

/// Any frame that keeps the limits of a TLS link.
pub(crate) fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        4 => any_data().prop_map(Frame::Data),
        4 => any_control(),
        1 => any_hello().prop_map(|hello| Frame::Hello(Box::new(hello))),
    ]
}

fn any_control() -> impl Strategy<Value = Frame> {
    let numbers = (number(), number(), number());
    prop_oneof![
        (numbers.clone(), any_flow(), any::<bool>()).prop_map(
            |((stream, code, size), flow, fin)| {
                let fin_errors = fin && flow == Flow::Data;
                let (stream, code) = (StreamId(stream), Code(code));
                Frame::Reset(Reset { stream, flow, fin_errors, code, final_size: size })
            }
        ),
        (number(), number(), any_flow(), 0..3).prop_map(|(stream, number, flow, which)| {
            let stream = StreamId(stream);
            match which {
                0 => Frame::Stop(Stop { stream, flow, code: Code(number) }),
                1 => Frame::Credit(Credit { stream, flow, max: number }),
                _ => Frame::Blocked(Blocked { stream, flow, at: number }),
            }
        }),
        (number(), 0..4).prop_map(|(number, which)| match which {
            0 => Frame::Streams { max: number },
            1 => Frame::Query { link: LinkId(number) },
            2 => Frame::Ping { nonce: number },
            _ => Frame::Pong { nonce: number },
        }),
        (number(), 0..=MAX_WAIT_MS * 1000, any_lanes(128)).prop_map(|(link, delay_us, lanes)| {
            Frame::Lack(Lack { link: LinkId(link), delay_us, lanes })
        }),
        any_link_update(),
        (numbers, bytes(1100)).prop_map(|((flow, sequence, ttl), bytes)| {
            Frame::Datagram(Datagram { flow, sequence, ttl_ms: ttl.min(MAX_WAIT_MS), bytes })
        }),
        any::<[u8; 32]>().prop_map(|key| Frame::Key(SessionKey(key))),
        any::<[u8; 32]>().prop_map(|mac| Frame::Join { mac }),
        bytes(16_384).prop_map(Frame::Auth),
        (number(), any::<bool>()).prop_map(|(sequence, held)| Frame::Want { sequence, held }),
        option::of(number()).prop_map(|last| Frame::Drain { last: last.map(StreamId) }),
        (number(), "[ -~äß€]{0,80}")
            .prop_map(|(code, reason)| Frame::Close(Close { code: Code(code), reason })),
        (0x80u8.., 0usize..=16_384).prop_map(|(kind, length)| Frame::Ignored { kind, length }),
    ]
}

fn any_data() -> impl Strategy<Value = Data> {
    let opening = option::of((any_class(), bytes(255)));
    let ends = (any::<bool>(), any::<bool>());
    (number(), any_flow(), number(), ends, opening, bytes(16_000)).prop_map(
        |(stream, flow, offset, (fin, both), opening, bytes)| {
            let open = opening.filter(|_| flow == Flow::Data);
            let offset = if open.is_some() { 0 } else { offset.min(MAX_VARINT - 16_000) };
            Data {
                stream: StreamId(stream),
                flow,
                offset,
                fin,
                fin_errors: fin && both && flow == Flow::Data,
                open: open.map(|(class, protocol)| Open { class, protocol }),
                bytes: bytes.into(),
            }
        },
    )
}

fn any_link_update() -> impl Strategy<Value = Frame> {
    let state = prop_oneof![
        Just(LinkState::Alive),
        Just(LinkState::Suspect),
        Just(LinkState::Closing),
        Just(LinkState::Dead),
    ];
    let role = prop_oneof![Just(LinkRole::Active), Just(LinkRole::Standby)];
    (number(), state, role, any_lanes(128)).prop_map(|(link, state, role, lanes)| {
        Frame::Link(LinkUpdate { link: LinkId(link), state, role, lanes })
    })
}

/// Any HELLO of at most 16 KiB.
pub(crate) fn any_hello() -> impl Strategy<Value = Hello> {
    let ids = (any::<[u8; 16]>(), option::of(any::<[u8; 16]>()), option::of(any::<[u8; 16]>()));
    let purpose = prop_oneof![
        Just(Purpose::New),
        any::<[u8; 16]>().prop_map(|name| Purpose::Join { session: SessionId(name) }),
        Just(Purpose::Attached),
        Just(Purpose::NeedJoin),
        number().prop_map(|code| Purpose::Gone { code: Code(code) }),
        (number(), 0..=MAX_WAIT_MS).prop_map(|(code, retry_after_ms)| Purpose::Refused {
            code: Code(code),
            retry_after_ms
        }),
    ];
    let finals =
        (number(), any_lanes(32)).prop_map(|(link, lanes)| Finals { link: LinkId(link), lanes });
    let limits = (number(), number(), number(), proptest::option::of(0..=MAX_WAIT_MS));
    (ids, number(), purpose, limits, vec(number(), 0..=64), vec(finals, 0..=16)).prop_map(
        |((instance, supersedes, session), link, purpose, limits, features, finals)| Hello {
            instance: InstanceId(instance),
            supersedes: supersedes.map(InstanceId),
            link: LinkId(link),
            purpose,
            session: session.map(SessionId),
            limits: Limits { streams: limits.0, data_window: limits.1, error_window: limits.2 },
            resume_window_ms: limits.3,
            features,
            finals,
        },
    )
}

/// Numbers of every length, boundaries often.
pub(crate) fn number() -> BoxedStrategy<u64> {
    prop_oneof![
        prop::sample::select(boundaries()),
        0u64..64,
        0u64..16_384,
        0u64..1 << 30,
        0u64..=MAX_VARINT
    ]
    .boxed()
}

/// 0, 1, and around each power of two that matters, up to the largest.
pub(crate) fn boundaries() -> Vec<u64> {
    let mut numbers = vec![0, 1, MAX_VARINT - 1, MAX_VARINT];
    for power in [6, 7, 8, 14, 16, 30, 31, 32, 53, 61] {
        numbers.extend([(1 << power) - 1, 1 << power, (1 << power) + 1]);
    }
    numbers
}

fn any_lanes(max: usize) -> impl Strategy<Value = LaneCounts> {
    vec((number().prop_map(LaneId), number()), 0..=max)
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => vec(any::<u8>(), 0..=max.min(60)), 1 => vec(any::<u8>(), 0..=max)]
        .prop_map(Bytes::from)
}

fn any_flow() -> impl Strategy<Value = Flow> {
    prop_oneof![Just(Flow::Data), Just(Flow::Error)]
}

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Interactive), Just(Class::Normal), Just(Class::Bulk)]
}

/// The frame's bytes.
pub(crate) fn encoded(frame: &Frame) -> BytesMut {
    let mut buf = BytesMut::new();
    encode(frame, &mut buf);
    buf
}

/// Puts type and length in front of a body.
pub(crate) fn framed(kind: u8, body: &[u8]) -> BytesMut {
    let mut buf = BytesMut::from(&[kind][..]);
    buf.extend_from_slice(&(0x8000_0000 | body.len() as u32).to_be_bytes());
    buf.extend_from_slice(body);
    buf
}

/// The body of an encoded frame.
pub(crate) fn body(frame: &Frame) -> Vec<u8> {
    let whole = encoded(frame);
    let head = 1 + (1 << (whole[1] >> 6));
    whole[head..].to_vec()
}

/// Reads one frame by the limits of a TLS link.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Frame>, DecodeError> {
    decode(&mut BytesMut::from(bytes), FrameLimits::TLS)
}
