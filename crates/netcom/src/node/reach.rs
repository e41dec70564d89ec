//! Which of a node's addresses are worth telling others.

use std::net::IpAddr;

use netcom_identity::Multiaddr;

/// For whom a node's addresses are meant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Whoever can use them.
    #[default]
    Any,
    /// This host and its networks.
    Local,
    /// The internet.
    Cloud,
}

/// How far an IP address carries.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Range {
    Host,
    Network,
    Internet,
}

impl Reach {
    /// Chooses what to tell: nothing that means something in this process only, and nothing of
    /// this host alone where others are meant too.
    pub(crate) fn choose(self, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let ranged = addresses.into_iter().filter_map(|address| {
            let range = range(ip(&address)?);
            let fits = match self {
                Self::Any => true,
                Self::Local => range != Range::Internet,
                Self::Cloud => range == Range::Internet,
            };
            fits.then_some((range, address))
        });
        let ranged: Vec<(Range, Multiaddr)> = ranged.collect();
        let widest = ranged.iter().map(|(range, _)| *range).max();
        let is_told = |range| range != Range::Host || widest == Some(Range::Host);
        let mut chosen: Vec<Multiaddr> = Vec::new();
        for (range, address) in ranged {
            if is_told(range) && !chosen.contains(&address) {
                chosen.push(address);
            }
        }
        chosen
    }
}

/// The address's first part, if it is an IP address.
pub(super) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    // Text, because the type of the parts is not part of our API.
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    match parts.next()? {
        "ip4" | "ip6" => parts.next()?.parse().ok(),
        _ => None,
    }
}

fn range(ip: IpAddr) -> Range {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => Range::Host,
        IpAddr::V6(ip) if ip.is_loopback() => Range::Host,
        IpAddr::V4(ip) => {
            // RFC 6598: addresses behind a provider's NAT.
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            let is_near = ip.is_private() || ip.is_link_local() || is_shared;
            if is_near { Range::Network } else { Range::Internet }
        }
        IpAddr::V6(ip) => {
            let is_near = ip.is_unique_local() || ip.is_unicast_link_local();
            if is_near { Range::Network } else { Range::Internet }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(reach: Reach, texts: &[&str]) -> Vec<String> {
        let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
        reach.choose(addresses).iter().map(ToString::to_string).collect()
    }

    const ALL: [&str; 7] = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/192.168.1.2/tcp/1",
        "/ip4/8.8.8.8/udp/1/quic-v1",
        "/ip4/100.64.0.1/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip6/2001:4860::1/tcp/1",
        "/memory/7",
    ];

    #[test]
    fn local_nodes_tell_near_addresses_and_cloud_nodes_global_ones() {
        assert_eq!(choose(Reach::Local, &ALL), ["/ip4/192.168.1.2/tcp/1", "/ip4/100.64.0.1/tcp/1"]);
        assert_eq!(
            choose(Reach::Cloud, &ALL),
            ["/ip4/8.8.8.8/udp/1/quic-v1", "/ip6/2001:4860::1/tcp/1"]
        );
        assert_eq!(choose(Reach::Any, &ALL).len(), 4);
    }

    #[test]
    fn loopback_is_told_only_where_there_is_nothing_else() {
        assert_eq!(choose(Reach::Any, &ALL[..1]), ["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(choose(Reach::Local, &ALL[..1]), ["/ip4/127.0.0.1/tcp/1"]);
        assert!(choose(Reach::Cloud, &ALL[..2]).is_empty());
        assert!(choose(Reach::Any, &ALL[6..]).is_empty());
    }
}
