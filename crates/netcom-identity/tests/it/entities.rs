//! Entity documents: what an entity says about itself, and what is refused as such.

use netcom_identity::{
    AddressError, DecodeError, EntityDescription, EntityDocument, EntityDocumentError,
    MAX_ENTITY_BYTES, MAX_ENTITY_LIFETIME_SECONDS, MAX_ENTITY_NAMES, Metadata, Multiaddr, NetId,
    SignatureError, UnixTime,
};

use crate::support::{END, Message, NOW, RECORD, key, signed};

const CONTEXT: &str = "netcom/entity-document/1";

fn hint(text: &str) -> Multiaddr {
    format!("{text}/p2p/{}", key(2).peer_id()).parse().expect("a multiaddr")
}

fn description() -> EntityDescription {
    let mut description = EntityDescription::new(9, END);
    description.names = vec!["example.org".to_owned(), "alice.netcom".to_owned()];
    description.hints.push(hint("/dns4/example.org/tcp/443"));
    description.successor = Some(key(3).net_id());
    description.lowest_sequence = 4;
    description.delegations = 1;
    description.metadata.insert("region", "north").expect("in bounds");
    description
}

fn sign(description: EntityDescription) -> Result<EntityDocument, EntityDocumentError> {
    EntityDocument::sign(&key(1), description)
}

/// A document of key 1 with the given fields after its key, sequence and expiry.
fn crafted(fields: impl FnOnce(Message) -> Message) -> Result<EntityDocument, EntityDocumentError> {
    let start = Message::new().bytes(1, &key(1).net_id().to_bytes()).number(2, 1).number(3, 2000);
    EntityDocument::decode(&signed(&key(1), CONTEXT, &fields(start).done()))
}

#[test]
fn a_document_says_after_its_journey_what_the_entity_signed() {
    let document = sign(description()).unwrap();
    let received = EntityDocument::decode(&document.encode()).unwrap();
    assert_eq!(received, document);
    assert_eq!(received.description(), &description());
    assert_eq!(received.netid(), &key(1).net_id());
    assert_eq!(received.primary_name(), Some("example.org"));
    assert!(received.has_name("alice.netcom") && !received.has_name("netcom"));
    received.verify(NOW).unwrap();
}

#[test]
fn names_are_signed_as_they_are_compared() {
    let mut description = description();
    description.names = vec!["EXAMPLE.org.".to_owned()];
    assert_eq!(sign(description.clone()).unwrap().primary_name(), Some("example.org"));
    for name in ["Example.org", "example.org."] {
        let error = crafted(|fields| fields.bytes(4, name.as_bytes())).unwrap_err();
        assert_eq!(error, EntityDocumentError::NameForm { name: name.to_owned() });
    }
    description.names = vec!["a.org".to_owned(), "A.org".to_owned()];
    assert!(matches!(sign(description.clone()), Err(EntityDocumentError::NameForm { .. })));
    for name in ["", "exa mple.org", "ex\u{e4}mple.org", "192.0.2.1"] {
        description.names = vec![name.to_owned()];
        assert!(matches!(sign(description.clone()), Err(EntityDocumentError::Name(_))), "{name}");
    }
}

#[test]
fn each_flipped_bit_of_a_document_is_refused() {
    let encoded = sign(description()).unwrap().encode();
    for bit in 0..encoded.len() * 8 {
        let mut flipped = encoded.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(EntityDocument::decode(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn only_the_entity_itself_signs_and_for_nothing_else() {
    let body = Message::new().bytes(1, &key(1).net_id().to_bytes()).number(3, 2000).done();
    let foreign = EntityDocument::decode(&signed(&key(2), CONTEXT, &body)).unwrap_err();
    let other_use = EntityDocument::decode(&signed(&key(1), RECORD, &body)).unwrap_err();
    for error in [foreign, other_use] {
        assert_eq!(error, EntityDocumentError::Signature(SignatureError::Mismatch));
    }
}

#[test]
fn a_document_is_valid_until_it_expires_and_for_a_year_at_most() {
    let document = sign(description()).unwrap();
    document.verify(UnixTime(END.0 - 1)).unwrap();
    let error = document.verify(END).unwrap_err();
    assert_eq!(error, EntityDocumentError::Expired { expires: END, now: END });
    let long = EntityDescription::new(1, NOW.plus_seconds(MAX_ENTITY_LIFETIME_SECONDS + 1));
    let error = sign(long).unwrap().verify(NOW).unwrap_err();
    assert!(matches!(error, EntityDocumentError::TooLongLived { .. }));
}

#[test]
fn a_later_document_of_the_same_entity_replaces_an_earlier_one() {
    let earlier = sign(description()).unwrap();
    let later = sign(EntityDescription::new(10, END)).unwrap();
    let foreign = EntityDocument::sign(&key(2), EntityDescription::new(11, END)).unwrap();
    assert!(later.is_newer_than(&earlier) && !earlier.is_newer_than(&later));
    assert!(!earlier.is_newer_than(&earlier) && !foreign.is_newer_than(&earlier));
}

#[test]
fn documents_beyond_their_bounds_are_neither_made_nor_taken() {
    let many = |fields: Message| {
        (0..=MAX_ENTITY_NAMES)
            .fold(fields, |fields, n| fields.bytes(4, format!("{n}.a").as_bytes()))
    };
    let refusal = |document: Result<EntityDocument, EntityDocumentError>| match document {
        Err(EntityDocumentError::Content(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refusal(crafted(many)), DecodeError::TooMany { what: "names", .. }));
    let no_peer: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
    let error = refusal(crafted(|fields| fields.bytes(5, &no_peer.to_vec())));
    assert_eq!(error, DecodeError::Address(AddressError::NoPeer));
    let error = refusal(crafted(|fields| fields.bytes(5, &hint("").to_vec())));
    assert_eq!(error, DecodeError::Address(AddressError::NoTransport));
    let long = vec![0; MAX_ENTITY_BYTES + 1];
    assert!(matches!(
        refusal(EntityDocument::decode(&long)),
        DecodeError::TooLong { limit: MAX_ENTITY_BYTES, .. }
    ));
    for count in [3_u64, 255, 256, u64::from(u32::MAX)] {
        let error = crafted(|fields| fields.number(8, count)).unwrap_err();
        assert!(matches!(error, EntityDocumentError::Delegations { .. }), "{count}");
    }
    let own = key(1).net_id();
    let error = crafted(|fields| fields.bytes(6, &own.to_bytes())).unwrap_err();
    assert_eq!(error, EntityDocumentError::OwnSuccessor);
}

#[test]
fn an_entity_that_says_nothing_more_has_the_defaults() {
    let document = crafted(|fields| fields).unwrap();
    let description = document.description();
    assert_eq!((description.sequence, description.expires), (1, END));
    assert_eq!((document.primary_name(), description.successor), (None, None::<NetId>));
    assert_eq!(description.metadata, Metadata::new());
    assert_eq!((description.lowest_sequence, description.delegations), (0, 0));
}
