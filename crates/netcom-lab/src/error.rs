//! Why a laboratory could not be set up.

use std::io;

/// Why a [`Pair`](crate::Pair) could not be made; nearly always something the machine lacks.
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
    /// The forwarding thread has no way to sleep or could not be started.
    #[error("the forwarding thread could not be started")]
    Forwarder(#[source] io::Error),
}
