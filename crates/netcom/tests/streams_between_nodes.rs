//! Every kind of stream between two nodes, through the public API alone.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use netcom::{
    Access, Connection, Delivery, HandlerError, IncomingStream, Node, RequestError, RequestOptions,
    Scope, Service, StreamError, StreamErrorMessage, XStream,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

/// Two nodes that find each other by ticket alone, at one kind of address.
struct Nodes {
    client: Node,
    server: Node,
}

impl Nodes {
    async fn at(address: &str) -> Self {
        let node = || Node::builder().discovery(Scope::Off);
        let server = node().listen(address.parse().unwrap()).build().await.unwrap();
        let client = node().listen(address.parse().unwrap()).build().await.unwrap();
        Self { client, server }
    }

    async fn connect(&self) -> Connection {
        self.client.connect(self.server.ticket()).await.unwrap()
    }

    async fn connected(&self) -> (Connection, Connection) {
        let near = self.connect().await;
        // The peer learns of a connection with its first bytes.
        assert!(near.ping().await.is_some() || near.request("hello").await.is_err());
        (near, self.server.incoming().next().await.unwrap())
    }

    async fn close(self) {
        self.client.close().await;
        self.server.close().await;
    }
}

#[tokio::test]
async fn bytes_messages_and_errors_travel_over_tcp_and_quic() {
    for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/tcp/0"] {
        let nodes = Nodes::at(address).await;
        let (near, far) = nodes.connected().await;
        let mut streams = far.incoming_streams();

        let mut bytes = near.bytes_stream().await.unwrap();
        bytes.write_all(b"one line\nand another\n").await.unwrap();
        bytes.shutdown().await.unwrap();
        let Some(IncomingStream::Bytes(mut other)) = streams.next().await else { panic!() };
        let mut lines = Vec::new();
        while other.read_until(b'\n', &mut lines).await.unwrap() > 0 {}
        assert_eq!(lines, b"one line\nand another\n");
        other.write_bytes("answer").await.unwrap();
        other.finish().await.unwrap();
        let mut answer = String::new();
        bytes.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");

        let mut messages = near.msg_stream().await.unwrap();
        messages.send("first").await.unwrap();
        messages.send("").await.unwrap();
        messages.finish().await.unwrap();
        let Some(IncomingStream::Messages(mut other)) = streams.next().await else { panic!() };
        assert_eq!(other.recv().await.unwrap().unwrap(), "first");
        assert_eq!(other.recv().await.unwrap().unwrap(), "");
        assert_eq!(other.recv().await.unwrap(), None);

        let mut errors = near.x_stream().await.unwrap();
        let trouble = StreamErrorMessage::new("trouble", "half of it is missing").with("half", "2");
        errors.send_error(&trouble).await.unwrap();
        errors.write_bytes("and the data goes on").await.unwrap();
        errors.finish().await.unwrap();
        let Some(IncomingStream::X(mut other)) = streams.next().await else { panic!() };
        assert_eq!(other.next_error().await, Some(trouble));
        let data = other.read_chunk(100).await.unwrap().unwrap();
        assert_eq!(data, "and the data goes on");
        nodes.close().await;
    }
}

#[tokio::test]
async fn a_named_service_is_reached_by_those_it_admits() {
    let nodes = Nodes::at("/ip4/127.0.0.1/tcp/0").await;
    let upper = Service::streams("example/upper", ["1"], |mut stream: XStream, who| async move {
        while let Some(chunk) = stream.read_chunk(1 << 16).await? {
            if chunk.is_empty() {
                return Err(HandlerError::new("empty", "nothing to do"));
            }
            stream.write_bytes(chunk.to_ascii_uppercase()).await?;
        }
        stream.write_bytes(who.peer_id().to_string()).await?;
        stream.finish().await?;
        Ok(())
    });
    nodes.server.serve(upper.unwrap()).unwrap();
    let private = Service::requests("example/private", ["1"], |r| async move { Ok(r.into_body()) });
    nodes.server.serve(private.unwrap().access(Access::own_entity())).unwrap();

    let connection = nodes.connect().await;
    let mut stream = connection.open("example/upper/1").await.unwrap();
    stream.write_bytes("quiet").await.unwrap();
    assert_eq!(stream.read_chunk(100).await.unwrap().unwrap(), "QUIET");
    stream.finish().await.unwrap();
    let mut who = String::new();
    stream.read_to_string(&mut who).await.unwrap();
    assert_eq!(who, nodes.client.peer_id().to_string());

    let options = RequestOptions::new().protocol("example/private/1");
    let denied = connection.request_with("x", &options).await.unwrap_err();
    assert_eq!(denied, RequestError::Stream(StreamError::Denied));
    assert_eq!((denied.code(), denied.is_retryable()), ("denied", false));
    let mut unknown = connection.open("example/upper/2").await.unwrap();
    assert_eq!(unknown.read_chunk(1).await, Err(StreamError::UnknownProtocol));
    nodes.close().await;
}

#[tokio::test]
async fn what_a_failure_tells_of_the_request_is_true() {
    let nodes = Nodes::at("/ip4/127.0.0.1/tcp/0").await;
    nodes.server.on_request(|_| std::future::pending());
    let connection = nodes.connect().await;
    let options = RequestOptions::new().timeout(Duration::from_millis(100));
    let late = connection.request_with("x", &options).await.unwrap_err();
    assert_eq!(late.code(), "timeout");
    assert_ne!(late.delivery(), Delivery::NotSent);
    nodes.server.close().await;
    let closed = connection.closed().await;
    assert!(closed.by_peer);
    let after = connection.request("y").await.unwrap_err();
    assert_eq!((after.delivery(), after.is_retryable()), (Delivery::NotSent, true));
    nodes.client.close().await;
}
