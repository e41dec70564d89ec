//! QUIC streams by quinn, with owned bytes in and out.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use ::quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig,
};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::io::{AsyncReadExt as _, Join, join};

use super::{Bulk, CHUNK, Client, MESSAGE, Message, streams, version};
use crate::case::Case;

/// A connected client.
pub(super) struct Quinn {
    endpoint: Endpoint,
    connection: Connection,
    echo: Option<Join<RecvStream, SendStream>>,
}

pub(super) fn configuration() -> Vec<String> {
    vec![
        format!("quinn {}, rustls {}, aws-lc-rs", version("quinn"), version("rustls")),
        format!("windows of {} MiB for streams, connection and sending", WINDOW >> 20),
        format!("owned chunks: write_chunk of {} KiB, read_chunk", CHUNK >> 10),
    ]
}

pub(super) async fn serve(announce: impl FnOnce(&str)) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())
        .map_err(anyhow::Error::msg)?;
    let certificate = certified.cert.der().clone();
    let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key)?;
    config.transport_config(transport());
    let endpoint = endpoint(Some(config))?;
    announce(&format!("{} {}", endpoint.local_addr()?, HEXLOWER.encode(&certificate)));
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await?;
        tokio::spawn(async move {
            while let Ok((sender, receiver)) = connection.accept_bi().await {
                tokio::spawn(serve_stream(sender, receiver));
            }
        });
    }
    Ok(())
}

async fn serve_stream(mut sender: SendStream, mut receiver: RecvStream) -> Result<()> {
    match receiver.read_u8().await? {
        streams::BULK => {
            let mut bytes = 0;
            while let Some(chunk) = receiver.read_chunk(CHUNK, true).await? {
                bytes += chunk.bytes.len() as u64;
            }
            sender.write_all(&bytes.to_be_bytes()).await?;
        }
        streams::ECHO => {
            let mut message = [0; MESSAGE];
            while receiver.read_exact(&mut message).await.is_ok() {
                sender.write_all(&message).await?;
            }
        }
        _ => {
            let message = receiver.read_to_end(MESSAGE).await?;
            sender.write_chunk(message.into()).await?;
        }
    }
    sender.finish()?;
    Ok(())
}

impl Quinn {
    pub(super) async fn connect(contact: &str) -> Result<Self> {
        let (server, certificate) = contact.split_once(' ').context("no certificate was given")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(HEXLOWER.decode(certificate.as_bytes())?))?;
        let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
        config.transport_config(transport());
        let endpoint = endpoint(None)?;
        let connection = endpoint.connect_with(config, server.parse()?, NAME)?.await?;
        Ok(Self { endpoint, connection, echo: None })
    }
}

impl Client for Quinn {
    const CASES: &'static [Case] = &[Case::Bulk, Case::RoundTrip, Case::Request];

    async fn bulk(&mut self, duration: Duration) -> Result<Bulk> {
        let chunk = Bytes::from(streams::chunk());
        let (mut sender, mut receiver) = self.connection.open_bi().await?;
        sender.write_all(&[streams::BULK]).await?;
        let begin = Instant::now();
        let mut bytes = 0;
        while begin.elapsed() < duration {
            sender.write_chunk(chunk.clone()).await?;
            bytes += chunk.len() as u64;
        }
        sender.finish()?;
        let counted = receiver.read_u64().await?;
        let took = begin.elapsed();
        ensure!(counted == bytes, "{counted} of {bytes} bytes arrived");
        Ok(Bulk { bytes, took })
    }

    async fn open(&mut self) -> Result<()> {
        let (sender, receiver) = self.connection.open_bi().await?;
        self.echo = Some(streams::open(join(receiver, sender)).await?);
        Ok(())
    }

    async fn round_trip(&mut self, message: Message) -> Result<Message> {
        streams::round_trip(self.echo.as_mut().context("no stream is open")?, message).await
    }

    async fn request(&mut self, message: Message) -> Result<Message> {
        let (mut sender, mut receiver) = self.connection.open_bi().await?;
        sender.write_all(&streams::request_bytes(message)).await?;
        sender.finish()?;
        let answer = receiver.read_to_end(MESSAGE).await?;
        Ok(answer.as_slice().try_into()?)
    }

    fn facts(&self) -> Vec<String> {
        let stats = self.connection.stats();
        let local = self.endpoint.local_addr().map(|address| address.ip().to_string());
        vec![format!(
            "packets of {} bytes from {}",
            stats.path.current_mtu,
            local.unwrap_or_default()
        )]
    }
}

fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))?)
}

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into());
    Arc::new(config)
}

const NAME: &str = "localhost";
const WINDOW: u32 = 8 << 20;
