//! Why a laboratory could not be set up or changed.

use std::io;

/// Why a [`Pair`](crate::Pair) or a [`Topology`](crate::Topology) could not be made or changed;
/// nearly always something the machine lacks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The kernel refused a network namespace: run as root.
    #[error("no network namespace could be made, which needs root")]
    Namespace(#[source] io::Error),
    /// There is no TUN device to be had: run as root where `/dev/net/tun` exists.
    #[error("no TUN device could be made, which needs root and /dev/net/tun")]
    Device(#[source] io::Error),
    /// iproute2 could not be started: install it.
    #[error("`ip` could not be started, which iproute2 brings")]
    Ip(#[source] io::Error),
    /// An interface did not take its addresses: `ip` says why.
    #[error("`ip` refused to set an interface up: {said}")]
    Interface {
        /// What it wrote to stderr.
        said: String,
    },
    /// nftables could not be started: install it.
    #[error("`nft` could not be started, which nftables brings")]
    Nft(#[source] io::Error),
    /// A router did not take its rules: `nft` says why.
    #[error("`nft` refused the rules of a router: {said}")]
    Rules {
        /// What it wrote to stderr.
        said: String,
    },
    /// The kernel does not let a namespace pass packets on.
    #[error("a namespace could not be made a router")]
    Routing(#[source] io::Error),
    /// The kernel does not forget what belongs together: it lacks nf_conntrack_netlink.
    #[error("a router's mappings could not be forgotten")]
    Mappings(#[source] io::Error),
    /// The forwarding thread has no way to sleep or could not be started.
    #[error("the forwarding thread could not be started")]
    Forwarder(#[source] io::Error),
}
