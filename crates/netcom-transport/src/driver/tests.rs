//! What drivers make of peers that break the rules.

use std::{net::Ipv4Addr, time::Duration};

use bytes::BytesMut;
use netcom_identity::SecretKey;
use netcom_session::{
    Code, Flow, StreamId,
    wire::{Data, encode},
};
use parking_lot::Mutex;
use rustls::AlertDescription;
use tokio::{net::TcpListener, time};

use super::{memory::MemoryLink, tcp::TcpLink, *};
use crate::{
    DialOptions, Link, Transport, TransportConfig,
    handshake::{self, Secured},
    record::Sealer,
    tls::TlsSettings,
};

/// A session that sends nothing and remembers what it was told.
#[derive(Default)]
struct Recorder {
    frames: Mutex<Vec<Frame>>,
    losses: Mutex<Vec<LinkLoss>>,
    changed: Notify,
}

impl LinkClient for Recorder {
    fn receive(&self, _lane: LaneId, frames: &mut Vec<Frame>) {
        self.frames.lock().append(frames);
        self.changed.notify_one();
    }

    fn transmit(&self, _budget: usize, _batch: &mut Batch) -> Poll {
        Poll::Idle
    }

    fn lost(&self, reason: LinkLoss) {
        self.losses.lock().push(reason);
        self.changed.notify_one();
    }
}

impl Recorder {
    async fn loss(&self) -> LinkLoss {
        let wait = async {
            loop {
                if let Some(loss) = self.losses.lock().first() {
                    return loss.clone();
                }
                self.changed.notified().await;
            }
        };
        time::timeout(Duration::from_secs(30), wait).await.unwrap()
    }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

async fn links(listen: &str) -> (Link, Link) {
    let (dialer, _) = Transport::new(TransportConfig::new(key(1))).unwrap();
    let (listener, mut accepted) = Transport::new(TransportConfig::new(key(2))).unwrap();
    let address = listener.listen(&listen.parse().unwrap()).await.unwrap();
    let peer = key(2).peer_id();
    let dialled = dialer.dial(&peer, &[address], DialOptions::default()).await.unwrap();
    let accepted = accepted.recv().await.unwrap();
    (dialled, accepted)
}

const LISTEN: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/memory/0"];

fn data(length: usize) -> Frame {
    Frame::Data(Data {
        stream: StreamId(0),
        flow: Flow::Data,
        offset: 0,
        fin: false,
        fin_errors: false,
        open: None,
        bytes: vec![7; length].into(),
    })
}

/// Sends bytes as the peer, followed by an orderly end, and tells what the driver made of it.
async fn told(listen: &str, bytes: Vec<u8>) -> (Vec<Frame>, LinkLoss) {
    let (dialled, accepted) = links(listen).await;
    let session = Arc::new(Recorder::default());
    let _driver = accepted.start(Arc::clone(&session) as Arc<_>);
    let sending = tokio::spawn(async move { dialled.finish_with(&bytes).await });
    let loss = session.loss().await;
    sending.await.unwrap();
    assert_eq!(session.losses.lock().len(), 1);
    let frames = std::mem::take(&mut *session.frames.lock());
    (frames, loss)
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for frame in frames {
        encode(frame, &mut bytes);
    }
    bytes.to_vec()
}

#[tokio::test]
async fn frames_before_a_goodbye_arrive() {
    for listen in LISTEN {
        let sent = [data(5), data(16_000), Frame::Ping { nonce: 9 }, data(0)];
        let (frames, loss) = told(listen, bytes_of(&sent)).await;
        assert_eq!(frames, sent, "{listen}");
        assert_eq!(loss, LinkLoss::Closed, "{listen}");
    }
}

#[tokio::test]
async fn a_goodbye_inside_a_frame_is_not_a_clean_end() {
    for listen in LISTEN {
        let sent = [data(5), data(1000)];
        let mut bytes = bytes_of(&sent);
        bytes.truncate(bytes.len() - 1);
        let (frames, loss) = told(listen, bytes).await;
        assert_eq!(frames, sent[..1], "{listen}");
        assert_eq!(loss, LinkLoss::Reset, "{listen}");
    }
}

#[tokio::test]
async fn malformed_frames_end_the_link_with_the_code_that_says_why() {
    let cases: [(&[u8], Code); 3] = [
        (&[0x41, 0], Code::UNKNOWN_CRITICAL),
        (&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Code::FRAME_TOO_LARGE),
        (&[0x09, 0], Code::MALFORMED_FRAME),
    ];
    for listen in LISTEN {
        for (lie, code) in cases {
            let mut bytes = bytes_of(&[data(5)]);
            bytes.extend_from_slice(lie);
            let (frames, loss) = told(listen, bytes).await;
            assert_eq!(frames, [data(5)], "what came before counts, over {listen}");
            assert_eq!(loss, LinkLoss::Malformed(code), "{listen}");
        }
    }
}

/// Both ends of an authenticated TCP connection, before they are links.
async fn secured() -> (Secured, Secured) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) =
        (TlsSettings::new(&key(1), &[]).unwrap(), TlsSettings::new(&key(2), &[]).unwrap());
    let dial = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        handshake::dial(stream, &near, key(2).peer_id()).await.unwrap()
    };
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        handshake::accept(stream, BytesMut::new(), &far).await.unwrap()
    };
    tokio::join!(dial, accept)
}

