//! aggligator: a connection over TCP links from each network card to each address.

use std::net::{IpAddr, SocketAddr};

use ::aggligator::{Acceptor, Connector, alc::Stream};
use aggligator_transport_tcp::{TcpAcceptor, TcpConnector};
use anyhow::{Context as _, Result};

use super::version;
use crate::ends;

pub(super) fn settings() -> String {
    format!(
        "aggligator {}, aggligator-transport-tcp {}: defaults, so a link from each card to each \
         address, which all carry data; plain TCP, without its wrapper for TLS",
        version("aggligator"),
        version("aggligator-transport-tcp")
    )
}

pub(super) async fn serve(addresses: &[IpAddr], announce: impl FnOnce(&str)) -> Result<()> {
    let sockets: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect();
    let acceptor = Acceptor::new();
    acceptor.add(TcpAcceptor::new(sockets.iter().copied()).await?);
    announce(&serde_json::to_string(&sockets)?);
    loop {
        let (channel, _) = acceptor.accept().await?;
        tokio::spawn(ends::send(channel.into_stream()));
    }
}

pub(super) async fn connect(links: usize, contact: &str) -> Result<(Stream, Connector)> {
    let sockets: Vec<SocketAddr> = serde_json::from_str(contact)?;
    let hosts: Vec<String> = sockets.iter().map(SocketAddr::to_string).collect();
    let mut connector = Connector::new();
    connector.add(TcpConnector::new(hosts, PORT).await?);
    let channel = connector.channel().context("it is asked for once")?.await?;
    let control = connector.control();
    let all = links * links;
    let working = || control.links().iter().filter(|link| link.is_working()).count();
    ends::until(|| working() == all).await?;
    Ok((channel.into_stream(), connector))
}

const PORT: u16 = 5900;
