use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Semaphore;

use super::harness::{MEMORY, Party, TCP, pair};
use crate::service::Service;

#[tokio::test]
async fn ten_thousand_streams_one_after_the_other_and_many_at_once() {
    let (a, b) = pair(TCP).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    let connection = a.connect(&b).await;
    let requests = stream::iter(0..10_000u32).map(|n| {
        let connection = connection.clone();
        async move {
            let body = Bytes::copy_from_slice(&n.to_be_bytes());
            assert_eq!(connection.request(body.clone()).await.unwrap(), body);
        }
    });
    requests.buffer_unordered(1000).collect::<()>().await;
    assert_eq!(connection.stats().streams_opened, 10_000);
    for party in [&a, &b] {
        let session = party.sessions.all()[0].clone();
        session.quiet().await;
        let stats = session.stats();
        assert_eq!((stats.streams, stats.retained_bytes, stats.granted_bytes), (0, 0, 0));
        assert!(session.streams().is_empty());
    }
}

/// A node whose handler answers only once it is let, and that counts the streams it has.
struct Holder {
    node: Party,
    open: Arc<Semaphore>,
    release: Arc<Semaphore>,
}

impl Holder {
    async fn new(address: &str) -> Self {
        let node = Party::new(0, address).await;
        let (open, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (opened, wait) = (Arc::clone(&open), Arc::clone(&release));
        let service = Service::streams("hold", ["1"], move |mut stream: crate::XStream, _| {
            let (opened, wait) = (Arc::clone(&opened), Arc::clone(&wait));
            async move {
                let first = stream.read_chunk(100).await?.unwrap_or_default();
                opened.add_permits(1);
                wait.acquire().await?.forget();
                stream.write_bytes(first).await?;
                stream.finish().await?;
                Ok(())
            }
        });
        node.services.serve(service.unwrap()).unwrap();
        Self { node, open, release }
    }

    /// Opens streams from each of so many peers, and has all of them open at once.
    async fn hold(&self, peers: u64, address: &str, streams_each: u32) {
        let mut parties = Vec::new();
        let mut streams = Vec::new();
        for seed in 1..=peers {
            let peer = Party::new(seed, address).await;
            let connection = peer.connect(&self.node).await;
            parties.push((peer, connection));
        }
        for n in 0..streams_each {
            for (_, connection) in &parties {
                let mut stream = connection.open("hold/1").await.unwrap();
                stream.write_bytes(n.to_be_bytes().to_vec()).await.unwrap();
                streams.push((n, stream));
            }
        }
        let count = streams.len();
        self.open.acquire_many(u32::try_from(count).unwrap()).await.unwrap().forget();
        let sessions = self.node.sessions.all();
        assert_eq!(sessions.len() as u64, peers);
        assert_eq!(sessions.iter().map(|session| session.stats().streams).sum::<usize>(), count);
        self.release.add_permits(count);
        for (n, mut stream) in streams {
            assert_eq!(stream.read_chunk(100).await.unwrap().unwrap(), n.to_be_bytes()[..]);
            assert_eq!(stream.read_chunk(100).await.unwrap(), None);
        }
        for session in sessions {
            session.quiet().await;
            assert_eq!(session.stats().granted_bytes, 0);
        }
    }
}

#[tokio::test]
async fn five_peers_have_two_thousand_streams_each_open_at_once() {
    Holder::new(TCP).await.hold(5, TCP, 2000).await;
}

#[tokio::test]
async fn a_thousand_peers_have_ten_streams_each_open_at_once() {
    Holder::new(MEMORY).await.hold(1000, MEMORY, 10).await;
}
