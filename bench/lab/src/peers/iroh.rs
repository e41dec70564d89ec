//! iroh: QUIC to a node's key, straight at both addresses, without relays or discovery.

use std::net::{IpAddr, SocketAddr};

use ::iroh::{
    Endpoint, EndpointAddr, RelayMode, TransportAddr,
    endpoint::{Builder, Connection, PortmapperConfig, RecvStream, SendStream, presets},
};
use anyhow::{Context as _, Result};
use tokio::io::{Join, join};

use super::version;
use crate::ends;

pub(super) fn settings() -> String {
    format!(
        "iroh {}, noq {}: all addresses of the sender known, no relays, no discovery, no port \
         mapping; else defaults, so of several straight paths it keeps one",
        version("iroh"),
        version("noq")
    )
}

pub(super) async fn serve(addresses: &[IpAddr], announce: impl FnOnce(&str)) -> Result<()> {
    let endpoint = builder().alpns(vec![ALPN.to_vec()]).bind().await?;
    let sockets = endpoint.bound_sockets();
    let port = sockets.iter().find(|socket| socket.is_ipv4()).context("no socket")?.port();
    let addresses = addresses.iter().map(|ip| TransportAddr::Ip(SocketAddr::new(*ip, port)));
    announce(&serde_json::to_string(&EndpointAddr::from_parts(endpoint.id(), addresses))?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            let (sender, receiver) = connection.accept_bi().await?;
            ends::send(join(receiver, sender)).await
        });
    }
    Ok(())
}

pub(super) async fn connect(
    contact: &str,
) -> Result<(Join<RecvStream, SendStream>, (Endpoint, Connection))> {
    let server: EndpointAddr = serde_json::from_str(contact)?;
    let endpoint = builder().bind().await?;
    let connection = endpoint.connect(server, ALPN).await?;
    let (sender, receiver) = connection.open_bi().await?;
    Ok((join(receiver, sender), (endpoint, connection)))
}

fn builder() -> Builder {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
}

const ALPN: &[u8] = b"lab/1";
