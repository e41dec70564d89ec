//! One of the networks between a host and the public, and the words that tell `ip` of it.

use std::{fmt, net::Ipv4Addr};

use super::{DOWN, UP};
use crate::{LabError, Namespace};

/// A network of 254 addresses, which one machine leads out of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network([u8; 3]);

impl Network {
    /// The network at a place, counted from the host's, where there are so many routers.
    pub(super) fn new(place: usize, routers: usize) -> Self {
        Self(match place {
            0 => [192, 168, 1],
            // RFC 5737: for examples; RFC 6598: between a provider and its customers.
            _ if place == routers => [203, 0, 113],
            _ => [100, 64, place as u8],
        })
    }

    /// An address in it.
    pub(super) fn host(self, host: u8) -> Ipv4Addr {
        let Self([first, second, third]) = self;
        Ipv4Addr::new(first, second, third, host)
    }

    /// The address of the machine that leads out of it, or that is what is beyond.
    pub(super) fn gateway(self) -> Ipv4Addr {
        self.host(1)
    }

    /// Another address of the same machine, where it has one.
    pub(super) fn other(self) -> Ipv4Addr {
        self.host(2)
    }

    /// Has a machine lead out of it.
    pub(super) fn serve(self, namespace: &Namespace) -> Result<(), LabError> {
        let gateway = self.gateway();
        namespace.ip(&format!("address add {gateway}/24 dev {DOWN}\nlink set dev {DOWN} up\n"))
    }

    /// Gives a machine in it an address and the way out.
    pub(super) fn enter(self, namespace: &Namespace, host: u8) -> Result<(), LabError> {
        let (address, gateway) = (self.host(host), self.gateway());
        namespace.ip(&format!(
            "address add {address}/24 dev {UP}\n\
             link set dev {UP} up\n\
             route replace default via {gateway}\n"
        ))
    }

    /// Takes the address from it, and the way out with it.
    pub(super) fn leave(self, namespace: &Namespace, host: u8) -> Result<(), LabError> {
        namespace.ip(&format!("address del {}/24 dev {UP}\n", self.host(host)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.host(0))
    }
}
