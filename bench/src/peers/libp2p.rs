//! rust-libp2p with streams by libp2p-stream, as its documentation makes it fast.

use std::time::Duration;

use ::libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, core::upgrade::Version,
    multiaddr::Protocol, noise, swarm::SwarmEvent, tcp, tls, yamux,
};
use anyhow::{Context, Result, anyhow, bail};
use futures_util::StreamExt as _;
use libp2p_stream::{Behaviour, Control};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use super::{Bulk, Client, Message, Peer, streams, version};
use crate::case::Case;

/// A connected client.
pub(super) struct Libp2p {
    control: Control,
    server: PeerId,
    echo: Option<Compat<Stream>>,
    facts: Vec<String>,
}

pub(super) fn configuration(peer: Peer) -> Vec<String> {
    let mut lines = vec![
        format!(
            "rust-libp2p {}, libp2p-stream {}, tokio",
            version("libp2p"),
            version("libp2p-stream")
        ),
        "streams negotiated lazily (V1Lazy), which saves a round trip".to_owned(),
    ];
    lines.extend(match peer {
        Peer::Libp2pQuic => vec![format!("libp2p-quic {}, defaults", version("libp2p-quic"))],
        _ => vec![
            "TCP_NODELAY; suites and buffers are not to be chosen".to_owned(),
            format!(
                "yamux {}: the window grows by itself up to 1 GiB, frames of 16 KiB; libp2p-yamux \
                 lets neither be set",
                version("yamux")
            ),
        ],
    });
    lines
}

pub(super) async fn serve(peer: Peer, announce: impl FnOnce(&str)) -> Result<()> {
    let mut swarm = swarm(peer)?;
    let address = match peer {
        Peer::Libp2pQuic => "/ip4/127.0.0.1/udp/0/quic-v1",
        _ => "/ip4/127.0.0.1/tcp/0",
    };
    swarm.listen_on(address.parse()?)?;
    let mut control = swarm.behaviour().new_control();
    let mut incoming = control.accept(PROTOCOL).map_err(|error| anyhow!("{error}"))?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(streams::serve(stream.compat()));
        }
    });
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    announce(&address.with(Protocol::P2p(*swarm.local_peer_id())).to_string());
    run(swarm).await;
    Ok(())
}

impl Libp2p {
    pub(super) async fn connect(peer: Peer, contact: &str) -> Result<Self> {
        let address: Multiaddr = contact.parse()?;
        let Some(Protocol::P2p(server)) = address.iter().last() else {
            bail!("the server's address names no peer");
        };
        let mut swarm = swarm(peer)?;
        swarm.dial(address)?;
        let facts = loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { endpoint, .. } => {
                    break vec![format!(
                        "connected to {}",
                        without_port(endpoint.get_remote_address())
                    )];
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    return Err(error).context("the server cannot be reached");
                }
                _ => {}
            }
        };
        let control = swarm.behaviour().new_control();
        tokio::spawn(run(swarm));
        Ok(Self { control, server, echo: None, facts })
    }

    async fn stream(&mut self) -> Result<Compat<Stream>> {
        Ok(self.control.open_stream(self.server, PROTOCOL).await?.compat())
    }
}

impl Client for Libp2p {
    const CASES: &'static [Case] = &[Case::Bulk, Case::RoundTrip, Case::Request];

    async fn bulk(&mut self, duration: Duration) -> Result<Bulk> {
        streams::bulk(self.stream().await?, duration).await
    }

    async fn open(&mut self) -> Result<()> {
        self.echo = Some(streams::open(self.stream().await?).await?);
        Ok(())
    }

    async fn round_trip(&mut self, message: Message) -> Result<Message> {
        streams::round_trip(self.echo.as_mut().context("no stream is open")?, message).await
    }

    async fn request(&mut self, message: Message) -> Result<Message> {
        streams::request(self.stream().await?, message).await
    }

    fn facts(&self) -> Vec<String> {
        self.facts.clone()
    }
}

fn swarm(peer: Peer) -> Result<Swarm<Behaviour>> {
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    let tcp = tcp::Config::default().nodelay(true);
    let settings = |config: ::libp2p::swarm::Config| {
        config
            .with_substream_upgrade_protocol_override(Version::V1Lazy)
            .with_idle_connection_timeout(Duration::from_secs(3600))
    };
    Ok(match peer {
        Peer::Libp2pQuic => builder
            .with_quic()
            .with_behaviour(|_| Behaviour::new())?
            .with_swarm_config(settings)
            .build(),
        Peer::Libp2pNoise => builder
            .with_tcp(tcp, noise::Config::new, yamux::Config::default)?
            .with_behaviour(|_| Behaviour::new())?
            .with_swarm_config(settings)
            .build(),
        _ => builder
            .with_tcp(tcp, tls::Config::new, yamux::Config::default)?
            .with_behaviour(|_| Behaviour::new())?
            .with_swarm_config(settings)
            .build(),
    })
}

/// Lets the swarm work for as long as the process lives.
async fn run(mut swarm: Swarm<Behaviour>) {
    loop {
        swarm.select_next_some().await;
    }
}

fn without_port(address: &Multiaddr) -> String {
    address.iter().map(|part| part.tag().to_owned()).collect::<Vec<_>>().join(", ")
}

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/1");
