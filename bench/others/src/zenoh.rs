//! zenoh: one session each, between two of its peers without scouting; keys instead of streams.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::zenoh::{
    Config, Session, Wait as _,
    bytes::ZBytes,
    pubsub::Publisher,
    qos::CongestionControl,
    query::{ConsolidationMode, Querier, Query, QueryTarget},
};
use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use data_encoding::BASE64;
use frame::{Case, Client, Echo, LETTER, Message, NoStream, Sent, streams};
use rcgen::PKCS_ED25519;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, mpsc},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{pem, version};

/// A connected client.
pub(crate) struct Zenoh {
    session: Session,
    /// For one request after the other, and for many at once.
    single: Querier<'static>,
    many: Querier<'static>,
    /// Bytes that came from the server.
    received: Arc<AtomicU64>,
    /// How many it sent, each time that it has sent all.
    done: Mutex<mpsc::Receiver<u64>>,
    has_tls: bool,
}

/// Round trips by a key each way.
pub(crate) struct RoundTrips {
    ping: Publisher<'static>,
    pong: mpsc::Receiver<Vec<u8>>,
}

/// What the server says of itself.
#[derive(Deserialize, Serialize)]
struct Contact {
    locator: String,
    certificate: Option<String>,
}

/// What came to the server.
#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    messages: AtomicU64,
}

fn configuration(has_tls: bool) -> Vec<String> {
    vec![
        format!("zenoh {}, peers, no scouting, its own runtimes and queues", version("zenoh")),
        match has_tls {
            true => "TLS 1.3 by rustls and aws-lc-rs, AES-256-GCM first, server \
                               authentication"
                .to_owned(),
            false => "plain TCP, no encryption".to_owned(),
        },
        format!(
            "one stream: put of {} KiB by a declared publisher, reliable, blocking when congested, \
             from a thread of its own, and a subscriber's callback that counts",
            PAYLOAD >> 10
        ),
        "round trip: put, express, each way; requests: a declared querier and a queryable's \
         callback, without consolidation, express, in flight not"
            .to_owned(),
        "messages: put of 1 KiB, reliable, blocking, not express".to_owned(),
    ]
}

pub(crate) async fn serve(has_tls: bool, announce: impl FnOnce(&str)) -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (locator, certificate, config) = match has_tls {
        true => {
            let (certificate, key) = pem::generate(&PKCS_ED25519)?;
            let certificate = BASE64.encode(certificate.as_bytes());
            let mut config = config()?;
            set(&mut config, "transport/link/tls/listen_certificate_base64", &certificate)?;
            let key = BASE64.encode(key.as_bytes());
            set(&mut config, "transport/link/tls/listen_private_key_base64", &key)?;
            (format!("tls/{}:{port}", pem::NAME), Some(certificate), config)
        }
        false => (format!("tcp/127.0.0.1:{port}"), None, config()?),
    };
    let session = open(config, "listen", &locator).await?;
    let counts = Arc::new(Counts::default());
    subscribe(&session, &counts).await?;
    answer(&session, counts).await?;
    announce(&serde_json::to_string(&Contact { locator, certificate })?);
    std::future::pending().await
}

async fn subscribe(session: &Session, counts: &Arc<Counts>) -> Result<()> {
    let seen = Arc::clone(counts);
    let count = move |sample: ::zenoh::sample::Sample| {
        seen.bytes.fetch_add(sample.payload().len() as u64, Ordering::Relaxed);
        seen.messages.fetch_add(1, Ordering::Relaxed);
    };
    session.declare_subscriber(UP).callback(count).background().await.map_err(failed)?;
    let pong = publisher(session, PONG, true).await?;
    let echo = move |sample: ::zenoh::sample::Sample| {
        // Who asked may be gone.
        let _ = pong.put(sample.payload().clone()).wait();
    };
    session.declare_subscriber(PING).callback(echo).background().await.map_err(failed)
}

async fn answer(session: &Session, counts: Arc<Counts>) -> Result<()> {
    for (key, express) in [(SINGLE, true), (MANY, false)] {
        let echo = move |query: Query| {
            let payload = query.payload().cloned().unwrap_or_default();
            // Who asked may be gone.
            let _ = query.reply(query.key_expr(), payload).express(express).wait();
        };
        session.declare_queryable(key).callback(echo).background().await.map_err(failed)?;
    }
    let down = Arc::new(publisher(session, DOWN, false).await?);
    let done = Arc::new(publisher(session, DONE, true).await?);
    let control = move |query: Query| {
        let asked = query.payload().map(|payload| payload.to_bytes().to_vec()).unwrap_or_default();
        if let Ok(micros) = asked.as_slice().try_into().map(u64::from_be_bytes) {
            let (down, done) = (Arc::clone(&down), Arc::clone(&done));
            std::thread::spawn(move || {
                let sent = send(&down, PAYLOAD, Duration::from_micros(micros)).unwrap_or(0);
                let bytes = sent * PAYLOAD as u64;
                // Who asked may be gone.
                let _ = done.put(bytes.to_be_bytes().to_vec()).wait();
            });
        }
        let now = [&counts.bytes, &counts.messages];
        let now: Vec<u8> =
            now.iter().flat_map(|count| count.load(Ordering::SeqCst).to_be_bytes()).collect();
        let _ = query.reply(query.key_expr(), now).express(true).wait();
    };
    session.declare_queryable(CONTROL).callback(control).background().await.map_err(failed)
}

