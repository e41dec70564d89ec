//! What the flooded node does: answers each request by its body, and counts what comes on streams.

use std::{
    fs::File,
    panic,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use netcom::{Connection, Limits, Node, Role, Scope};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tracing_subscriber::EnvFilter;

use crate::{
    group,
    process::{self, VICTIMS},
};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// What becomes of streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Appetite {
    /// They are read to their ends.
    Reads,
    /// They are taken, told so by one byte, and never read.
    Holds,
}

/// Is the victim until the test says stop, if this process was started as one.
pub(crate) fn was_served(limits: &Limits, appetite: Appetite) -> bool {
    let Some((address, log)) = process::role() else { return false };
    group::enter();
    let is_pinned = process::pin(VICTIMS);
    let is_long = process::number("NETCOM_SECONDS").is_some();
    assert!(is_pinned || !is_long, "each side has a processor of its own");
    count_panics();
    // What `netcom -v` logs; without -v it logs nothing.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_ansi(false)
        .with_writer(Mutex::new(File::create(log).unwrap()))
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(serve(&address, limits, appetite));
    true
}

async fn serve(address: &str, limits: &Limits, appetite: Appetite) {
    let mut builder = Node::builder().role(Role::Server).discovery(Scope::Off);
    for listen in ["udp/0/quic-v1", "tcp/0"] {
        builder = builder.listen(format!("/ip4/{address}/{listen}").parse().unwrap());
    }
    let node = builder.limits(limits.clone()).build().await.unwrap();
    node.on_request(|request| async move { Ok(request.into_body()) });
    println!("TICKET {}", node.ticket());
    let received = Arc::new(AtomicU64::new(0));
    let (mut incoming, mut questions) = (node.incoming(), BufReader::new(stdin()).lines());
    loop {
        tokio::select! {
            Some(connection) = incoming.next() => {
                tokio::spawn(take(connection, appetite, Arc::clone(&received)));
            }
            question = questions.next_line() => match question.unwrap().as_deref() {
                Some("RECEIVED") => println!("RECEIVED {}", received.load(Ordering::Relaxed)),
                Some("ALLOCATED") => println!("ALLOCATED {}", crate::ALLOCATOR.current_usage()),
                Some("SESSIONS") => println!("SESSIONS {}", node.commander().sessions().len()),
                Some("HALF_OPEN") => {
                    println!("HALF_OPEN {}", node.commander().counters().listeners.half_open);
                }
                Some("STOP") => {
                    node.close().await;
                    println!("STOP {}", PANICS.load(Ordering::Relaxed));
                    return;
                }
                // The test is gone.
                _ => return,
            },
        }
    }
}

/// Takes all streams of a connection, and counts the bytes it reads.
async fn take(connection: Connection, appetite: Appetite, received: Arc<AtomicU64>) {
    let mut streams = connection.incoming_streams();
    while let Some(stream) = streams.next().await {
        let Some(mut stream) = stream.into_bytes() else { continue };
        let received = Arc::clone(&received);
        tokio::spawn(async move {
            if let Appetite::Holds = appetite {
                let (mut sender, _receiver) = stream.into_split();
                if sender.write_bytes("1").await.is_ok() {
                    sender.stopped().await;
                }
                return;
            }
            while let Ok(Some(chunk)) = stream.read_chunk(64 << 10).await {
                received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        });
    }
}

fn count_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(panic);
    }));
}
