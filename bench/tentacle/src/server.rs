//! The server's end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use frame::CHUNK;
use tentacle::{
    async_trait,
    context::{ProtocolContext, ProtocolContextMutRef},
    traits::ServiceProtocol,
};

use crate::node::{self, COUNTS, DATA, ECHO, SEND, Sender};

/// Counts, answers, and sends when it is asked to.
#[derive(Default)]
struct Server {
    messages: u64,
    bytes: u64,
    sent: Arc<AtomicU64>,
    sending: Arc<AtomicU64>,
}

pub(crate) async fn serve(announce: impl FnOnce(&str) + Send) -> Result<()> {
    let mut service = node::service(Server::default(), ());
    let address = service.listen("/ip4/127.0.0.1/tcp/0".parse()?).await?;
    announce(&address.to_string());
    service.run().await;
    Ok(())
}

#[async_trait]
impl ServiceProtocol for Server {
    async fn init(&mut self, _: &mut ProtocolContext) {}

    async fn received(&mut self, context: ProtocolContextMutRef<'_>, data: Bytes) {
        match data.first() {
            Some(&DATA) => {
                self.messages += 1;
                self.bytes += data.len() as u64 - 1;
            }
            Some(&ECHO) => {
                // Who asked may be gone.
                let _ = context.send_message(data).await;
            }
            Some(&COUNTS) => {
                // In this order: what is told of the end belongs to it.
                let sending = self.sending.load(Ordering::SeqCst);
                let sent = self.sent.load(Ordering::SeqCst);
                let counts = node::message(COUNTS, &[self.messages, self.bytes, sent, sending]);
                let _ = context.send_message(counts).await;
            }
            Some(&SEND) => {
                let Ok([micros]) = node::numbers(&data[1..]) else { return };
                let session = context.session.clone();
                let sender = Sender { control: context.control().clone(), session };
                let (sent, sending) = (Arc::clone(&self.sent), Arc::clone(&self.sending));
                sending.store(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let duration = Duration::from_micros(micros);
                    let count = sender.send_many(DATA, CHUNK, duration).await.unwrap_or(0);
                    sent.fetch_add(count * CHUNK as u64, Ordering::SeqCst);
                    sending.store(0, Ordering::SeqCst);
                });
            }
            _ => {}
        }
    }
}
