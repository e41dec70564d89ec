//! What a router is asked to do, and the rules that tell `nft` of it.

use std::net::Ipv4Addr;

use super::UP;

/// What a router is to do with packets between its two networks.
///
/// ```
/// use netcom_lab::{Firewall, Nat, RouterSpec};
///
/// // A router whose ports a stranger cannot use, though they are the same for everybody.
/// let home = RouterSpec::new(Nat::EndpointIndependent).firewall(Firewall::NoInbound);
/// // A hotel.
/// let hotel = RouterSpec::new(Nat::EndpointDependent).firewall(Firewall::NoUdp);
/// assert_ne!(home, hotel);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouterSpec {
    pub(super) nat: Nat,
    firewall: Firewall,
}

/// How a router translates the address and the port of what the host sends (RFC 4787, sections 4
/// and 5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nat {
    /// Not at all: the host's own address is known outside.
    None,
    /// The host keeps its port, towards each destination, as long as no other host has it; only
    /// the destination itself may answer. What most routers at home do.
    PortPreserving,
    /// A port of the host has one port outside for all destinations, and by UDP whoever knows that
    /// reaches the host: a full cone.
    EndpointIndependent,
    /// Each destination sees another port, which nobody can guess, and nobody else may answer
    /// there: symmetric, as many providers and offices have it.
    EndpointDependent,
}

/// What a router does not let pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Firewall {
    /// Everything passes that belongs to something or begins it.
    #[default]
    Open,
    /// From outside only answers come in.
    NoInbound,
    /// The same, and no UDP passes in either direction. Nobody is told.
    NoUdp,
}

impl RouterSpec {
    /// Asks for a router that translates addresses so.
    #[must_use]
    pub const fn new(nat: Nat) -> Self {
        Self { nat, firewall: Firewall::Open }
    }

    /// Sets what does not pass. Default: everything passes.
    #[must_use]
    pub const fn firewall(mut self, firewall: Firewall) -> Self {
        self.firewall = firewall;
        self
    }

    /// What makes `nft` forget all earlier rules of a router with this outer address, and load
    /// these.
    pub(super) fn rules(self, address: Ipv4Addr) -> String {
        let (nat, passing) = (self.nat.rules(address), self.firewall.rules());
        // Each connection that a stranger begins with the router itself is met with silence.
        format!(
            "add table ip router\n\
             delete table ip router\n\
             table ip router {{\n\
             {nat}\
             chain passing {{\n\
             type filter hook forward priority filter\n\
             {passing}\
             }}\n\
             chain addressed {{\n\
             type filter hook input priority filter\n\
             iifname \"{UP}\" drop\n\
             }}\n\
             }}\n"
        )
    }
}

impl Nat {
    fn rules(self, address: Ipv4Addr) -> String {
        let (arriving, leaving) = match self {
            Self::None => return String::new(),
            Self::PortPreserving => (String::new(), "masquerade".to_owned()),
            Self::EndpointDependent => (String::new(), "masquerade fully-random".to_owned()),
            Self::EndpointIndependent => (full_cone(), format!("snat to {address}")),
        };
        format!(
            "{arriving}\
             chain leaving {{\n\
             type nat hook postrouting priority srcnat\n\
             oifname \"{UP}\" {leaving}\n\
             }}\n"
        )
    }
}

impl Firewall {
    fn rules(self) -> String {
        // What belongs to nothing would leave with the host's own address.
        let invalid = "ct state invalid drop\n";
        let udp = "meta l4proto udp drop\n";
        let inbound = format!("ct state established,related accept\niifname \"{UP}\" drop\n");
        match self {
            Self::Open => invalid.to_owned(),
            Self::NoInbound => format!("{invalid}{inbound}"),
            Self::NoUdp => format!("{invalid}{udp}{inbound}"),
        }
    }
}

/// Notes the ports from which hosts send, and leads what comes to one of them to its host, whoever
/// sent it.
fn full_cone() -> String {
    format!(
        "map ports {{\n\
         type inet_service : ipv4_addr . inet_service\n\
         flags dynamic,timeout\n\
         timeout 5m\n\
         size 65535\n\
         }}\n\
         chain arriving {{\n\
         type nat hook prerouting priority dstnat\n\
         iifname \"{UP}\" meta l4proto udp dnat to udp dport map @ports\n\
         }}\n\
         chain noting {{\n\
         type filter hook postrouting priority mangle\n\
         oifname \"{UP}\" meta l4proto udp update @ports {{ udp sport : ip saddr . udp sport }}\n\
         }}\n"
    )
}
