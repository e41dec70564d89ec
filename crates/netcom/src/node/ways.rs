//! Which addresses of a peer are ways of their own, for sessions that use several links.

use std::{collections::HashSet, net::IpAddr};

use netcom_identity::Multiaddr;
use netcom_transport::leads_alike;

use super::reach::ip;
use crate::config::Links;

/// How many links a session uses to a peer with these addresses.
pub(crate) fn most_links(policy: Links, addresses: &[Multiaddr]) -> usize {
    let ips: HashSet<IpAddr> = addresses.iter().filter_map(ip).collect();
    match policy {
        // Two kinds of link to one address have the same cable as a rule.
        Links::Stripe => ips.len().clamp(1, MAX_LINKS),
        Links::Mirror => ips.len().clamp(STANDBY_LINKS, MAX_LINKS),
        _ => STANDBY_LINKS,
    }
}

/// The addresses among `all` that are ways of their own beside those in use.
pub(crate) fn further(
    policy: Links,
    mut all: Vec<Multiaddr>,
    in_use: &[&Multiaddr],
) -> Vec<Multiaddr> {
    let used: HashSet<IpAddr> = in_use.iter().copied().filter_map(ip).collect();
    let is_elsewhere = |address: &Multiaddr| ip(address).is_some_and(|ip| !used.contains(&ip));
    let has_elsewhere = all.iter().any(is_elsewhere);
    match policy {
        Links::Stripe => all.retain(is_elsewhere),
        Links::Mirror if has_elsewhere => all.retain(is_elsewhere),
        _ => all.retain(|address| !in_use.iter().any(|used| leads_alike(address, used))),
    }
    all
}

/// Links of a session with a standby.
const STANDBY_LINKS: usize = 2;
/// Links of a session that uses several at once: each takes a share of its own where they meet at
/// one bottleneck.
const MAX_LINKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn stripes_take_each_address_once_and_mirrors_another_kind_where_there_is_one_address() {
        let one = addresses(&["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/udp/2/quic-v1"]);
        assert_eq!(most_links(Links::Stripe, &one), 1);
        assert_eq!(most_links(Links::Mirror, &one), 2);
        assert_eq!(most_links(Links::Standby, &one), 2);
        assert!(further(Links::Stripe, one.clone(), &[&one[0]]).is_empty());
        assert_eq!(further(Links::Mirror, one.clone(), &[&one[0]]), one[1..].to_vec());

        let two = addresses(&["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/2", "/ip6/fd::1/tcp/3"]);
        for policy in [Links::Stripe, Links::Mirror] {
            assert_eq!(most_links(policy, &two), 2);
            assert_eq!(further(policy, two.clone(), &[&two[0]]), two[2..].to_vec());
        }
        let many: Vec<_> = (1..9).map(|n| format!("/ip4/10.0.0.{n}/tcp/1")).collect();
        let many = addresses(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(most_links(Links::Stripe, &many), 4);
    }
}
