//! Which addresses somebody unknown may give.

use multiaddr::Protocol;
use netcom_identity::Multiaddr;

use super::public::is_public;

/// Leaves out what is no place in the public internet: a document that anybody can publish has no
/// business making this node dial into its own networks.
pub(crate) fn public_hints(hints: &mut Vec<Multiaddr>) {
    hints.retain(is_public_place);
}

fn is_public_place(address: &Multiaddr) -> bool {
    address.iter().all(|part| match part {
        Protocol::Ip4(address) => is_public(address.into()),
        Protocol::Ip6(address) => is_public(address.into()),
        // Nobody looks up the names in hints, and they could lead anywhere.
        Protocol::Dns(_)
        | Protocol::Dns4(_)
        | Protocol::Dns6(_)
        | Protocol::Dnsaddr(_)
        | Protocol::Ip6zone(_)
        | Protocol::Memory(_)
        | Protocol::Unix(_) => false,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_whoever_reads_a_document_is_no_hint() {
        let peer = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
        for (place, is_kept) in [
            ("/ip4/1.1.1.1/tcp/4001", true),
            ("/ip6/2606:4700::1111/udp/4001/quic-v1", true),
            ("/dns4/node.example.org/tcp/4001", false),
            ("/dnsaddr/example.org", false),
            ("/ip4/127.0.0.1/tcp/631", false),
            ("/ip4/192.168.0.1/tcp/80", false),
            ("/ip4/169.254.169.254/tcp/80", false),
            ("/ip6/::1/tcp/4001", false),
            ("/ip6/fe80::1/tcp/4001", false),
            ("/ip6/::ffff:10.0.0.1/tcp/4001", false),
            ("/dns/localhost/tcp/4001", false),
            ("/dns4/printer.local/tcp/4001", false),
            ("/memory/1", false),
        ] {
            let mut hints = vec![format!("{place}/p2p/{peer}").parse().unwrap()];
            public_hints(&mut hints);
            assert_eq!(hints.len(), usize::from(is_kept), "{place}");
        }
    }
}
