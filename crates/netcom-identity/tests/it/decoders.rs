//! What strangers send: no decoder panics, and what is written is read back (T-1 to T-4).

use netcom_identity::{
    MAX_RECORD_BYTES, MAX_REPRESENTATION_BYTES, Metadata, Multiaddr, NetId, NodeDescription,
    NodeRecord, PublicKey, Representation, Role, Roles, SecretKey, Service, Target, Terms, Ticket,
    UnixTime, certificate, parse_peer_id, peer_id_from_bytes,
};
use proptest::{collection::vec, prelude::*};

use crate::support::{END, chain, key, last, terms};

/// Every decoder of the crate; what they return does not matter here.
fn decode_all(bytes: &[u8]) {
    let _ = PublicKey::from_protobuf(bytes);
    let _ = NetId::from_bytes(bytes);
    let _ = peer_id_from_bytes(bytes);
    if let Ok(chain) = Representation::decode(bytes) {
        assert!(chain.encode().len() <= MAX_REPRESENTATION_BYTES);
        assert_eq!(Representation::decode(&chain.encode()).as_ref(), Ok(&chain));
        let _ = chain.verify(&chain.subject(), UnixTime(1500), Some(0));
    }
    if let Ok(record) = NodeRecord::decode(bytes) {
        assert_eq!(NodeRecord::decode(&record.encode()), Ok(record));
    }
    let _ = certificate::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        parse_all(text);
    }
}

fn parse_all(text: &str) {
    let _ = text.parse::<NetId>();
    let _ = text.parse::<Ticket>();
    let _ = parse_peer_id(text);
    if let Ok(target) = text.parse::<Target>() {
        assert_eq!(target.to_string().parse(), Ok(target), "{text}");
    }
}

/// Valid encodings of each kind, to be damaged.
fn encodings() -> Vec<Vec<u8>> {
    let mut description = NodeDescription::new(1, END);
    description.addresses.push("/ip4/127.0.0.1/tcp/1".parse().expect("a multiaddr"));
    description.services.push(Service::new("a", ["1"]).expect("in bounds"));
    description.representations.push(chain(0));
    let record = NodeRecord::sign(&key(2), description).expect("in bounds");
    vec![
        key(1).public_key().to_protobuf(),
        key(1).net_id().to_bytes(),
        key(1).peer_id().to_bytes(),
        chain(0).encode(),
        chain(2).encode(),
        record.encode(),
        certificate::encode(&[chain(0), chain(1)]).expect("in bounds"),
        key(1).net_id().to_string().into_bytes(),
        key(1).peer_id().to_string().into_bytes(),
        Ticket::new(last(0), record.addresses().to_vec()).expect("in bounds").to_string().into(),
    ]
}

#[test]
fn each_truncation_of_each_encoding_is_refused_by_its_decoder() {
    let [public, netid, peer, one, three, record, certificate, ..] = &encodings()[..] else {
        panic!("there are ten")
    };
    type Case<'a> = (&'a [u8], fn(&[u8]) -> bool);
    let refused: [Case<'_>; 7] = [
        (public, |bytes| PublicKey::from_protobuf(bytes).is_err()),
        (netid, |bytes| NetId::from_bytes(bytes).is_err()),
        (peer, |bytes| peer_id_from_bytes(bytes).is_err()),
        (one, |bytes| Representation::decode(bytes).is_err()),
        (three, |bytes| Representation::decode(bytes).is_err()),
        (record, |bytes| NodeRecord::decode(bytes).is_err()),
        (certificate, |bytes| certificate::decode(bytes).is_err()),
    ];
    for (encoding, is_refused) in refused {
        assert!(!is_refused(encoding));
        for end in 0..encoding.len() {
            assert!(is_refused(&encoding[..end]), "{end}");
        }
    }
}

#[test]
fn truncated_and_extended_encodings_panic_in_no_decoder() {
    for encoding in encodings() {
        for end in 0..=encoding.len() {
            decode_all(&encoding[..end]);
            decode_all(&encoding[end..]);
        }
        decode_all(&encoding.repeat(2));
    }
}

