//! The client's end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use frame::{CHUNK, Case, Client, Echo, LETTER, Message, NoStream, Sent};
use tentacle::{
    async_trait,
    context::{ProtocolContext, ProtocolContextMutRef},
    service::TargetProtocol,
    traits::ServiceProtocol,
};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    time::sleep,
};

use crate::node::{self, COUNTS, DATA, ECHO, MAX_PENDING, SEND, Sender, WINDOW};

/// A connected client.
pub(crate) struct Tentacle {
    sender: Sender,
    shared: Arc<Shared>,
    counts: AsyncMutex<mpsc::Receiver<[u64; 4]>>,
    next: AtomicU64,
}

/// Round trips by messages of the protocol.
pub(crate) struct RoundTrips {
    sender: Sender,
    shared: Arc<Shared>,
}

/// What arrives, and who waits for it.
#[derive(Default)]
struct Shared {
    received: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
}

struct Handler {
    shared: Arc<Shared>,
    counts: mpsc::Sender<[u64; 4]>,
    connected: Option<oneshot::Sender<Sender>>,
}

#[async_trait]
impl ServiceProtocol for Handler {
    async fn init(&mut self, _: &mut ProtocolContext) {}

    async fn connected(&mut self, context: ProtocolContextMutRef<'_>, _: &str) {
        let session = context.session.clone();
        if let Some(connected) = self.connected.take() {
            // Who connects waits for this.
            let _ = connected.send(Sender { control: context.control().clone(), session });
        }
    }

    async fn received(&mut self, _: ProtocolContextMutRef<'_>, data: Bytes) {
        match data.first() {
            Some(&DATA) => {
                self.shared.received.fetch_add(data.len() as u64 - 1, Ordering::SeqCst);
            }
            Some(&ECHO) if data.len() > HEAD => {
                let Ok([id]) = node::numbers(&data[1..HEAD]) else { return };
                let waiting = self.shared.waiting.lock().expect("no thread panics with it");
                let sender = { waiting }.remove(&id);
                // Who asked may be gone.
                let _ = sender.map(|sender| sender.send(data.slice(HEAD..)));
            }
            Some(&COUNTS) => {
                let Ok(counts) = node::numbers(&data[1..]) else { return };
                let _ = self.counts.try_send(counts);
            }
            _ => {}
        }
    }
}

impl Tentacle {
    pub(crate) async fn connect(contact: &str) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (counts_sender, counts) = mpsc::channel(16);
        let (connected_sender, connected) = oneshot::channel();
        let handler = Handler {
            shared: Arc::clone(&shared),
            counts: counts_sender,
            connected: Some(connected_sender),
        };
        let mut service = node::service(handler, ());
        service.dial(contact.parse()?, TargetProtocol::All).await?;
        tokio::spawn(async move { service.run().await });
        let sender = connected.await.context("no session came")?;
        let (counts, next) = (AsyncMutex::new(counts), AtomicU64::new(1));
        Ok(Self { sender, shared, counts, next })
    }

    /// Messages and bytes the server has counted, what it sent, and whether it still sends.
    async fn counts(&self) -> Result<[u64; 4]> {
        let mut counts = self.counts.lock().await;
        self.sender.send(Bytes::from_static(&[COUNTS])).await?;
        counts.recv().await.context("the session ended")
    }

    /// Has the server send for that long; tells what came from it and what it sent before.
    async fn begin_down(&self, duration: Duration) -> Result<[u64; 2]> {
        let received = self.shared.received.load(Ordering::SeqCst);
        let [_, _, sent, _] = self.counts().await?;
        let micros = u64::try_from(duration.as_micros())?;
        self.sender.send(node::message(SEND, &[micros])).await?;
        Ok([received, sent])
    }

    /// Waits until all has come that the server sends since then, and tells how much.
    async fn end_down(&self, [received, sent]: [u64; 2]) -> Result<u64> {
        let down = loop {
            let [_, _, now, sending] = self.counts().await?;
            if sending == 0 {
                break now - sent;
            }
        };
        ensure!(down > 0, "the server could not send");
        while self.shared.received.load(Ordering::SeqCst) - received < down {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(down)
    }

    /// Sends for that long and waits until the server has counted all of it; tells how many.
    async fn put(&self, size: usize, duration: Duration) -> Result<u64> {
        let [before, ..] = self.counts().await?;
        let sent = self.sender.send_many(DATA, size, duration).await?;
        while self.counts().await?[0] - before < sent {}
        Ok(sent)
    }
}

impl Client for Tentacle {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::InFlight,
        Case::Messages,
    ];

    type Put = NoStream;
    type Take = NoStream;
    type Echo = RoundTrips;

    async fn bulk(&self, _: Case, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let sent = self.put(CHUNK, duration).await?;
        Ok(Sent { count: sent * CHUNK as u64, took: begin.elapsed() })
    }

    async fn bulk_down(&self, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let before = self.begin_down(duration).await?;
        // Until then there is nothing to ask.
        sleep(duration).await;
        let count = self.end_down(before).await?;
        Ok(Sent { count, took: begin.elapsed() })
    }

    async fn bulk_both(&self, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let before = self.begin_down(duration).await?;
        let sent = self.put(CHUNK, duration).await?;
        let down = self.end_down(before).await?;
        Ok(Sent { count: sent * CHUNK as u64 + down, took: begin.elapsed() })
    }

    async fn open(&self, _: Case) -> Result<RoundTrips> {
        Ok(RoundTrips { sender: self.sender.clone(), shared: Arc::clone(&self.shared) })
    }

    async fn request(&self, _: Message) -> Result<Message> {
        bail!("tentacle opens no stream for a message")
    }

    async fn request_among(&self, message: Message) -> Result<Message> {
        ask(&self.sender, &self.shared, self.next.fetch_add(1, Ordering::Relaxed), message).await
    }

    async fn messages(&self, duration: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let sent = self.put(LETTER, duration).await?;
        Ok(Sent { count: sent, took: begin.elapsed() })
    }

    fn facts(&self) -> Vec<String> {
        configuration()
    }
}

fn configuration() -> Vec<String> {
    let version = |name| frame::version(include_str!("../Cargo.lock"), name);
    let [tentacle, yamux, secio] = ["tentacle", "tokio-yamux", "tentacle-secio"].map(version);
    vec![
        format!("tentacle {tentacle}, secio {secio}, yamux {yamux}, over TCP with TCP_NODELAY"),
        "the cipher is not to be chosen: AES-128-GCM".to_owned(),
        format!(
            "windows of {} MiB; one stream: messages of {} KiB of one protocol; at most {} MiB \
             wait to be sent, since a session whose buffer is full is killed",
            WINDOW >> 20,
            CHUNK >> 10,
            MAX_PENDING >> 20
        ),
        "in flight, for want of streams to open: messages with numbers, sent back by the other end"
            .to_owned(),
    ]
}

impl Echo for RoundTrips {
    async fn exchange(&mut self, message: Message) -> Result<Message> {
        ask(&self.sender, &self.shared, 0, message).await
    }
}

async fn ask(sender: &Sender, shared: &Shared, id: u64, message: Message) -> Result<Message> {
    let (answer_sender, answer) = oneshot::channel();
    let waiting = shared.waiting.lock().expect("no thread panics with it");
    { waiting }.insert(id, answer_sender);
    let mut bytes = BytesMut::from(&node::message(ECHO, &[id])[..]);
    bytes.extend_from_slice(&message);
    sender.send(bytes.freeze()).await?;
    Ok(answer.await.context("the session ended")?[..].try_into()?)
}

/// A tag and a number.
const HEAD: usize = 9;