/// Sends one record as the peer and tells what the driver made of it.
async fn told_by_record(make: impl FnOnce(&mut Sealer, &mut BytesMut)) -> LinkLoss {
    let (mut near, far) = secured().await;
    let session = Arc::new(Recorder::default());
    let counters = Arc::new(Counters::default());
    let _driver = TcpLink::new(far).start(Arc::clone(&session) as Arc<_>, counters);
    let mut record = BytesMut::new();
    make(&mut near.sealer, &mut record);
    handshake::send(&near.stream, &mut record.into()).await.unwrap();
    session.loss().await
}

#[tokio::test]
async fn an_alert_after_the_handshake_is_told_as_a_refusal() {
    for (alert, told) in [
        (AlertDescription::AccessDenied, "access denied"),
        (AlertDescription::BadCertificate, "bad certificate"),
    ] {
        let loss = told_by_record(|sealer, out| sealer.alert(alert, out).unwrap()).await;
        assert_eq!(loss, LinkLoss::Tls(told.into()));
    }
}

#[tokio::test]
async fn a_forged_record_ends_the_link() {
    let forged = told_by_record(|sealer, out| {
        sealer.seal(&[b"anything"], out).unwrap();
        *out.last_mut().unwrap() ^= 1;
    });
    assert!(matches!(forged.await, LinkLoss::Tls(_)));
    let plain = told_by_record(|_, out| out.extend_from_slice(b"\x15\x03\x03\x00\x02\x01\x00"));
    assert!(matches!(plain.await, LinkLoss::Tls(_)), "an unprotected goodbye is none");
}

#[tokio::test]
async fn a_wake_up_is_kept_until_it_is_answered_and_counts_once() {
    let wakeup = Wakeup::default();
    wakeup.wake();
    wakeup.wake();
    wakeup.woken().await;
    wakeup.woken().await;
    wakeup.answer();
    assert!(wakeup.woken().now_or_never().is_none());
    wakeup.wake();
    assert!(wakeup.woken().now_or_never().is_some());
}

#[tokio::test]
async fn a_memory_link_says_goodbye_without_waiting_for_the_peer() {
    let (near, far) = MemoryLink::pair();
    let session = Arc::new(Recorder::default());
    let counters = Arc::new(Counters::default());
    let _driver = far.start(Arc::clone(&session) as Arc<_>, counters);
    let goodbye = near.finish_with(&bytes_of(&[data(5)])).await;
    assert_eq!(goodbye, LinkLoss::Local);
    assert_eq!(session.loss().await, LinkLoss::Closed);
}
