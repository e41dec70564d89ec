//! Keys and signatures, against vectors made by an independent implementation (T-12, T-13, T-14).

use crate::support::{hashed_peer_id, hex, key, text, vectors};
use netcom_identity::{KeyError, KeyType, PeerId, PublicKey, SecretKey, SignatureError};

const SIGNATURES: &str = include_str!("../vectors/signatures.json");
const PROOFS: &str = include_str!("../vectors/proofs.json");

#[test]
fn signature_vectors_are_taken_or_refused_as_they_say() {
    let cases = vectors(SIGNATURES);
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let result = match PublicKey::new(KeyType::Ed25519, &hex(&case["public_key"])) {
            Err(KeyError::Weak) => "weak",
            Err(KeyError::NotAPoint) => "not a point",
            Err(error) => panic!("{error}"),
            Ok(key) => {
                let signature = hex(&case["signature"]);
                match key.verify(text(case, "context"), &hex(&case["message"]), &signature) {
                    Ok(()) => "valid",
                    Err(SignatureError::Mismatch) => "mismatch",
                    Err(SignatureError::Length { length }) => {
                        assert_eq!(length, signature.len());
                        "length"
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        assert_eq!(result, text(case, "result"), "{}", text(case, "name"));
    }
}

#[test]
fn signatures_are_those_of_the_independent_implementation() {
    let seed: [u8; 32] = std::array::from_fn(|index| index as u8);
    let key = SecretKey::from_bytes(&seed);
    let cases = vectors(SIGNATURES);
    for case in cases.as_array().unwrap().iter().filter(|case| text(case, "result") == "valid") {
        let signature = key.sign(text(case, "context"), &hex(&case["message"]));
        assert_eq!(signature.to_vec(), hex(&case["signature"]), "{}", text(case, "name"));
    }
}

#[test]
fn each_flipped_bit_of_a_signature_is_refused() {
    let (key, message) = (key(7), b"message");
    let signature = key.sign("test/1", message);
    for bit in 0..512 {
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = key.public_key().verify("test/1", message, &flipped);
        assert_eq!(result, Err(SignatureError::Mismatch), "bit {bit}");
    }
}

#[test]
fn libp2p_tls_signatures_have_no_other_prefix() {
    let (key, spki) = (key(2), b"certificate key");
    let signature = key.sign_libp2p_tls(spki);
    assert_eq!(signature, hex(&vectors(PROOFS)["libp2p_tls_signature"]));
    let public = key.public_key();
    assert_eq!(public.verify_libp2p_tls(spki, &signature), Ok(()));
    assert_eq!(public.verify_libp2p_tls(b"another key", &signature), Err(SignatureError::Mismatch));
    // Neither kind of signature passes as the other.
    assert!(public.verify("libp2p-tls-handshake:", spki, &signature).is_err());
    assert!(public.verify_libp2p_tls(spki, &key.sign("libp2p-tls-handshake:", spki)).is_err());
}

#[test]
fn secrets_are_kept_out_of_debug_and_come_back_from_export() {
    let key = key(0xab);
    let secret = key.export_secret();
    assert_eq!(
        (format!("{key:?}"), format!("{secret:?}")),
        ("SecretKey(..)".to_owned(), "SecretBytes(..)".to_owned())
    );
    assert_eq!(*secret, [0xab; 32]);
    assert_eq!(secret.as_ref(), [0xab; 32]);
    assert_eq!(SecretKey::from_bytes(&secret).peer_id(), key.peer_id());
    assert!(format!("{:?}", key.public_key()).starts_with("PublicKey(Ed25519, "));
}

#[test]
fn public_keys_round_trip_through_libp2p_encodings() {
    for seed in 0..50 {
        let public = key(seed).public_key();
        assert_eq!(PublicKey::from_protobuf(&public.to_protobuf()), Ok(public));
        assert_eq!(PublicKey::from_peer_id(&public.peer_id()), Ok(public));
        assert_eq!(public.as_bytes().len(), public.key_type().key_bytes());
    }
}

#[test]
fn only_the_deterministic_encoding_of_a_key_is_taken() {
    let good = key(7).public_key().to_protobuf();
    for end in 0..good.len() {
        assert_eq!(PublicKey::from_protobuf(&good[..end]), Err(KeyError::Malformed), "{end}");
    }
    let attached = [&good[..], &[0]].concat();
    assert_eq!(PublicKey::from_protobuf(&attached), Err(KeyError::Malformed));
    let swapped = [&good[2..], &good[..2]].concat();
    assert_eq!(PublicKey::from_protobuf(&swapped), Err(KeyError::Malformed));
    let short = [&[8, 1, 18, 31][..], &good[4..35]].concat();
    let length = KeyError::Length { key_type: KeyType::Ed25519, length: 31, expected: 32 };
    assert_eq!(PublicKey::from_protobuf(&short), Err(length));
}

#[test]
fn keys_of_other_types_are_refused_whatever_their_size() {
    // A 16,384-bit RSA key: 2,048 bytes behind a length of two bytes.
    let rsa = [&[8, 0, 18, 0x80, 0x10][..], &[7; 2048]].concat();
    assert_eq!(PublicKey::from_protobuf(&rsa), Err(KeyError::UnsupportedType { number: 0 }));
    let ecdsa = [&[8, 3, 18, 91][..], &[7; 91]].concat();
    assert_eq!(PublicKey::from_protobuf(&ecdsa), Err(KeyError::UnsupportedType { number: 3 }));
}

#[test]
fn secp256k1_keys_can_be_named_but_not_used() {
    let mut point = [0x11; 33];
    for first in [0, 1, 4, 0xff] {
        point[0] = first;
        assert_eq!(PublicKey::new(KeyType::Secp256k1, &point), Err(KeyError::NotAPoint));
    }
    point[0] = 3;
    let public = PublicKey::new(KeyType::Secp256k1, &point).unwrap();
    assert!(public.peer_id().to_string().starts_with("16Uiu2HA"));
    assert_eq!(PublicKey::from_peer_id(&public.peer_id()), Ok(public));
    let refused = SignatureError::UnsupportedKey(KeyType::Secp256k1);
    assert_eq!(public.verify("", b"", &[0; 64]), Err(refused.clone()));
    assert_eq!(public.verify_libp2p_tls(b"", &[0; 64]), Err(refused));
    point[1..].fill(0xff);
    assert_eq!(PublicKey::new(KeyType::Secp256k1, &point), Err(KeyError::NotAPoint));
    let cut = PublicKey::new(KeyType::Secp256k1, &point[..32]);
    assert!(matches!(cut, Err(KeyError::Length { length: 32, expected: 33, .. })));
}

#[test]
fn peer_ids_of_hashes_hold_no_key() {
    assert_eq!(PublicKey::from_peer_id(&hashed_peer_id()), Err(KeyError::Hashed));
    // An identity multihash of something that is no key.
    let odd = PeerId::from_bytes(&[0, 3, 1, 2, 3]).unwrap();
    assert_eq!(PublicKey::from_peer_id(&odd), Err(KeyError::Malformed));
}
