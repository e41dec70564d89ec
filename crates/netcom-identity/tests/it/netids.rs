//! NetIDs and PeerIds as text and bytes (R-NET-1, R-NET-2, R-NET-3).

use crate::support::{hashed_peer_id, hex, key, text, vectors};
use netcom_identity::{
    KeyError, NetId, NetIdError, PeerId, PeerIdError, PublicKey, parse_peer_id, peer_id_from_bytes,
};

const NETIDS: &str = include_str!("../vectors/netids.json");

#[test]
fn texts_and_bytes_are_those_of_the_independent_implementation() {
    for case in vectors(NETIDS)["valid"].as_array().unwrap() {
        let netid = NetId::from_bytes(&hex(&case["bytes"])).unwrap();
        assert_eq!(netid.to_string(), text(case, "netid"));
        assert_eq!(netid.to_bytes(), hex(&case["bytes"]));
        assert_eq!(text(case, "netid").parse(), Ok(netid));
        assert_eq!(text(case, "netid").to_uppercase().parse(), Ok(netid), "as in a QR code");
        assert_eq!(netid.peer_id().to_string(), text(case, "peer_id"));
        let peer_id = parse_peer_id(text(case, "peer_id")).unwrap();
        assert_eq!(NetId::try_from(peer_id), Ok(netid), "NetID = PeerId");
        assert_eq!(format!("{netid:?}"), format!("NetId({})", text(case, "netid")));
    }
}

#[test]
fn a_netid_has_61_or_63_characters_and_fits_one_dns_label() {
    let lengths: Vec<_> = vectors(NETIDS)["valid"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| text(case, "netid").len())
        .collect();
    assert_eq!(lengths, [61, 61, 61, 63]);
    assert!(lengths.iter().all(|length| *length <= 63));
}

#[test]
fn damaged_texts_are_refused_for_the_reason_they_have() {
    for case in vectors(NETIDS)["invalid"].as_array().unwrap() {
        let error = text(case, "text").parse::<NetId>().unwrap_err();
        let kind = match &error {
            NetIdError::Empty => "empty",
            NetIdError::Prefix => "prefix",
            NetIdError::MixedCase => "mixed case",
            NetIdError::Character { .. } => "character",
            NetIdError::Length { .. } => "length",
            NetIdError::Checksum => "checksum",
            NetIdError::Key(_) => "key",
            other => panic!("{other}"),
        };
        assert_eq!(kind, text(case, "error"), "{}", text(case, "text"));
    }
}

#[test]
fn every_cut_of_a_netid_is_refused() {
    let whole = key(7).net_id().to_string();
    for end in 0..whole.len() {
        assert!(whole[..end].parse::<NetId>().is_err(), "{end}");
        assert!(end == 0 || whole[end..].parse::<NetId>().is_err(), "from {end}");
    }
}

#[test]
fn every_wrong_character_of_a_netid_is_refused() {
    let whole = key(7).net_id().to_string();
    for place in 0..whole.len() {
        for wrong in "abcdefghijklmnopqrstuvwxyz0123456789".chars() {
            if whole[place..].starts_with(wrong) {
                continue;
            }
            let text = format!("{}{wrong}{}", &whole[..place], &whole[place + 1..]);
            assert!(text.parse::<NetId>().is_err(), "{text}");
        }
    }
}

#[test]
fn messages_say_what_is_wrong_and_what_to_do() {
    let whole = key(7).net_id().to_string();
    let message = |text: &str| text.parse::<NetId>().unwrap_err().to_string();
    assert_eq!(
        message(&whole[..50]),
        "a NetID has 61 or 63 characters, not 50: it was cut, copy it again as a whole"
    );
    assert!(message(&format!("{whole}q")).contains("something else is attached"));
    assert!(message("example").contains("begins with n1"));
    assert!(message(&format!("{}b", &whole[..60])).contains("'b' at place 61"));
    assert!(NetIdError::Checksum.to_string().contains("copy it again"));
}

#[test]
fn a_hashed_peer_id_is_a_peer_id_but_no_netid() {
    let peer_id = hashed_peer_id();
    assert_eq!(parse_peer_id(&peer_id.to_string()), Ok(peer_id));
    let error = NetId::try_from(&peer_id).unwrap_err();
    assert_eq!(error, NetIdError::HashedPeerId);
    assert!(error.to_string().contains("only the hash of its key"));
}

#[test]
fn peer_ids_that_hold_no_proper_key_are_no_netids() {
    let odd = PeerId::from_bytes(&[0, 3, 1, 2, 3]).unwrap();
    assert_eq!(NetId::try_from(&odd), Err(NetIdError::Key(KeyError::Malformed)));
}

#[test]
fn binary_netids_are_refused_unless_whole() {
    let bytes = key(7).net_id().to_bytes();
    assert_eq!(NetId::from_bytes(&[]), Err(NetIdError::Empty));
    for end in 1..bytes.len() {
        let error = NetId::from_bytes(&bytes[..end]).unwrap_err();
        assert!(matches!(error, NetIdError::Key(KeyError::Length { .. })), "{end}");
    }
    assert!(NetId::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn netids_come_from_public_keys_and_give_them_back() {
    let public = key(7).public_key();
    assert_eq!(*NetId::from(public).public_key(), public);
    assert_eq!(NetId::from(public), key(7).net_id());
    assert_eq!(format!("{:<70}|", key(7).net_id()).len(), 71, "can be aligned in a table");
}

#[test]
fn cut_and_altered_peer_ids_are_refused() {
    assert_eq!(parse_peer_id(""), Err(PeerIdError::Empty));
    for whole in [key(7).peer_id().to_string(), hashed_peer_id().to_string()] {
        for end in 1..whole.len() {
            assert_eq!(parse_peer_id(&whole[..end]), Err(PeerIdError::Damaged), "{end}");
        }
        assert_eq!(parse_peer_id(&format!("{whole}1")), Err(PeerIdError::Damaged));
        assert_eq!(parse_peer_id(&format!("1{whole}")), Err(PeerIdError::Damaged));
        assert_eq!(parse_peer_id(&whole.repeat(2)), Err(PeerIdError::Damaged));
        let character = PeerIdError::Character { character: '0', position: 5 };
        assert_eq!(parse_peer_id(&format!("{}0{}", &whole[..4], &whole[5..])), Err(character));
    }
}

#[test]
fn binary_peer_ids_have_one_encoding() {
    for peer_id in [key(7).peer_id(), hashed_peer_id()] {
        let bytes = peer_id.to_bytes();
        assert_eq!(peer_id_from_bytes(&bytes), Ok(peer_id));
        for end in 0..bytes.len() {
            assert_eq!(peer_id_from_bytes(&bytes[..end]), Err(PeerIdError::Damaged));
        }
        assert!(peer_id_from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
    // A hash of 20 bytes, a hash of none, a key encoding that ends early.
    for odd in [&[0x12, 20][..], &[0x12, 0], &[0, 2, 8, 1]] {
        let padded = [odd, &vec![1; usize::from(odd[1]).saturating_sub(odd.len() - 2)]].concat();
        assert_eq!(peer_id_from_bytes(&padded), Err(PeerIdError::Damaged), "{padded:?}");
    }
    let weak = [&[0, 36, 8, 1, 18, 32, 1][..], &[0; 31]].concat();
    assert_eq!(peer_id_from_bytes(&weak), Err(PeerIdError::Key(KeyError::Weak)));
    assert!(PublicKey::from_peer_id(&PeerId::from_bytes(&weak).unwrap()).is_err());
}
