//! What the nodes of this program serve: echo, perf, files, pipes, TCP ports.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use netcom::{Access, HandlerError, Node, Request, Service, ServiceHandle, Visitor, XStream};
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::stream::split;
use crate::{
    errors,
    failure::Outcome,
    transfer::{Incoming, Progress, Receiver, Sink, Source, TransferError},
};

/// The protocol of file transfers.
pub(crate) const FILES: &str = "netcom/files/1";
/// The protocol of measurements.
pub(crate) const PERF: &str = "netcom/perf/1";
/// The protocol of pipes.
pub(crate) const PIPE: &str = "netcom/pipe/1";
/// The protocol that returns what it gets.
pub(crate) const ECHO: &str = "netcom/echo/1";
/// A measurement sends pieces of this size.
pub(crate) const PERF_PIECE: usize = 256 << 10;

/// What happens with file transfers.
pub(crate) trait Watch: Progress {
    fn done(&self, sender: &str, incoming: &Incoming);
    fn failed(&self, sender: &str, error: &TransferError);
}

/// Makes what watches one transfer.
pub(crate) type Watcher = Arc<dyn Fn() -> Box<dyn Watch> + Send + Sync>;

/// Serves ping, echo and perf, for those who are let in.
pub(crate) fn serve_basics(node: &Node, access: &Access) -> Outcome {
    node.on_request(|request: Request| async move { Ok::<_, HandlerError>(request.into_body()) });
    serve(node, ECHO, access, |stream, _| async move {
        let (mut source, mut sink) = split(stream);
        while let Some(bytes) = source.take().await.map_err(refuse)? {
            sink.give(bytes).await.map_err(refuse)?;
        }
        sink.finish().await.map_err(refuse)
    })?;
    serve(node, PERF, access, |stream, _| measure(stream))?;
    Ok(())
}

/// Takes files from those who are let in.
pub(crate) fn serve_files(
    node: &Node,
    access: &Access,
    receiver: Arc<Receiver>,
    watcher: Watcher,
) -> Outcome<ServiceHandle> {
    serve(node, FILES, access, move |stream, visitor| {
        let (receiver, watch) = (receiver.clone(), watcher());
        async move {
            let sender = sender_name(&visitor);
            let (source, sink) = split(stream);
            match receiver.receive(&sender, source, sink, &*watch).await {
                Ok(incoming) => watch.done(&sender, &incoming),
                Err(error) => {
                    watch.failed(&sender, &error);
                    return Err(errors::told(&error.failure));
                }
            }
            Ok(())
        }
    })
}

/// Gives the first stream of a pipe away; others are told that it is taken.
pub(crate) fn serve_pipe(
    node: &Node,
    access: &Access,
) -> Outcome<mpsc::Receiver<(XStream, String)>> {
    let (first, taken) = mpsc::channel(1);
    let place = Arc::new(Semaphore::new(1));
    serve(node, PIPE, access, move |stream, visitor| {
        let (first, place) = (first.clone(), place.clone());
        async move {
            let Ok(place) = place.try_acquire() else {
                return Err(HandlerError::new("busy", "another pipe was first"));
            };
            place.forget();
            // Whoever waits for it takes it over.
            let _ = first.send((stream, sender_name(&visitor))).await;
            Ok(())
        }
    })?;
    Ok(taken)
}

/// Lets those who are let in reach a TCP port of this host.
pub(crate) fn serve_tcp(node: &Node, access: &Access, port: u16) -> Outcome {
    serve(node, &tcp_protocol(port), access, move |mut stream, _| async move {
        let mut socket = connect_local(port).await?;
        let _ = socket.set_nodelay(true);
        // Either side may end as TCP does; that is no failure of the service.
        let _ = copy_bidirectional(&mut stream, &mut socket).await;
        Ok(())
    })?;
    Ok(())
}

async fn connect_local(port: u16) -> Result<TcpStream, HandlerError> {
    let v4 = timeout(LOCAL_WITHIN, TcpStream::connect(("127.0.0.1", port))).await;
    if let Ok(Ok(socket)) = v4 {
        return Ok(socket);
    }
    match timeout(LOCAL_WITHIN, TcpStream::connect(("::1", port))).await {
        Ok(Ok(socket)) => Ok(socket),
        _ => Err(HandlerError::new("port_closed", format!("nothing listens at port {port}"))),
    }
}

/// The protocol that leads to a TCP port.
pub(crate) fn tcp_protocol(port: u16) -> String {
    format!("netcom/tcp-{port}/1")
}

/// Who sends, in a form that stays the same over restarts where it can.
pub(crate) fn sender_name(visitor: &Visitor) -> String {
    match visitor.netids().first() {
        Some(netid) => netid.to_string(),
        None => visitor.peer_id().to_string(),
    }
}

/// One stream of a measurement. Its first byte says what to do.
async fn measure(mut stream: XStream) -> Result<(), HandlerError> {
    match stream.read_chunk(1).await?.as_deref() {
        Some([MEASURE_BULK]) => {
            let mut total = 0_u64;
            while let Some(bytes) = stream.read_chunk(1 << 20).await? {
                total += bytes.len() as u64;
            }
            stream.write_bytes(Bytes::copy_from_slice(&total.to_be_bytes())).await?;
        }
        Some([MEASURE_ROUND_TRIPS]) => {
            let mut message = BytesMut::new();
            while let Some(bytes) = stream.read_chunk(ROUND_TRIP_BYTES).await? {
                message.extend_from_slice(&bytes);
                while message.len() >= ROUND_TRIP_BYTES {
                    let whole = message.split_to(ROUND_TRIP_BYTES).freeze();
                    stream.write_bytes(whole).await?;
                }
            }
        }
        _ => return Err(HandlerError::new("unknown", "an unknown measurement")),
    }
    stream.finish().await?;
    Ok(())
}

/// Sends bytes one way; the answer is how many came.
pub(crate) const MEASURE_BULK: u8 = b'b';
/// Sends messages there and back.
pub(crate) const MEASURE_ROUND_TRIPS: u8 = b'r';
/// The size of such a message.
pub(crate) const ROUND_TRIP_BYTES: usize = 64;
/// How long a port of this host may take to answer.
const LOCAL_WITHIN: Duration = Duration::from_secs(5);

fn serve<F, Fut>(node: &Node, protocol: &str, access: &Access, handler: F) -> Outcome<ServiceHandle>
where
    F: Fn(XStream, Arc<Visitor>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let (name, version) = protocol.rsplit_once('/').unwrap_or((protocol, "1"));
    let service = Service::streams(name, [version], handler);
    let service = service.map_err(|error| errors::serve(&error))?.access(access.clone());
    node.serve(service).map_err(|error| errors::serve(&error))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn refuse(error: TransferError) -> HandlerError {
    errors::told(&error.failure)
}
