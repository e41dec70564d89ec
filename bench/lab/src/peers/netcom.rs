//! Ours, by its public interface.

use std::net::IpAddr;

use ::netcom::{
    ByteStream, Connection, IncomingStream, Links, Multiaddr, Node, NodeBuilder, Role, Scope,
    Target,
};
use anyhow::{Context as _, Result};

use super::Peer;
use crate::ends::{self, Task};

pub(super) fn settings(peer: Peer) -> String {
    let carrier = if peer.is_quic() { "QUIC" } else { "TCP with TLS 1.3" };
    let links = match peer {
        Peer::NetcomTcpCold | Peer::NetcomQuicCold => "Links::Auto",
        _ => "Links::Standby at the reader where links fail, Links::Stripe at both ends for rates",
    };
    format!("{carrier}, {links}; else defaults, discovery off")
}

pub(super) async fn serve(
    peer: Peer,
    task: Task,
    addresses: &[IpAddr],
    announce: impl FnOnce(&str),
) -> Result<()> {
    let mut builder = builder(Role::Server);
    if task == Task::Rate {
        builder = builder.links(links(peer, task, addresses.len()));
    }
    for ip in addresses {
        builder = builder.listen(address(peer, *ip)?);
    }
    let node = builder.build().await?;
    let mut incoming = node.incoming();
    announce(&node.ticket().to_string());
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let stream = connection.incoming_streams().next().await;
            let stream = stream.and_then(IncomingStream::into_bytes).context("no stream")?;
            ends::send(stream).await
        });
    }
    Ok(())
}

pub(super) async fn connect(
    peer: Peer,
    task: Task,
    count: usize,
    contact: &str,
) -> Result<(ByteStream, (Node, Connection))> {
    let server: Target = contact.parse()?;
    let links = links(peer, task, count);
    let node = builder(Role::Client).links(links).build().await?;
    let connection = node.connect(server).await?;
    match links {
        Links::Standby => ends::until(|| connection.path().standby == count - 1).await?,
        Links::Stripe => ends::until(|| connection.path().beside == count - 1).await?,
        _ => {}
    }
    Ok((connection.bytes_stream().await?, (node, connection)))
}

fn builder(role: Role) -> NodeBuilder {
    Node::builder().discovery(Scope::Off).role(role)
}

fn links(peer: Peer, task: Task, count: usize) -> Links {
    match (peer, task) {
        _ if count == 1 => Links::Auto,
        (_, Task::Rate) => Links::Stripe,
        (Peer::NetcomTcp | Peer::NetcomQuic, Task::Gap) => Links::Standby,
        _ => Links::Auto,
    }
}

/// Where to listen, at a port of the system's choice.
fn address(peer: Peer, ip: IpAddr) -> Result<Multiaddr> {
    let rest = if peer.is_quic() { "udp/0/quic-v1" } else { "tcp/0" };
    Ok(format!("/ip4/{ip}/{rest}").parse()?)
}
