//! Victims, attackers and what stands between them.

mod attacker;
mod certificate;
mod frames;
mod victim;
mod wiretap;

use std::time::Duration;

use netcom::{Multiaddr, Node, NodeBuilder, Scope};

pub(crate) use self::{
    attacker::{Attacker, Intruder, Told, hello},
    certificate::{Forgery, certificate_of},
    frames::{FrameKind, samples},
    victim::{MIB, Tables, Victim},
    wiretap::{Direction, UdpTap, Wiretap},
};

/// Longer than anything here takes; a test that runs into it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the tests that have a long form run in it: `NETCOM_LONG_TESTS=1`.
pub(crate) fn is_long() -> bool {
    std::env::var_os("NETCOM_LONG_TESTS").is_some()
}

/// A node that nobody finds, which listens at these addresses.
pub(crate) fn quiet_node(listen: &[&str]) -> NodeBuilder {
    let builder = Node::builder().discovery(Scope::Off);
    listen.iter().fold(builder, |builder, address| {
        builder.listen(address.parse::<Multiaddr>().expect("an address"))
    })
}

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Fails the test rather than letting it hang.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes far less")
}

/// Tells a figure, for docs/security.md.
#[expect(clippy::print_stdout, reason = "the runner shows what tests print")]
pub(crate) fn measured(what: std::fmt::Arguments<'_>) {
    println!("MEASURED {what}");
}
