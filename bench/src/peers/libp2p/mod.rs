//! rust-libp2p with streams by libp2p-stream, as its documentation makes it fast.

mod requests;

use std::time::Duration;

use ::libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder,
    core::upgrade::Version,
    identity::Keypair,
    multiaddr::Protocol,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};
use anyhow::{Context, Result, anyhow, bail};
use frame::{
    Case, Client, Message,
    streams::{self, Halves, Slices},
};
use futures_util::StreamExt as _;
use libp2p_stream::Control;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use self::requests::{Asker, Requests};
use super::{Peer, version};

/// A connected client.
pub(super) struct Libp2p {
    control: Control,
    asker: Asker,
    server: PeerId,
    facts: Vec<String>,
}

/// Streams, and requests beside them.
#[derive(NetworkBehaviour)]
pub struct Behaviour {
    streams: libp2p_stream::Behaviour,
    requests: Requests,
}

pub(super) fn configuration(peer: Peer) -> Vec<String> {
    let mut lines = vec![
        format!(
            "rust-libp2p {}, libp2p-stream {}, tokio",
            version("libp2p"),
            version("libp2p-stream")
        ),
        "streams negotiated lazily (V1Lazy), which saves a round trip".to_owned(),
        "requests: libp2p-stream; in flight: libp2p-request-response, since libp2p-stream drops \
         streams that come faster than they are taken"
            .to_owned(),
        "both ways: one task at each end, since yamux wakes but one of two that wait for a stream"
            .to_owned(),
        "messages: tokio-util's length-delimited frames, 64 KiB gathered".to_owned(),
    ];
    lines.extend(match peer {
        Peer::Libp2pQuic => vec![format!(
            "libp2p-quic {}, windows of {} MiB for streams and connection, {MAX_STREAMS} streams; \
             sending window and socket buffers cannot be set",
            version("libp2p-quic"),
            WINDOW >> 20
        )],
        _ => vec![
            "TCP_NODELAY; suites and buffers are not to be chosen".to_owned(),
            format!(
                "yamux {}: the window grows by itself up to 1 GiB, frames of 16 KiB; libp2p-yamux \
                 lets neither be set; {MAX_STREAMS} streams",
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
    let mut control = swarm.behaviour().streams.new_control();
    let mut incoming = control.accept(PROTOCOL).map_err(|error| anyhow!("{error}"))?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            let (put, take) = streams::split(stream.compat());
            tokio::spawn(streams::serve(put, take));
        }
    });
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    announce(&address.with(Protocol::P2p(*swarm.local_peer_id())).to_string());
    requests::serve(swarm).await;
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
        let control = swarm.behaviour().streams.new_control();
        Ok(Self { control, asker: Asker::start(swarm, server), server, facts })
    }
}

impl Client for Libp2p {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::Request,
        Case::InFlight,
        Case::Messages,
        Case::Streams20,
        Case::Streams2000,
    ];

    /// yamux wakes but one of two tasks that wait for the same stream.
    const HALVES_ARE_APART: bool = false;

    type Put = Slices<WriteHalf<Compat<Stream>>>;
    type Take = Slices<ReadHalf<Compat<Stream>>>;
    type Echo = Halves<Compat<Stream>>;

    async fn stream(&self) -> Result<Halves<Compat<Stream>>> {
        let stream = self.control.clone().open_stream(self.server, PROTOCOL).await?;
        Ok(streams::split(stream.compat()))
    }

    async fn open(&self, _: Case) -> Result<Self::Echo> {
        let (put, take) = self.stream().await?;
        streams::open(put, take).await
    }

    async fn request_among(&self, message: Message) -> Result<Message> {
        self.asker.ask(message).await
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
            .with_quic_config(|mut config| {
                config.max_stream_data = WINDOW;
                config.max_connection_data = WINDOW;
                config.max_concurrent_stream_limit = MAX_STREAMS as u32;
                config
            })
            .with_behaviour(behaviour)?
            .with_swarm_config(settings)
            .build(),
        Peer::Libp2pNoise => builder
            .with_tcp(tcp, noise::Config::new, yamux_config)?
            .with_behaviour(behaviour)?
            .with_swarm_config(settings)
            .build(),
        _ => builder
            .with_tcp(tcp, tls::Config::new, yamux_config)?
            .with_behaviour(behaviour)?
            .with_swarm_config(settings)
            .build(),
    })
}

fn behaviour(_: &Keypair) -> Behaviour {
    Behaviour { streams: libp2p_stream::Behaviour::new(), requests: requests::behaviour() }
}

fn yamux_config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}

fn without_port(address: &Multiaddr) -> String {
    address.iter().map(|part| part.tag().to_owned()).collect::<Vec<_>>().join(", ")
}

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/1");
/// As much as ours over QUIC.
const WINDOW: u32 = 64 << 20;
const MAX_STREAMS: usize = 4096;
