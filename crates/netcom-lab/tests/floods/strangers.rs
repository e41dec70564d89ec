//! Connections over TCP that begin a handshake and leave it at that.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use netcom::Ticket;
use netcom_lab::End;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time,
};

use crate::forge::{self, Dice};

/// Where a node is knocked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) udp: SocketAddrV4,
    pub(crate) tcp: SocketAddrV4,
}

impl Door {
    pub(crate) fn of(ticket: &Ticket) -> Self {
        let addresses: Vec<String> = ticket.addresses().iter().map(ToString::to_string).collect();
        let of = |kind: &str| {
            let parts = addresses.iter().map(|address| address.split('/').collect::<Vec<_>>());
            let mut sockets = parts.filter_map(|parts| match parts[..] {
                ["", "ip4", ip, found, port, ..] if found == kind => {
                    format!("{ip}:{port}").parse().ok()
                }
                _ => None,
            });
            sockets.next().expect("it listens there")
        };
        Self { udp: of("udp"), tcp: of("tcp") }
    }
}

/// Gives one end the addresses of many networks, and lets the other answer anybody.
pub(crate) fn settle(left: &End, right: &End) {
    left.ip(&format!("route add local {NETWORKS}.0.0/16 dev lo\n")).unwrap();
    right.ip("route add default dev lab0\n").unwrap();
}

/// Where a connection of this number comes from: 32 networks of 250 hosts.
pub(crate) fn source(number: usize) -> SocketAddrV4 {
    let (network, host) = (number % 32, 1 + number / 32 % 250);
    SocketAddrV4::new(Ipv4Addr::new(10, 100, network as u8, host as u8), 0)
}

/// Connects from one of those addresses.
pub(crate) async fn connect(number: usize, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(source(number).into())?;
    socket.connect(target).await
}

/// Keeps so many handshakes half open: one half sends half a hello, the other nothing. Who is
/// closed comes back a second later. Never ends by itself.
pub(crate) async fn linger(count: usize, target: SocketAddr) {
    let hello: Arc<[u8]> = forge::client_hello().into();
    let mut strangers = JoinSet::new();
    for number in 0..count {
        let hello = Arc::clone(&hello);
        strangers.spawn(async move {
            let mut dice = Dice::new(number as u64);
            // Not all at the same moment.
            time::sleep(Duration::from_millis(dice.next() % 1000)).await;
            loop {
                let said = if number.is_multiple_of(2) { &hello[..hello.len() / 2] } else { &[] };
                if let Ok(mut stream) = connect(number, target).await
                    && stream.write_all(said).await.is_ok()
                {
                    // Ends when the other side has enough.
                    let _ = stream.read(&mut [0; 64]).await;
                }
                time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    while strangers.join_next().await.is_some() {}
}

const NETWORKS: &str = "10.100";