#[test]
fn lengths_beyond_the_input_are_refused_without_allocation() {
    // Field 1 or 2, of a length that no input has.
    for field in [0x0a, 0x12, 0x22, 0x2a, 0x42] {
        for length in
            [&[0xff, 0xff, 0xff, 0xff, 0x07][..], &[0xff; 9], &[0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            let claim = [&[field][..], length, &[0x01, 0x00]].concat();
            decode_all(&claim);
            assert!(Representation::decode(&claim).is_err());
            assert!(NodeRecord::decode(&claim).is_err());
            assert!(certificate::decode(&claim).is_err());
        }
    }
}

#[test]
fn nested_groups_end_at_the_depth_limit() {
    // Field 15, start of group: as deep as the bounds allow.
    for length in [100, 3000, MAX_REPRESENTATION_BYTES, MAX_RECORD_BYTES] {
        decode_all(&vec![0x7b; length]);
    }
}

fn metadata() -> impl Strategy<Value = Metadata> {
    vec(("[a-z]{1,20}", "[^\\p{C}]{0,20}"), 0..8).prop_map(|entries| {
        let mut metadata = Metadata::new();
        for (key, value) in entries {
            metadata.insert(&key, &value).expect("in bounds");
        }
        metadata
    })
}

fn roles() -> impl Strategy<Value = Roles> {
    vec(prop_oneof![Just(Role::Peer), Just(Role::Server), Just(Role::Client)], 0..4)
        .prop_map(|roles| roles.into_iter().collect())
}

prop_compose! {
    fn any_terms()(
        sequence: u64, start: u64, end: u64, roles in roles(), metadata in metadata(),
    ) -> Terms {
        Terms::new(sequence, UnixTime(start), UnixTime(end)).roles(roles).metadata(metadata)
    }
}

fn address() -> impl Strategy<Value = Multiaddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| {
            let ip = std::net::Ipv4Addr::from(ip);
            format!("/ip4/{ip}/tcp/{port}").parse().expect("valid")
        }),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| {
            let ip = std::net::Ipv6Addr::from(ip);
            format!("/ip6/{ip}/udp/{port}/quic-v1").parse().expect("valid")
        }),
        ("[a-z%,.=]{1,30}", any::<u16>()).prop_map(|(name, port)| format!(
            "/dns/{name}/tcp/{port}"
        )
        .parse()
        .expect("valid")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None,
        ..Default::default() })]

    #[test]
    fn any_bytes_panic_in_no_decoder(bytes in vec(any::<u8>(), 0..600)) {
        decode_all(&bytes);
    }

    #[test]
    fn damaged_encodings_panic_in_no_decoder(
        choice in 0_usize..10, changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        attached in vec(any::<u8>(), 0..20),
    ) {
        let mut encoding = encodings().swap_remove(choice);
        encoding.extend(attached);
        for (index, byte) in changes {
            let place = index.index(encoding.len());
            encoding[place] = byte;
        }
        decode_all(&encoding);
    }

    #[test]
    fn any_text_panics_in_no_parser(text in "\\PC{0,100}") {
        parse_all(&text);
    }

    #[test]
    fn text_like_a_target_panics_in_no_parser(
        text in "(n1|12D3KooW|Qm|netcom:|/ip4/|/dns/)?[a-zA-Z0-9./:,=%-]{0,80}",
    ) {
        parse_all(&text);
        parse_all(&format!("/{text}/p2p/{}", key(2).peer_id()));
    }

    #[test]
    fn keys_and_ids_round_trip(seed: [u8; 32]) {
        let key = SecretKey::from_bytes(&seed);
        let (netid, peer_id) = (key.net_id(), key.peer_id());
        prop_assert_eq!(netid.to_string().len(), 61);
        prop_assert_eq!(netid.to_string().parse(), Ok(netid));
        prop_assert_eq!(NetId::from_bytes(&netid.to_bytes()), Ok(netid));
        prop_assert_eq!(NetId::try_from(&peer_id), Ok(netid));
        prop_assert_eq!(parse_peer_id(&peer_id.to_string()), Ok(peer_id));
        prop_assert_eq!(peer_id_from_bytes(&peer_id.to_bytes()), Ok(peer_id));
        let public = key.public_key();
        prop_assert_eq!(PublicKey::from_protobuf(&public.to_protobuf()), Ok(public));
    }

    #[test]
    fn signatures_hold_for_their_context_and_message_alone(
        seed: [u8; 32], context in "[ -~]{0,20}", message in vec(any::<u8>(), 0..100), other: u8,
    ) {
        let key = SecretKey::from_bytes(&seed);
        let signature = key.sign(&context, &message);
        let public = key.public_key();
        prop_assert!(public.verify(&context, &message, &signature).is_ok());
        let longer = [&message[..], &[other]].concat();
        prop_assert!(public.verify(&context, &longer, &signature).is_err());
        let other_context = format!("{context}x");
        prop_assert!(public.verify(&other_context, &message, &signature).is_err());
    }

    #[test]
    fn representations_round_trip_whatever_their_terms(first in any_terms(), now: u64) {
        let proof = Representation::issue(&key(1), last(0), &first);
        prop_assert_eq!(Representation::decode(&proof.encode()), Ok(proof.clone()));
        if let Ok(represents) = proof.verify(&last(0), UnixTime(now), Some(proof.sequence())) {
            prop_assert!(UnixTime(now) < represents.expires);
            prop_assert_eq!(represents.netid, key(1).net_id());
        }
    }

    #[test]
    fn extensions_round_trip(counts in vec(0_u8..=2, 0..=4)) {
        let chains: Vec<_> = counts.into_iter().map(chain).collect();
        let value = certificate::encode(&chains).unwrap();
        prop_assert_eq!(certificate::decode(&value).unwrap().representations, chains);
    }

    #[test]
    fn records_and_tickets_round_trip(
        addresses in vec(address(), 0..8), metadata in metadata(), sequence: u64, expires: u64,
        versions in vec("[!-~]{1,10}", 1..4),
    ) {
        let mut description = NodeDescription::new(sequence, UnixTime(expires));
        description.addresses = addresses.clone();
        description.addresses.sort();
        description.addresses.dedup();
        description.metadata = metadata;
        description.services.extend(Service::new("a", versions));
        let ticket = Ticket::new(last(0), description.addresses.clone()).unwrap();
        let record = NodeRecord::sign(&key(2), description).unwrap();
        prop_assert_eq!(record.addresses(), ticket.addresses());
        prop_assert_eq!(NodeRecord::decode(&record.encode()), Ok(record));
        prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
}

#[test]
fn terms_are_compared_by_what_they_say() {
    assert_eq!(terms(), terms().delegations(0));
    assert_eq!(terms().delegations(2), terms().delegations(200), "two are the most there are");
}