impl Zenoh {
    pub(crate) async fn connect(contact: &str) -> Result<Self> {
        let contact: Contact = serde_json::from_str(contact)?;
        let mut config = config()?;
        if let Some(certificate) = &contact.certificate {
            set(&mut config, "transport/link/tls/root_ca_certificate_base64", certificate)?;
        }
        let session = open(config, "connect", &contact.locator).await?;
        let received = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&received);
        let count = move |sample: ::zenoh::sample::Sample| {
            seen.fetch_add(sample.payload().len() as u64, Ordering::Relaxed);
        };
        session.declare_subscriber(DOWN).callback(count).background().await.map_err(failed)?;
        let (sender, done) = mpsc::channel(16);
        let end = move |sample: ::zenoh::sample::Sample| {
            if let Ok(bytes) = <[u8; 8]>::try_from(&sample.payload().to_bytes()[..]) {
                // Each is waited for before the server is asked for more.
                let _ = sender.try_send(u64::from_be_bytes(bytes));
            }
        };
        session.declare_subscriber(DONE).callback(end).background().await.map_err(failed)?;
        let done = Mutex::new(done);
        let single = querier(&session, SINGLE, true).await?;
        let many = querier(&session, MANY, false).await?;
        let has_tls = contact.certificate.is_some();
        let client = Self { session, single, many, received, done, has_tls };
        // What the server declares has to arrive first.
        let begin = Instant::now();
        while client.counts(&[]).await.is_err() {
            ensure!(begin.elapsed() < PATIENCE, "the server declares nothing");
            sleep(INTERVAL).await;
        }
        Ok(client)
    }

    /// Bytes and messages the server has counted. With a payload it also sends for so many
    /// microseconds.
    async fn counts(&self, payload: &[u8]) -> Result<[u64; 2]> {
        let replies = self.session.get(CONTROL).payload(payload).target(QueryTarget::BestMatching);
        let replies = replies.express(true).await.map_err(failed)?;
        let reply = timeout(PATIENCE, replies.recv_async()).await?.map_err(failed)?;
        let sample = reply.into_result().map_err(|error| anyhow!("{error:?}"))?;
        let bytes = sample.payload().to_bytes();
        let counts: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|eight| u64::from_be_bytes(eight.try_into().expect("eight at a time")))
            .collect();
        counts.try_into().ok().context("the server's counts cannot be read")
    }

    /// Sends for that long and waits until the server has counted all of it; tells how many.
    async fn put(&self, size: usize, duration: Duration) -> Result<u64> {
        let before = self.counts(&[]).await?[1];
        let publisher = publisher(&self.session, UP, false).await?;
        let sent = spawn_blocking(move || send(&publisher, size, duration)).await??;
        while self.counts(&[]).await?[1] - before < sent {}
        Ok(sent)
    }

    /// Has the server send for that long; tells the bytes that came from it before.
    async fn begin_down(&self, duration: Duration) -> Result<u64> {
        let before = self.received.load(Ordering::SeqCst);
        let micros = u64::try_from(duration.as_micros())?;
        self.counts(&micros.to_be_bytes()).await?;
        Ok(before)
    }

    /// Waits until all has come that the server sends since then, and tells how much. Asks for
    /// nothing meanwhile: over TLS a session of which both ends are busy may break.
    async fn end_down(&self, before: u64, duration: Duration) -> Result<u64> {
        let mut done = self.done.lock().await;
        let ended = timeout(duration + PATIENCE, done.recv()).await;
        let sent = ended.context("the server does not end")?.context("the session ended")?;
        ensure!(sent > 0, "the server could not send");
        let begin = Instant::now();
        while self.received.load(Ordering::SeqCst) - before < sent {
            ensure!(begin.elapsed() < PATIENCE, "the server's bytes do not arrive");
            tokio::task::yield_now().await;
        }
        Ok(sent)
    }

    async fn ask(querier: &Querier<'static>, message: Message) -> Result<Message> {
        let replies = querier.get().payload(message.to_vec()).await.map_err(failed)?;
        let reply = replies.recv_async().await.map_err(failed)?;
        let sample = reply.into_result().map_err(|error| anyhow!("{error:?}"))?;
        Ok(sample.payload().to_bytes()[..].try_into()?)
    }
}

