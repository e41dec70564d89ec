//! A world for the nodes of one test.

use std::{net::UdpSocket, path::PathBuf, process::Command, time::Duration};

use bytes::Bytes;
use netcom::{Connection, Interfaces, MdnsConfig, Multiaddr, Node, NodeBuilder, Scope};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where the nodes of one test live, apart from all others.
pub(crate) struct World {
    folder: TempDir,
    mdns_port: u16,
}

impl World {
    pub(crate) fn new() -> Self {
        // The port was free a moment ago, and multicast sockets share it anyway.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mdns_port = socket.local_addr().unwrap().port();
        Self { folder: tempfile::tempdir().unwrap(), mdns_port }
    }

    /// A node that finds others by the registry of this world.
    pub(crate) fn node(&self) -> NodeBuilder {
        self.within(Scope::Host)
    }

    /// A node that finds others as far as the scope says, and never outside this world.
    pub(crate) fn within(&self, scope: Scope) -> NodeBuilder {
        let mdns = MdnsConfig::default().interfaces(Interfaces::Loopback).port(self.mdns_port);
        let builder = Node::builder().discovery(scope).registry(self.path("registry")).mdns(mdns);
        builder.listen(loopback())
    }

    /// The same without a place to listen at.
    pub(crate) fn client(&self, scope: Scope) -> NodeBuilder {
        let mdns = MdnsConfig::default().interfaces(Interfaces::Loopback).port(self.mdns_port);
        Node::builder().discovery(scope).registry(self.path("registry")).mdns(mdns)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// TCP on loopback, because the end of a process shows there at once.
pub(crate) fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

/// Answers every request with a name.
pub(crate) fn answer_as(node: &Node, name: &'static str) {
    node.on_request(move |_| async move { Ok(Bytes::from_static(name.as_bytes())) });
}

pub(crate) async fn ask(connection: &Connection) -> String {
    let answer = within(connection.request("who is there?")).await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

/// Runs a test of this program again, in a process of its own, where [`is_alone`] tells it so.
pub(crate) fn alone(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(ALONE, name);
    command
}

/// Whether this process was started by [`alone`].
pub(crate) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

const ALONE: &str = "NETCOM_TEST_ALONE";

/// Fails the test rather than letting it hang.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it takes far less")
}

/// A node that can be killed like a process: nothing of it is closed in order.
pub(crate) struct Mortal {
    pub(crate) node: Node,
    runtime: Option<Runtime>,
}

impl Mortal {
    pub(crate) async fn start(builder: NodeBuilder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let node = runtime.spawn(builder.build()).await.unwrap().unwrap();
        Self { node, runtime: Some(runtime) }
    }

    pub(crate) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
