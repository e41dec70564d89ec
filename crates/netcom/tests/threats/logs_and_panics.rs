//! T-41 and T-42: what an attack writes to the log, and what a panic takes with it.

use std::{
    io::Write,
    net::{TcpStream, UdpSocket},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use netcom::{Code, Limits, Node, SecretKey, SessionState, Target};
use netcom_session::wire::kind;
use tokio::sync::Notify;

use crate::support::{Attacker, MIB, TCP, Victim, measured, quiet_node, within};

/// A key that would be recognised anywhere.
fn known_key() -> SecretKey {
    SecretKey::from_bytes(&std::array::from_fn(|at| 0xa0 ^ (at as u8).wrapping_mul(37)))
}

#[test]
fn t_41_a_million_bad_packets_write_less_than_a_mebibyte_of_log() {
    let victim = Victim::with(t_41_a_million_bad_packets_write_less_than_a_mebibyte_of_log, |it| {
        it.identity(known_key())
    });
    let Some(mut victim) = victim else { return };
    victim.is_well();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut packet, mut sent, dropped) = ([0; 64], 0, victim.dropped());
    for number in 0..1_000_000_u32 {
        packet[..4].copy_from_slice(&number.to_be_bytes());
        // Every form of header there is.
        packet[0] = number as u8;
        sent += u64::from(socket.send_to(&packet, victim.quic).is_ok());
        // What the victim never reads says nothing of its log: let it have its turns.
        if number % 64 == 63 {
            std::thread::yield_now();
        }
    }
    let taken = sent - (victim.dropped() - dropped);
    assert!(taken >= 100_000, "{taken} of {sent} packets came to the victim");
    for number in 0..2000_u32 {
        let mut stranger = TcpStream::connect(victim.tcp).unwrap();
        let words: [&[u8]; 4] =
            [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0\0\0\x01", b""];
        drop(stranger.write_all(words[number as usize % 4]));
    }
    for number in 0..200_u8 {
        let mut peer = Attacker::new().join(victim.peer, victim.tcp);
        let bytes: &[u8] = if number % 2 == 0 { &[kind::PING, 0] } else { &[0x7f, 0] };
        drop(peer.try_send_bytes(bytes));
        peer.told();
    }
    victim.is_well();
    let log = victim.log();
    measured(format_args!("T-41 {} B of log at level info, {taken} packets taken", log.len()));
    assert!(log.contains("Listening"), "something is logged: {log}");
    assert!((log.len() as u64) < MIB, "{} bytes", log.len());
    let secret = known_key().export_secret();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = format!("{:?}", secret.as_ref() as &[u8]);
    let base64 = data_encoding::BASE64_NOPAD.encode(secret.as_ref());
    for form in [hex.to_uppercase(), hex, shown, base64] {
        assert!(!log.contains(&form), "the node's key is in the log");
    }
}

#[tokio::test]
async fn t_42_a_handler_that_panics_fails_its_own_request_alone() {
    let server = quiet_node(&[TCP]).build().await.unwrap();
    server.on_request(|request| async move {
        let body = request.into_body();
        assert!(body != "panic", "a handler that panics on purpose");
        Ok(body)
    });
    let [first, second] = [client(&server).await, client(&server).await];
    let mut requests = Vec::new();
    for number in 0..200 {
        let connection = if number % 2 == 0 { first.1.clone() } else { second.1.clone() };
        let body = if number == 100 { "panic" } else { "calm" };
        requests.push(tokio::spawn(async move { (body, connection.request(body).await) }));
    }
    for request in requests {
        let (body, answer) = within(request).await.unwrap();
        assert_eq!(answer.is_ok(), body == "calm", "{body}: {answer:?}");
    }
    assert_eq!(server.commander().counters().panics, 1);
    assert_eq!(server.commander().sessions().len(), 2);
    assert_eq!(within(first.1.request("calm")).await.unwrap(), "calm", "on the same session");
}

/// Somebody to wake who panics.
#[derive(Default)]
struct Startled(Notify);

impl Wake for Startled {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
        panic!("a waker that panics on purpose");
    }
}

/// The deadlines of all sessions are kept by one task, which must survive what one of them does.
#[tokio::test]
async fn t_42_a_panic_at_one_sessions_deadline_leaves_the_deadlines_of_others() {
    let mut limits = Limits::default();
    // Long enough to be seen on a busy machine.
    limits.session.resume_window = Duration::from_secs(2);
    let node = quiet_node(&[]).limits(limits).build().await.unwrap();
    let [first, second] = [Mortal::start().await, Mortal::start().await];
    let to_first = within(node.connect(first.target())).await.unwrap();
    let to_second = within(node.connect(second.target())).await.unwrap();
    // A session waits for a link once the other end took it for one, which is a round trip later.
    for connection in [&to_first, &to_second] {
        assert!(within(connection.ping()).await.is_some());
    }
    assert_eq!(node.commander().counters().panics, 0);

    first.kill();
    let detached = async {
        let is_detached = || {
            let sessions = node.commander().sessions();
            sessions.iter().any(|session| session.state == SessionState::Detached)
        };
        while !is_detached() {
            tokio::task::yield_now().await;
        }
    };
    within(detached).await;
    let startled = Arc::new(Startled::default());
    let waker = Waker::from(Arc::clone(&startled));
    let mut closed = Box::pin(to_first.closed());
    let poll = closed.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(poll, Poll::Pending));
    // The session expires, and the panic comes where its deadline is kept.
    within(startled.0.notified()).await;
    let counted = async {
        while node.commander().counters().panics == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(counted).await;
    second.kill();
    assert_eq!(within(to_second.closed()).await.code, Code::RESUME_EXPIRED);
    drop(closed);
    assert_eq!(within(to_first.closed()).await.code, Code::RESUME_EXPIRED);
}

async fn client(server: &Node) -> (Node, netcom::Connection) {
    let node = quiet_node(&[]).build().await.unwrap();
    let connection = within(node.connect(server.ticket())).await.unwrap();
    (node, connection)
}

/// A node that ends as a killed process does.
struct Mortal {
    node: Node,
    runtime: tokio::runtime::Runtime,
}

impl Mortal {
    async fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let node = runtime.spawn(quiet_node(&[TCP]).build()).await.unwrap().unwrap();
        Self { node, runtime }
    }

    fn target(&self) -> Target {
        self.node.ticket().into()
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}
