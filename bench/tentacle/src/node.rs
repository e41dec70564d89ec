//! What both ends have in common: one protocol of tagged messages, and a limit of what waits to
//! be sent.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use frame::streams;
use tentacle::{
    ProtocolId,
    builder::{MetaBuilder, ServiceBuilder},
    context::SessionContext,
    secio::SecioKeyPair,
    service::{ProtocolHandle, ProtocolMeta, Service, ServiceAsyncControl},
    traits::{ServiceHandle, ServiceProtocol},
    yamux,
};
use tokio::time::sleep;

/// Sends messages of the protocol in one session.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) control: ServiceAsyncControl,
    pub(crate) session: SessionContext,
}

impl Sender {
    /// Sends once little enough waits: a session that has more than its buffer is killed.
    pub(crate) async fn send(&self, message: Bytes) -> Result<()> {
        while self.session.pending_data_size() > MAX_PENDING {
            sleep(Duration::from_millis(1)).await;
        }
        self.control.send_message_to(self.session.id, protocol(), message).await?;
        Ok(())
    }

    /// Sends messages with so many bytes each beside their tag for that long, and tells how many.
    pub(crate) async fn send_many(&self, tag: u8, size: usize, duration: Duration) -> Result<u64> {
        let mut message = streams::chunk(1 + size);
        message[0] = tag;
        let message = Bytes::from(message);
        let begin = Instant::now();
        let mut sent = 0;
        while begin.elapsed() < duration {
            self.send(message.clone()).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

pub(crate) fn protocol() -> ProtocolId {
    1.into()
}

/// A service with the protocol.
pub(crate) fn service<P, H>(handler: P, events: H) -> Service<H, SecioKeyPair>
where
    P: ServiceProtocol + Send + Sync + Unpin + 'static,
    H: ServiceHandle + Unpin + Send + 'static,
{
    let config = yamux::Config { max_stream_window_size: WINDOW, ..yamux::Config::default() };
    ServiceBuilder::default()
        .insert_protocol(meta(handler))
        .handshake_type(SecioKeyPair::secp256k1_generated().into())
        .max_frame_length(WINDOW as usize)
        .yamux_config(config)
        .set_send_buffer_size(BUFFER)
        .set_recv_buffer_size(BUFFER)
        .tcp_config(|socket, _| {
            socket_nodelay(&socket)?;
            Ok(socket)
        })
        .forever(true)
        .build(events)
}

pub(crate) fn numbers<const N: usize>(bytes: &[u8]) -> Result<[u64; N]> {
    let numbers: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|eight| u64::from_be_bytes(eight.try_into().expect("eight at a time")))
        .collect();
    numbers.try_into().map_err(|_| anyhow!("a message is of another length"))
}

pub(crate) fn message(tag: u8, numbers: &[u64]) -> Bytes {
    let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
    std::iter::once(tag).chain(numbers).collect()
}

fn meta<P: ServiceProtocol + Send + Sync + Unpin + 'static>(handler: P) -> ProtocolMeta {
    MetaBuilder::new()
        .id(protocol())
        .service_handle(move || ProtocolHandle::Callback(Box::new(handler)))
        .build()
}

/// Also for what a listening socket accepts.
fn socket_nodelay(socket: &tentacle::service::TcpSocket) -> std::io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_nodelay(true)
}

/// Counted by the other end.
pub(crate) const DATA: u8 = b'd';
/// Sent back as it is.
pub(crate) const ECHO: u8 = b'e';
/// Asks for what was counted, or tells it.
pub(crate) const COUNTS: u8 = b'c';
/// Asks for data for so many microseconds.
pub(crate) const SEND: u8 = b's';
/// As much as ours for a session: one stream carries all of the protocol.
pub(crate) const WINDOW: u32 = 64 << 20;
/// tentacle lets a stream hold back as many messages as windows fit in here, and one.
const BUFFER: usize = 6 * WINDOW as usize;
/// Less than the buffer, and enough to keep the stream busy.
pub(crate) const MAX_PENDING: usize = 16 << 20;
