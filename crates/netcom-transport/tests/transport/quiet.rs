//! What strangers do leaves no line in an operator's log.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use netcom_session::LinkLoss;
use netcom_transport::HelloError;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::support::{LISTEN, Node, PATIENCE, socket};

/// Counts what is said above DEBUG.
struct Loud(Arc<AtomicUsize>);

impl Subscriber for Loud {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() < Level::DEBUG && metadata.target().starts_with("netcom")
    }

    fn event(&self, _event: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

#[tokio::test]
async fn neither_strangers_nor_losers_of_a_race_are_logged_above_debug() {
    let loud = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(Loud(Arc::clone(&loud)));
    for listen in LISTEN {
        let mut listener = Node::new(2);
        let address = listener.listen(listen).await;
        assert_eq!(loud.swap(0, Ordering::Relaxed), 1, "the listener itself is told");
        if listen.contains("tcp") {
            for request in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 1, 0], &[0xff; 9]] {
                let mut stranger = TcpStream::connect(socket(&address)).await.unwrap();
                stranger.write_all(request).await.unwrap();
                stranger.shutdown().await.unwrap();
                // Refused by an alert, by silence or by a reset.
                let _ = stranger.read_to_end(&mut Vec::new()).await;
            }
        }
        let dialer = Node::new(1);
        let loser = dialer.dial(&listener.peer, &address).await;
        let mut accepted = listener.accept().await;
        let closing = tokio::spawn(loser.close());
        let ended = accepted.recv_hello(PATIENCE).await.unwrap_err();
        assert_eq!(ended, HelloError::Ended(LinkLoss::Closed));
        drop(accepted);
        closing.await.unwrap();
        assert_eq!(loud.load(Ordering::Relaxed), 0, "{listen}");
    }
}
