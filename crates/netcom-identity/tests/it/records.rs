//! Signed node records (T-12), and what they may hold.

use netcom_identity::{
    AddressError, DecodeError, KeyError, MAX_ADDRESS_BYTES, MAX_RECORD_BYTES,
    MAX_RECORD_LIFETIME_SECONDS, MAX_SERVICES, Metadata, MetadataError, Multiaddr, NodeDescription,
    NodeRecord, NodeRecordError, PeerId, Representation, RepresentationError, Role, Service,
    ServiceError, SignatureError, UnixTime, with_own_peer_id,
};

use crate::support::{
    END, Message, NOW, RECORD, chain, entry, hashed_peer_id, hex, key, signed, terms, vectors,
};

const PROOFS: &str = include_str!("../vectors/proofs.json");

fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

/// What key 2 says about itself in the vectors.
fn description() -> NodeDescription {
    let chain = hex(&vectors(PROOFS)["representations"][0]);
    let mut description = NodeDescription::new(9, END);
    description.role = Role::Server;
    description.addresses.push(address("/ip4/192.0.2.1/tcp/4001"));
    description.services.push(Service::new("example/chat", ["1", "2"]).expect("in bounds"));
    description.metadata.insert("region", "north").expect("in bounds");
    description.representations.push(Representation::decode(&chain).expect("a vector"));
    description
}

fn sign(description: NodeDescription) -> Result<NodeRecord, NodeRecordError> {
    NodeRecord::sign(&key(2), description)
}

/// A record of key 2 with the given fields after its name, sequence and expiry.
fn crafted(fields: impl FnOnce(Message) -> Message) -> Result<NodeRecord, NodeRecordError> {
    let start = Message::new().bytes(1, &key(2).peer_id().to_bytes()).number(2, 1).number(3, 2000);
    NodeRecord::decode(&signed(&key(2), RECORD, &fields(start).done()))
}

