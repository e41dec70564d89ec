//! Servers that answer with what they got, and how long that takes.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use netcom_lab::{End, Running};
use tokio::{
    io::{AsyncWriteExt, copy, split},
    net::{TcpListener, UdpSocket},
    sync::oneshot,
    time::timeout,
};

pub(crate) const DELAY: Duration = Duration::from_millis(25);
/// What a busy machine may add to a round trip in the best of several tries.
pub(crate) const SLACK: Duration = Duration::from_millis(20);
pub(crate) const TRIES: usize = 8;

/// Answers every datagram with itself.
pub(crate) fn echo_datagrams(end: &End, ip: IpAddr) -> (SocketAddr, Running<()>) {
    let (send, address) = oneshot::channel();
    let echo = end.start(async move || {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        send.send(socket.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    (address.blocking_recv().unwrap(), echo)
}

/// Answers every stream with itself.
pub(crate) fn echo_streams(end: &End, ip: IpAddr) -> (SocketAddr, Running<()>) {
    let (send, address) = oneshot::channel();
    let echo = end.start(async move || {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        send.send(listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut input, mut output) = split(stream);
                let _ = copy(&mut input, &mut output).await;
                let _ = output.shutdown().await;
            });
        }
    });
    (address.blocking_recv().unwrap(), echo)
}

/// `None` if no answer came within many round trips.
pub(crate) async fn datagram_round_trip(server: SocketAddr) -> Option<Duration> {
    let any: SocketAddr = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
    let socket = UdpSocket::bind(any).await.unwrap();
    let begun = Instant::now();
    socket.send_to(b"echo", server).await.unwrap();
    let mut buffer = [0; 16];
    let answer = timeout(DELAY * 2 * 10, socket.recv_from(&mut buffer)).await.ok()?;
    let (length, from) = answer.ok()?;
    assert_eq!((&buffer[..length], from), (&b"echo"[..], server));
    Some(begun.elapsed())
}
