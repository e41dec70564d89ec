//! The certificate extension (E-52).

use netcom_identity::{
    DecodeError, Metadata, Representation, Terms, UnixTime,
    certificate::{self, CertificateError, MAX_BYTES, OID, VERSIONS, Versions},
};

use crate::support::{Message, chain, hex, key, last, terms, vectors};

const PROOFS: &str = include_str!("../vectors/proofs.json");

#[test]
fn extensions_are_those_of_the_independent_implementation() {
    let proofs = vectors(PROOFS);
    let chain = Representation::decode(&hex(&proofs["representations"][0])).unwrap();
    let value = certificate::encode(std::slice::from_ref(&chain)).unwrap();
    assert_eq!(value, hex(&proofs["certificate_extension"]));
    let extension = certificate::decode(&value).unwrap();
    assert_eq!((extension.versions, extension.representations), (VERSIONS, vec![chain]));
}

#[test]
fn four_chains_of_two_delegations_fit() {
    let end = UnixTime(1_900_000_000);
    let long_lived = |delegations| {
        Terms::new(1_800_000_000, UnixTime(1_800_000_000), end).delegations(delegations)
    };
    let chains: Vec<_> = (0..4)
        .map(|entity| {
            Representation::issue(&key(10 + entity), key(2).peer_id(), &long_lived(2))
                .delegate(&key(2), key(3).peer_id(), &long_lived(1))
                .unwrap()
                .delegate(&key(3), key(4).peer_id(), &long_lived(0))
                .unwrap()
        })
        .collect();
    let value = certificate::encode(&chains).unwrap();
    assert!(value.len() <= MAX_BYTES, "{}", value.len());
    assert_eq!(certificate::decode(&value).unwrap().representations, chains);
}

#[test]
fn a_node_without_representations_still_tells_its_versions() {
    let value = certificate::encode(&[]).unwrap();
    let extension = certificate::decode(&value).unwrap();
    assert_eq!((extension.versions, extension.representations), (VERSIONS, vec![]));
}

#[test]
fn five_chains_and_long_metadata_do_not_fit() {
    let five = vec![chain(0); 5];
    let error = certificate::encode(&five).unwrap_err();
    assert!(matches!(error, CertificateError::Content(DecodeError::TooMany { count: 5, .. })));

    let mut metadata = Metadata::new();
    for index in 0..4 {
        metadata.insert(&index.to_string(), &"x".repeat(250)).unwrap();
    }
    let long = Representation::issue(&key(1), last(0), &terms().metadata(metadata));
    let error = certificate::encode(&vec![long; 3]).unwrap_err();
    assert!(matches!(error, CertificateError::Content(DecodeError::TooLong { .. })));
}

#[test]
fn malformed_extensions_are_refused_with_what_is_wrong() {
    let chain = chain(0).encode();
    let value = |lowest, highest, chains: usize| {
        let chains = (0..chains).fold(Message::new(), |message, _| message.bytes(1, &chain));
        chains.number(2, lowest).number(3, highest).done()
    };
    assert!(certificate::decode(&value(1, 1, 2)).is_ok());
    let later = certificate::decode(&value(3, 9, 0)).unwrap();
    assert_eq!(later.versions.common(VERSIONS), None, "a peer of later versions only");
    for (lowest, highest) in [(0, 0), (0, 1), (2, 1)] {
        let result = certificate::decode(&value(lowest, highest, 1));
        assert_eq!(result, Err(CertificateError::Versions));
    }
    let result = certificate::decode(&value(1, 1, 5));
    assert!(matches!(result, Err(CertificateError::Content(DecodeError::TooMany { .. }))));
    let cut = Message::new().bytes(1, &chain[1..]).number(2, 1).number(3, 1).done();
    let result = certificate::decode(&cut);
    assert!(matches!(result, Err(CertificateError::Content(DecodeError::Malformed { .. }))));
    let result = certificate::decode(&vec![0; MAX_BYTES + 1]);
    assert!(matches!(result, Err(CertificateError::Content(DecodeError::TooLong { .. }))));
    assert_eq!(certificate::decode(&[]), Err(CertificateError::Versions));
}

#[test]
fn both_ends_choose_the_same_version() {
    let range = |lowest, highest| Versions { lowest, highest };
    for a in 1..5 {
        for b in a..5 {
            for c in 1..5 {
                for d in c..5 {
                    let common = range(a, b).common(range(c, d));
                    assert_eq!(common, range(c, d).common(range(a, b)));
                    let expected = (1..5).rfind(|v| (a..=b).contains(v) && (c..=d).contains(v));
                    assert_eq!(common, expected);
                }
            }
        }
    }
}

#[test]
fn the_object_identifier_is_the_documented_hash() {
    // SHA-256 of "netcom certificate extension" begins with f84d_a6f0_3898_f968.
    assert_eq!(OID, [2, 25, 0xf84d_a6f0_3898_f968 >> 1]);
}