fn content(result: Result<NodeRecord, NodeRecordError>) -> DecodeError {
    match result {
        Err(NodeRecordError::Content(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_are_those_of_the_independent_implementation() {
    let record = sign(description()).unwrap();
    assert_eq!(record.encode(), hex(&vectors(PROOFS)["node_record"]));
    assert_eq!(NodeRecord::decode(&record.encode()).as_ref(), Ok(&record));
    assert_eq!(record.peer_id(), &key(2).peer_id());
    assert_eq!((record.sequence(), record.expires(), record.role()), (9, END, Role::Server));
    assert_eq!(record.services()[0].to_string(), "example/chat (1, 2)");
    assert_eq!(record.metadata().iter().collect::<Vec<_>>(), [("region", "north")]);
    let full = format!("/ip4/192.0.2.1/tcp/4001/p2p/{}", key(2).peer_id());
    assert_eq!(record.addresses(), [address(&full)]);
}

#[test]
fn a_record_proves_for_whom_its_node_speaks() {
    let record = sign(description()).unwrap();
    let alice = key(1).net_id();
    assert_eq!(record.represents(&alice, NOW, None).unwrap().netid, alice);
    let error = record.represents(&alice, NOW, Some(6)).unwrap_err();
    assert!(matches!(error, RepresentationError::Revoked { sequence: 5, minimum: 6, .. }));
    let error = record.represents(&key(9).net_id(), NOW, None).unwrap_err();
    assert_eq!(error, RepresentationError::NotClaimed { netid: key(9).net_id() });
    assert!(record.represents(&key(2).net_id(), NOW, None).is_ok(), "its own entity");
}

#[test]
fn records_expire_and_never_last_for_more_than_seven_days() {
    let record = sign(NodeDescription::new(1, END)).unwrap();
    assert_eq!(record.verify(UnixTime(1999)), Ok(()));
    for now in [END, UnixTime(u64::MAX)] {
        assert_eq!(record.verify(now), Err(NodeRecordError::Expired { expires: END, now }));
    }
    let expires = NOW.plus_seconds(MAX_RECORD_LIFETIME_SECONDS);
    assert_eq!(sign(NodeDescription::new(1, expires)).unwrap().verify(NOW), Ok(()));
    for expires in [expires.plus_seconds(1), UnixTime(u64::MAX)] {
        let result = sign(NodeDescription::new(1, expires)).unwrap().verify(NOW);
        assert_eq!(result, Err(NodeRecordError::TooLongLived { expires, now: NOW }));
    }
}

#[test]
fn a_higher_sequence_of_the_same_node_is_newer() {
    let record =
        |seed, sequence| NodeRecord::sign(&key(seed), NodeDescription::new(sequence, END)).unwrap();
    assert!(record(2, 5).is_newer_than(&record(2, 4)));
    assert!(!record(2, 5).is_newer_than(&record(2, 5)));
    assert!(!record(2, 4).is_newer_than(&record(2, 5)));
    assert!(!record(3, 5).is_newer_than(&record(2, 4)), "another node's");
    assert!(record(2, u64::MAX).is_newer_than(&record(2, 0)));
}

#[test]
fn each_changed_bit_and_each_truncation_is_refused() {
    let encoded = sign(description()).unwrap().encode();
    for bit in 0..encoded.len() * 8 {
        let mut changed = encoded.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(NodeRecord::decode(&changed).is_err(), "bit {bit}");
    }
    for end in 0..encoded.len() {
        assert!(NodeRecord::decode(&encoded[..end]).is_err(), "{end}");
    }
}

#[test]
fn only_the_node_itself_signs_and_only_for_this_use() {
    let body = Message::new().bytes(1, &key(2).peer_id().to_bytes()).number(2, 1).done();
    let mismatch = Err(NodeRecordError::Signature(SignatureError::Mismatch));
    assert!(NodeRecord::decode(&signed(&key(2), RECORD, &body)).is_ok());
    assert_eq!(NodeRecord::decode(&signed(&key(3), RECORD, &body)), mismatch);
    for context in ["", "netcom/representation/1", "netcom/node-record/2"] {
        assert_eq!(NodeRecord::decode(&signed(&key(2), context, &body)), mismatch);
    }
    let cut = Message::new().bytes(1, &body).bytes(2, &[0; 63]).done();
    let length = SignatureError::Length { length: 63 };
    assert_eq!(NodeRecord::decode(&cut), Err(NodeRecordError::Signature(length)));
}

#[test]
fn nodes_whose_peer_id_hides_their_key_have_no_records() {
    let body = Message::new().bytes(1, &hashed_peer_id().to_bytes()).number(2, 1).done();
    let result = NodeRecord::decode(&signed(&key(2), RECORD, &body));
    assert_eq!(result, Err(NodeRecordError::Key(KeyError::Hashed)));
    let body = Message::new().bytes(1, &[1, 2, 3]).done();
    let error = content(NodeRecord::decode(&signed(&key(2), RECORD, &body)));
    assert!(matches!(error, DecodeError::PeerId(_)));
}

#[test]
fn addresses_get_the_own_peer_id_and_no_other() {
    let own = key(2).peer_id();
    let relayed = format!("/ip4/192.0.2.9/tcp/1/p2p/{}/p2p-circuit", key(5).peer_id());
    let mut description = NodeDescription::new(1, END);
    description.addresses =
        vec![address("/ip6/::1/udp/4001/quic-v1"), address(&relayed), address("/memory/7")];
    let record = sign(description).unwrap();
    assert!(record.addresses().iter().all(|a| a.to_string().ends_with(&format!("/p2p/{own}"))));

    let mut description = NodeDescription::new(1, END);
    description.addresses.push(address(&format!("/memory/7/p2p/{}", key(3).peer_id())));
    let error = content(sign(description));
    assert!(matches!(error, DecodeError::Address(AddressError::OtherPeer { .. })));
}

#[test]
fn received_addresses_are_checked_one_by_one() {
    let own = key(2).peer_id();
    let refusal = |bytes: &[u8]| match content(crafted(|message| message.bytes(5, bytes))) {
        DecodeError::Address(error) => error,
        other => panic!("{other}"),
    };
    let full = with_own_peer_id(&address("/ip4/127.0.0.1/tcp/1"), &own).unwrap().to_vec();
    assert!(crafted(|message| message.bytes(5, &full)).is_ok());
    let bare = address("/ip4/127.0.0.1/tcp/1").to_vec();
    assert_eq!(refusal(&bare), AddressError::NoPeer);
    assert_eq!(refusal(&address(&format!("/p2p/{own}")).to_vec()), AddressError::NoTransport);
    assert_eq!(refusal(&[]), AddressError::NoTransport);
    assert!(matches!(refusal(&[0xff; 5]), AddressError::Malformed { .. }));
    assert_eq!(refusal(&[4; 257]), AddressError::TooLong);
    // The name "a/tcp/1", which as text reads as two components.
    let two_readings = [&[54, 7][..], b"a/tcp/1", &full[5..]].concat();
    assert_eq!(refusal(&two_readings), AddressError::Ambiguous);
    let escape = [&[54, 3][..], b"\x1b[m", &full[5..]].concat();
    assert_eq!(refusal(&escape), AddressError::Ambiguous);
    let twice = crafted(|message| message.bytes(5, &full).bytes(5, &full));
    assert_eq!(content(twice), DecodeError::Address(AddressError::Repeated));
}

#[test]
fn an_address_whose_text_is_too_long_to_be_read_is_refused_in_binary_too() {
    let own = key(2).peer_id();
    let full = with_own_peer_id(&address("/ip4/127.0.0.1/tcp/1"), &own).unwrap().to_vec();
    let (start, peer) = full.split_at(8);
    // `/ipcidr/255` in two bytes.
    let with_ranges = |count| [start, &[43, 255].repeat(count), peer].concat();
    assert!(with_ranges(100).len() <= MAX_ADDRESS_BYTES);
    let taken = |count| crafted(|message| message.bytes(5, &with_ranges(count)));
    assert!(taken(80).is_ok());
    assert_eq!(content(taken(100)), DecodeError::Address(AddressError::TooLong));
}

#[test]
fn each_count_is_capped_at_both_ends() {
    let mut description = NodeDescription::new(1, END);
    description.addresses = (1..=32).map(|port| address(&format!("/memory/{port}"))).collect();
    assert!(sign(description.clone()).is_ok());
    description.addresses.push(address("/memory/99"));
    let error = content(sign(description.clone()));
    assert!(matches!(error, DecodeError::TooMany { what: "addresses", count: 33, limit: 32 }));
    let error = content(crafted(|start| {
        let own = key(2).peer_id();
        (0..33)
            .map(|port| address(&format!("/memory/{port}/p2p/{own}")))
            .fold(start, |m, a| m.bytes(5, &a.to_vec()))
    }));
    assert!(matches!(error, DecodeError::TooMany { what: "addresses", .. }));

    let mut description = NodeDescription::new(1, END);
    let service = |index: usize| Service::new(format!("s{index}"), ["1"]).unwrap();
    description.services = (0..MAX_SERVICES).map(service).collect();
    assert!(sign(description.clone()).is_ok());
    description.services.push(service(99));
    assert!(matches!(content(sign(description)), DecodeError::TooMany { what: "services", .. }));
    let error = content(crafted(|start| (0..2000).fold(start, |m, _| m.bytes(6, &[]))));
    assert!(matches!(error, DecodeError::TooMany { what: "services", count: 2000, .. }));

    let mut description = NodeDescription::new(1, END);
    description.representations = vec![chain(0); 5];
    let error = content(sign(description));
    assert!(matches!(error, DecodeError::TooMany { what: "representations", .. }));
    let error = content(crafted(|start| (0..5).fold(start, |m, _| m.bytes(8, &[]))));
    assert!(matches!(error, DecodeError::TooMany { what: "representations", .. }));
    let error = content(crafted(|start| (0..17).fold(start, |m, _| m.bytes(7, &[]))));
    assert_eq!(error, DecodeError::Metadata(MetadataError::TooMany));
}

#[test]
fn records_longer_than_their_bound_are_refused_before_they_are_read() {
    let error = content(NodeRecord::decode(&vec![0xff; MAX_RECORD_BYTES + 1]));
    assert!(matches!(error, DecodeError::TooLong { length: 16385, .. }));
    let mut metadata = Metadata::new();
    for index in 0..4 {
        metadata.insert(&index.to_string(), &"x".repeat(250)).unwrap();
    }
    let mut description = description();
    let through = |seed: u8| {
        let terms = |left| terms().metadata(metadata.clone()).delegations(left);
        Representation::issue(&key(seed), key(3).peer_id(), &terms(2))
            .delegate(&key(3), key(4).peer_id(), &terms(1))
            .unwrap()
            .delegate(&key(4), key(2).peer_id(), &terms(0))
            .unwrap()
    };
    description.representations = (10..14).map(through).collect();
    description.metadata = metadata;
    for port in 1..20 {
        description.addresses.push(address(&format!("/dns/{}/tcp/{port}", "x".repeat(180))));
    }
    assert!(matches!(content(sign(description)), DecodeError::TooLong { .. }));
}

#[test]
fn representations_of_other_nodes_are_refused() {
    let mut description = NodeDescription::new(1, END);
    let subject = key(3).peer_id();
    description.representations.push(Representation::issue(&key(1), subject, &terms()));
    let error = Err(NodeRecordError::ForeignRepresentation { subject });
    assert_eq!(sign(description.clone()), error);
    let foreign = description.representations[0].encode();
    assert_eq!(crafted(|message| message.bytes(8, &foreign)), error);
    assert!(matches!(
        content(crafted(|message| message.bytes(8, &foreign[1..]))),
        DecodeError::Malformed { .. }
    ));
}

#[test]
fn services_are_named_once_and_within_bounds() {
    let service = |name: &str, versions: &[&str]| Service::new(name, versions.iter().copied());
    assert_eq!(service("", &["1"]), Err(ServiceError::Name));
    assert_eq!(service("a b", &["1"]), Err(ServiceError::Name));
    assert_eq!(service(&"x".repeat(101), &["1"]), Err(ServiceError::Name));
    assert!(service(&"x".repeat(100), &["1"]).is_ok());
    assert_eq!(service("a", &[]), Err(ServiceError::Version));
    assert_eq!(service("a", &["1", "1"]), Err(ServiceError::Version));
    assert_eq!(service("a", &["\u{e9}"]), Err(ServiceError::Version));
    assert_eq!(service("a", &["1"; 9]), Err(ServiceError::Version));
    let nine = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(service("a", &nine), Err(ServiceError::TooManyVersions));
    assert_eq!(service("a", &nine[..8]).unwrap().versions().len(), 8);

    let mut description = NodeDescription::new(1, END);
    description.services = vec![service("a", &["1"]).unwrap(), service("a", &["2"]).unwrap()];
    assert_eq!(sign(description), Err(NodeRecordError::Service(ServiceError::Repeated)));
    let nameless = Message::new().bytes(2, b"1").done();
    let result = crafted(|message| message.bytes(6, &nameless));
    assert_eq!(result, Err(NodeRecordError::Service(ServiceError::Name)));
}

#[test]
fn metadata_is_bounded_and_printable() {
    let mut metadata = Metadata::new();
    assert!(metadata.is_empty());
    assert_eq!(metadata.insert("", "x"), Err(MetadataError::EmptyKey));
    assert_eq!(metadata.insert(&"k".repeat(65), ""), Err(MetadataError::TooLong { limit: 64 }));
    assert_eq!(metadata.insert("k", &"v".repeat(257)), Err(MetadataError::TooLong { limit: 256 }));
    assert_eq!(metadata.insert("k\n", ""), Err(MetadataError::ControlCharacter));
    assert_eq!(metadata.insert("k", "\u{9b}"), Err(MetadataError::ControlCharacter));
    assert!(metadata.is_empty(), "nothing was changed");

    for index in 0..16 {
        metadata.insert(&format!("key{index:02}"), "x").unwrap();
    }
    assert_eq!(metadata.insert("one more", "x"), Err(MetadataError::TooMany));
    metadata.insert("key00", "y").unwrap();
    assert_eq!((metadata.get("key00"), metadata.len()), (Some("y"), 16));

    let mut metadata = Metadata::new();
    for index in 0..3 {
        metadata.insert(&index.to_string(), &"x".repeat(256)).unwrap();
    }
    assert_eq!(metadata.insert("3", &"x".repeat(253)), Err(MetadataError::TooLong { limit: 1024 }));
    metadata.insert("3", &"x".repeat(252)).unwrap();
    metadata.insert("3", "short").unwrap();

    let twice = entry("a", "1");
    let error = content(crafted(|message| message.bytes(7, &twice).bytes(7, &twice)));
    assert_eq!(error, DecodeError::Metadata(MetadataError::Repeated));
}

#[test]
fn each_role_is_kept_and_later_ones_are_peers() {
    for role in [Role::Peer, Role::Server, Role::Client] {
        let mut description = NodeDescription::new(1, END);
        description.role = role;
        let record = sign(description).unwrap();
        assert_eq!(NodeRecord::decode(&record.encode()).unwrap().role(), role);
        assert!(["peer", "server", "client"].contains(&role.to_string().as_str()));
    }
    for unknown in [0, 4, u64::from(u32::MAX)] {
        let record = crafted(|message| message.number(4, unknown)).unwrap();
        assert_eq!(record.role(), Role::Peer);
    }
}

#[test]
fn fields_of_later_versions_are_kept_under_the_signature() {
    let record = crafted(|message| message.bytes(99, b"later")).unwrap();
    assert_eq!(NodeRecord::decode(&record.encode()), Ok(record));
}

#[test]
fn an_address_without_a_transport_cannot_be_completed() {
    let own: PeerId = key(2).peer_id();
    let complete = |text: &str| with_own_peer_id(&address(text), &own);
    assert_eq!(complete(&format!("/p2p/{own}")), Err(AddressError::NoTransport));
    assert_eq!(with_own_peer_id(&Multiaddr::empty(), &own), Err(AddressError::NoTransport));
    let long = format!("/dns4/{}/tcp/1", "x".repeat(250));
    assert_eq!(complete(&long), Err(AddressError::TooLong));
    let just_too_long = format!("/dns4/{}/tcp/1", "x".repeat(220));
    assert_eq!(complete(&just_too_long), Err(AddressError::TooLong), "with the PeerId it is");
}

#[test]
fn debug_texts_are_short_enough_for_a_log() {
    let record = sign(description()).unwrap();
    let text = format!("{record:?}");
    assert!(text.contains("role: Server"));
    assert!(text.contains(&key(2).peer_id().to_string()) && text.contains("Representation {"));
    assert!(!text.contains("signature") && text.len() < 1000, "{text}");
    assert_eq!(format!("{:?}", terms()).matches("{Peer, Server, Client}").count(), 1);
}

#[test]
fn times_stop_at_both_ends() {
    assert_eq!(UnixTime(5).minus_seconds(6), UnixTime(0));
    assert_eq!(UnixTime(5).plus_seconds(u64::MAX), UnixTime(u64::MAX));
    assert_eq!((NOW.seconds_since(END), END.seconds_since(NOW)), (0, 500));
    assert_eq!(END.to_string(), "2000 s after 1970");
}
