//! What is measured, each as its documentation says that it is used.

mod aggligator;
mod iroh;
mod netcom;

use std::{fmt, net::IpAddr};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::ends::{self, Event, Task};

/// A peer in one configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// netcom over TCP, with a second link that stands by.
    NetcomTcp,
    /// netcom over QUIC, with a second link that stands by.
    NetcomQuic,
    /// netcom over TCP, with one link.
    NetcomTcpCold,
    /// netcom over QUIC, with one link.
    NetcomQuicCold,
    /// aggligator over TCP.
    Aggligator,
    /// iroh, straight.
    Iroh,
}

impl Peer {
    /// The peer's name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn is_quic(self) -> bool {
        matches!(self, Self::NetcomQuic | Self::NetcomQuicCold | Self::Iroh)
    }

    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::Aggligator | Self::Iroh)
    }

    /// Whether it is measured over links side by side.
    pub(crate) fn stripes(self) -> bool {
        !matches!(self, Self::NetcomTcpCold | Self::NetcomQuicCold)
    }

    /// What was chosen for it.
    pub(crate) fn settings(self) -> String {
        match self {
            Self::Aggligator => aggligator::settings(),
            Self::Iroh => iroh::settings(),
            _ => netcom::settings(self),
        }
    }

    /// Sends to whoever connects, and says by `announce` where that is.
    pub(crate) async fn serve(
        self,
        task: Task,
        addresses: &[IpAddr],
        announce: impl FnOnce(&str),
    ) -> Result<()> {
        match self {
            Self::Aggligator => aggligator::serve(addresses, announce).await,
            Self::Iroh => iroh::serve(addresses, announce).await,
            _ => netcom::serve(self, task, addresses, announce).await,
        }
    }

    /// Connects by so many links and reads.
    pub(crate) async fn read(self, task: Task, links: usize, contact: &str) -> Result<Event> {
        match self {
            Self::Aggligator => {
                let (stream, _connector) = aggligator::connect(links, contact).await?;
                ends::receive(task, stream).await
            }
            Self::Iroh => {
                let (stream, _endpoint) = iroh::connect(contact).await?;
                ends::receive(task, stream).await
            }
            _ => {
                let (stream, _node) = netcom::connect(self, task, links, contact).await?;
                ends::receive(task, stream).await
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NetcomTcp => "netcom, TCP",
            Self::NetcomQuic => "netcom, QUIC",
            Self::NetcomTcpCold => "netcom, TCP, no second link",
            Self::NetcomQuicCold => "netcom, QUIC, no second link",
            Self::Aggligator => "aggligator, TCP",
            Self::Iroh => "iroh",
        })
    }
}

/// The version of a crate in this build.
fn version(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?")
}
