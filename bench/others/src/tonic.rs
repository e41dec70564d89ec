//! gRPC by tonic: unary calls over HTTP/2 and rustls.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use ::tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client, codec,
    codegen::{BoxFuture, Service, http, http::uri::PathAndQuery},
    server::{self, ClientStreamingService, NamedService, UnaryService},
    transport::{
        Certificate, Channel, ClientTlsConfig, Identity, Server, ServerTlsConfig,
        server::TcpIncoming,
    },
};
use anyhow::{Result, bail};
use bytes::{Buf as _, BufMut as _, Bytes};
use frame::{Case, Client, Message, NoStream};
use rcgen::PKCS_ECDSA_P256_SHA256;
use tokio::net::TcpListener;

use crate::{pem, version};

/// A connected client.
pub(crate) struct Tonic {
    channel: Channel,
}

/// Answers each call with its own message, or counts the bytes of a call that streams.
#[derive(Clone)]
struct EchoService;
struct Answer;
struct Count;

/// Messages as bytes, without Protobuf around them.
#[derive(Clone, Copy, Default)]
struct Codec;

fn configuration() -> Vec<String> {
    vec![
        format!("tonic {}, hyper {}, h2 {}", version("tonic"), version("hyper"), version("h2")),
        "TLS 1.3 by rustls and aws-lc-rs, AES-256-GCM first, server authentication".to_owned(),
        format!(
            "TCP_NODELAY, windows of {} MiB a stream and {} MiB a connection; messages as they \
             are, without Protobuf",
            STREAM_WINDOW >> 20,
            CONNECTION_WINDOW >> 20
        ),
        "requests: unary calls on one channel".to_owned(),
    ]
}

pub(crate) async fn serve(announce: impl FnOnce(&str)) -> Result<()> {
    // No Ed25519: BoringSSL, which gRPC has in other languages, does not ask for it.
    let (certificate, key) = pem::generate(&PKCS_ECDSA_P256_SHA256)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&serde_json::to_string(&(listener.local_addr()?.port(), &certificate))?);
    let identity = Identity::from_pem(certificate, key);
    Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(EchoService)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

impl Tonic {
    pub(crate) async fn connect(contact: &str) -> Result<Self> {
        let (port, certificate): (u16, String) = serde_json::from_str(contact)?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(certificate))
            .domain_name(pem::NAME);
        let channel = Channel::from_shared(format!("https://127.0.0.1:{port}"))?
            .tls_config(tls)?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect()
            .await?;
        Ok(Self { channel })
    }
}

impl Client for Tonic {
    const CASES: &'static [Case] = &[Case::Request, Case::InFlight];

    type Put = NoStream;
    type Take = NoStream;
    type Echo = (NoStream, NoStream);

    async fn open(&self, _: Case) -> Result<Self::Echo> {
        bail!("tonic is measured by its calls")
    }

    async fn request(&self, message: Message) -> Result<Message> {
        let mut client = client::Grpc::new(self.channel.clone());
        client.ready().await?;
        let request = Request::new(Bytes::copy_from_slice(&message));
        let answer = client.unary(request, PathAndQuery::from_static(PATH), Codec).await?;
        Ok(answer.into_inner()[..].try_into()?)
    }

    fn facts(&self) -> Vec<String> {
        configuration()
    }
}

impl NamedService for EchoService {
    const NAME: &'static str = "bench.Echo";
}

impl Service<http::Request<Body>> for EchoService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = server::Grpc::new(Codec);
            Ok(match request.uri().path() {
                COUNT => grpc.client_streaming(Count, request).await,
                _ => grpc.unary(Answer, request).await,
            })
        })
    }
}

impl UnaryService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// For clients in other languages; ours makes unary calls alone.
impl ClientStreamingService<Bytes> for Count {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            let mut bytes: u64 = 0;
            while let Some(message) = messages.message().await? {
                bytes += message.len() as u64;
            }
            Ok(Response::new(Bytes::copy_from_slice(&bytes.to_be_bytes())))
        })
    }
}

impl codec::Codec for Codec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl codec::Encoder for Codec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut codec::EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl codec::Decoder for Codec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut codec::DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

const PATH: &str = "/bench.Echo/Echo";
const COUNT: &str = "/bench.Echo/Count";
/// As much as ours.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