impl Client for Zenoh {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::Request,
        Case::InFlight,
        Case::Messages,
    ];

    type Put = NoStream;
    type Take = NoStream;
    type Echo = RoundTrips;

    async fn bulk(&self, _: Case, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let sent = self.put(PAYLOAD, duration).await?;
        Ok(Sent { count: sent * PAYLOAD as u64, took: begin.elapsed() })
    }

    async fn bulk_down(&self, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let before = self.begin_down(duration).await?;
        let count = self.end_down(before, duration).await?;
        Ok(Sent { count, took: begin.elapsed() })
    }

    async fn bulk_both(&self, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let before = self.begin_down(duration).await?;
        let sent = self.put(PAYLOAD, duration).await?;
        let down = self.end_down(before, duration).await?;
        Ok(Sent { count: sent * PAYLOAD as u64 + down, took: begin.elapsed() })
    }

    async fn open(&self, _: Case) -> Result<RoundTrips> {
        let (sender, pong) = mpsc::channel(16);
        let take = move |sample: ::zenoh::sample::Sample| {
            // One message is on its way at a time.
            let _ = sender.try_send(sample.payload().to_bytes().to_vec());
        };
        self.session.declare_subscriber(PONG).callback(take).background().await.map_err(failed)?;
        let ping = publisher(&self.session, PING, true).await?;
        // What is sent before the server knows the subscriber is lost.
        sleep(SETTLE).await;
        Ok(RoundTrips { ping, pong })
    }

    async fn request(&self, message: Message) -> Result<Message> {
        Self::ask(&self.single, message).await
    }

    async fn request_among(&self, message: Message) -> Result<Message> {
        Self::ask(&self.many, message).await
    }

    async fn messages(&self, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let sent = self.put(LETTER, duration).await?;
        Ok(Sent { count: sent, took: begin.elapsed() })
    }

    fn facts(&self) -> Vec<String> {
        configuration(self.has_tls)
    }
}

impl Echo for RoundTrips {
    async fn exchange(&mut self, message: Message) -> Result<Message> {
        self.ping.put(message.to_vec()).await.map_err(failed)?;
        let answer = self.pong.recv().await.context("the subscriber is gone")?;
        Ok(answer[..].try_into()?)
    }
}

/// Puts for that long, and tells how many. Blocks.
fn send(publisher: &Publisher<'_>, size: usize, duration: Duration) -> Result<u64> {
    let payload = ZBytes::from(Bytes::from(streams::chunk(size)));
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < duration {
        publisher.put(payload.clone()).wait().map_err(failed)?;
        sent += 1;
    }
    Ok(sent)
}

async fn publisher(
    session: &Session,
    key: &'static str,
    express: bool,
) -> Result<Publisher<'static>> {
    let publisher = session
        .declare_publisher(key)
        .congestion_control(CongestionControl::Block)
        .express(express);
    publisher.await.map_err(failed)
}

async fn querier(session: &Session, key: &'static str, express: bool) -> Result<Querier<'static>> {
    let querier = session
        .declare_querier(key)
        .target(QueryTarget::BestMatching)
        .consolidation(ConsolidationMode::None)
        .congestion_control(CongestionControl::Block)
        .express(express);
    querier.await.map_err(failed)
}

async fn open(mut config: Config, how: &str, locator: &str) -> Result<Session> {
    let endpoints = serde_json::to_string(&[locator])?;
    config.insert_json5(&format!("{how}/endpoints"), &endpoints).map_err(failed)?;
    if how == "connect" {
        config.insert_json5("listen/endpoints", "[]").map_err(failed)?;
    }
    ::zenoh::open(config).await.map_err(failed)
}

fn config() -> Result<Config> {
    let mut config = Config::default();
    for (key, value) in [
        ("mode", "\"peer\""),
        ("scouting/multicast/enabled", "false"),
        ("scouting/gossip/enabled", "false"),
    ] {
        config.insert_json5(key, value).map_err(failed)?;
    }
    Ok(config)
}

fn set(config: &mut Config, key: &str, value: &str) -> Result<()> {
    config.insert_json5(key, &serde_json::to_string(value)?).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

const UP: &str = "bench/up";
const DOWN: &str = "bench/down";
/// Tells how much was sent on the way down, behind all of it.
const DONE: &str = "bench/done";
const PING: &str = "bench/ping";
const PONG: &str = "bench/pong";
const SINGLE: &str = "bench/single";
const MANY: &str = "bench/many";
const CONTROL: &str = "bench/control";
const PAYLOAD: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(10);
const SETTLE: Duration = Duration::from_millis(200);
