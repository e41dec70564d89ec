//! What the fuzz targets run. A violated rule panics, which is what a fuzzer looks for; nothing
//! else calls this. Each function tells whether the input was accepted, or that something came
//! of it.

use std::net::{IpAddr, Ipv4Addr};

use netcom_identity::{Multiaddr, SecretKey};

use crate::{address::Endpoint, half_open::HalfOpen, record::record_length, tcp::Language};
pub use crate::{certificate::fuzzing::certificate, record::fuzzing::records};

/// Reads `input` as the first bytes of a stranger, and tells whether a native peer sends them.
///
/// # Panics
///
/// When what follows changes what the first bytes were.
#[must_use]
pub fn first_bytes(input: &[u8]) -> bool {
    let language = Language::of(input);
    let Some((_, rest)) = input.split_first() else { return false };
    let is_tls = language == Language::Tls;
    assert!(!is_tls || Language::of(&input[..1]) == Language::Tls);
    assert_eq!(Language::of(&[&input[..input.len().min(2)], rest].concat()), language);
    if let Ok(Some(length)) = record_length(input) {
        assert!((5..=input.len()).contains(&length));
    }
    is_tls
}

/// Reads `input` as an address to dial or to listen at, once as text and once in binary.
///
/// # Panics
///
/// When the address, written again, leads elsewhere.
#[must_use]
pub fn endpoint(input: &[u8]) -> bool {
    let text = str::from_utf8(input).ok().and_then(|text| text.parse::<Multiaddr>().ok());
    let binary = Multiaddr::try_from(input.to_vec()).ok();
    let mut is_taken = false;
    for address in text.iter().chain(&binary) {
        match Endpoint::parse(address) {
            Ok((endpoint, peer)) => {
                let bare = endpoint.to_multiaddr();
                assert_eq!(Endpoint::parse(&bare), Ok((endpoint, None)), "{address}");
                if let Some(peer) = peer {
                    assert_eq!(Endpoint::for_peer(address, &peer), Ok(endpoint));
                }
                is_taken = true;
            }
            Err(error) => drop(error.to_string()),
        }
    }
    is_taken
}

/// Takes handshakes into the table of those under way and out of it, as `input` says.
///
/// # Panics
///
/// When the table passes its bounds, loses count, or gives a place twice.
#[must_use]
pub fn half_open(input: &[u8]) -> bool {
    let mut table = HalfOpen::new(TOTAL, PER_PREFIX);
    let mut present = Vec::new();
    let mut evictions = 0;
    for (number, pair) in input.chunks_exact(2).enumerate() {
        let &[what, which] = pair else { continue };
        if what & 1 == 0 {
            let from = IpAddr::V4(Ipv4Addr::new(what / 2 % 3 * 60 + 7, 0, what / 6, which));
            let (id, evicted) = table.insert(from, number);
            if let Some(evicted) = evicted {
                let known = present.iter().position(|(_, known)| *known == evicted);
                present.remove(known.expect("whoever goes was there"));
                evictions += 1;
            }
            present.push((id, number));
        } else if !present.is_empty() {
            let (id, known) = present.remove(usize::from(which) % present.len());
            assert_eq!(table.remove(id), Some(known));
            assert_eq!(table.remove(id), None);
        }
        assert_eq!(table.len(), present.len());
        assert!(table.len() <= TOTAL);
    }
    evictions > 0
}

/// First inputs: the target and what it runs.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
    let mut seeds = crate::certificate::fuzzing::seeds();
    seeds.extend(crate::record::fuzzing::seeds());
    for first in [
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0][..],
        b"GET / HTTP/1.1\r\n",
        b"\x13/multistream/1.0.0\n",
        b"\x13",
        b"\0\0\0\x2a",
    ] {
        seeds.push(("first_bytes", first.to_vec()));
    }
    for text in [
        "/ip4/192.0.2.1/tcp/4001",
        "/ip6/2001:db8::1/udp/4001/quic-v1",
        "/memory/7",
        "/dns4/example.org/tcp/443/wss",
    ] {
        for address in [text.to_owned(), format!("{text}/p2p/{peer}")] {
            let binary = address.parse::<Multiaddr>().expect("an address").to_vec();
            seeds.extend([("endpoint", address.into_bytes()), ("endpoint", binary)]);
        }
    }
    seeds.push(("half_open", (0..200).map(|number: u8| number.wrapping_mul(37)).collect()));
    seeds
}

const TOTAL: usize = 24;
const PER_PREFIX: usize = 6;
