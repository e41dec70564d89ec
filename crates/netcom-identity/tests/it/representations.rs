//! Every way in which a Proof of Representation is refused (R-NET-4, T-12).

use crate::support::{
    DELEGATE, END, ISSUE, NOW, START, Statement, chain, hashed_peer_id, hex, key, last,
    representation, terms, vectors,
};
use netcom_identity::{
    DecodeError, DelegateError, Metadata, NetIdError, Representation, RepresentationError, Role,
    Roles, SignatureError, Terms, UnixTime,
};

const PROOFS: &str = include_str!("../vectors/proofs.json");

fn refusal(encoded: &[u8], seed: u8) -> RepresentationError {
    let chain = Representation::decode(encoded).expect("well formed");
    chain.verify(&key(seed).peer_id(), NOW, None).expect_err("not true")
}

/// The statements of a chain from key 1 over key 2 to key 3, and the keys that sign them.
fn pair() -> [Statement; 2] {
    let netid = key(1).net_id();
    let mut first = Statement::new(&netid, &key(2).peer_id());
    first.delegations = 1;
    [first, Statement::new(&netid, &key(3).peer_id())]
}

fn signed_pair([first, second]: &[Statement; 2]) -> Vec<u8> {
    representation(&[first.signed(&key(1), ISSUE), second.signed(&key(2), DELEGATE)])
}

#[test]
fn chains_are_those_of_the_independent_implementation() {
    let mut metadata = Metadata::new();
    metadata.insert("region", "north").unwrap();
    let terms = Terms::new(5, START, END).metadata(metadata).delegations(2);
    let first = Representation::issue(&key(1), key(2).peer_id(), &terms);
    let terms = Terms::new(6, UnixTime(1100), UnixTime(1900))
        .roles([Role::Peer, Role::Server])
        .delegations(1);
    let second = first.delegate(&key(2), key(3).peer_id(), &terms).unwrap();
    let mut metadata = Metadata::new();
    metadata.insert("b", "2").unwrap();
    metadata.insert("a", "1").unwrap();
    let terms =
        Terms::new(7, UnixTime(1200), UnixTime(1800)).roles(Role::Peer).metadata(metadata.clone());
    let third = second.delegate(&key(3), key(4).peer_id(), &terms).unwrap();
    for (index, chain) in [&first, &second, &third].into_iter().enumerate() {
        assert_eq!(chain.encode(), hex(&vectors(PROOFS)["representations"][index]));
        assert_eq!(Representation::decode(&chain.encode()).as_ref(), Ok(chain));
        assert_eq!(chain.delegations(), index);
    }
    let represents = third.verify(&key(4).peer_id(), NOW, Some(5)).unwrap();
    assert_eq!(represents.netid, key(1).net_id());
    assert_eq!(represents.subject, key(4).peer_id());
    assert_eq!(represents.roles, Role::Peer.into());
    assert_eq!(represents.metadata, metadata);
    assert_eq!((represents.sequence, represents.expires), (5, UnixTime(1800)));
    assert_eq!((third.sequence(), third.expires()), (5, UnixTime(1800)));
}

#[test]
fn chains_of_up_to_two_delegations_are_true_for_their_last_node_alone() {
    for delegations in 0..=2 {
        let chain = chain(delegations);
        assert_eq!((chain.netid(), chain.subject()), (key(1).net_id(), last(delegations)));
        for seed in 1..=6 {
            let result = chain.verify(&key(seed).peer_id(), NOW, None);
            if key(seed).peer_id() == last(delegations) {
                assert_eq!(result.unwrap().netid, key(1).net_id());
            } else {
                let claimed = last(delegations);
                assert_eq!(result, Err(RepresentationError::WrongSubject { claimed }));
            }
        }
    }
}

#[test]
fn validity_begins_at_its_first_second_and_ends_before_its_last() {
    let chain = chain(2);
    let at = |now| chain.verify(&last(2), now, None).map(|_| ());
    let early = |now| RepresentationError::NotYetValid { step: 1, not_before: START, now };
    let late = |now| RepresentationError::Expired { step: 1, expires: END, now };
    assert_eq!(at(UnixTime(999)), Err(early(UnixTime(999))));
    assert_eq!(at(UnixTime(0)), Err(early(UnixTime(0))));
    assert_eq!(at(UnixTime(1000)), Ok(()));
    assert_eq!(at(UnixTime(1999)), Ok(()));
    assert_eq!(at(UnixTime(2000)), Err(late(UnixTime(2000))));
    assert_eq!(at(UnixTime(u64::MAX)), Err(late(UnixTime(u64::MAX))));
}

#[test]
fn each_step_must_be_valid() {
    for step in [1, 2] {
        let mut statements = pair();
        statements[step - 1].expires = NOW.0;
        let error = refusal(&signed_pair(&statements), 3);
        assert_eq!(error, RepresentationError::Expired { step, expires: NOW, now: NOW });

        let mut statements = pair();
        statements[step - 1].not_before = NOW.0 + 1;
        let error = refusal(&signed_pair(&statements), 3);
        let not_before = NOW.plus_seconds(1);
        assert_eq!(error, RepresentationError::NotYetValid { step, not_before, now: NOW });

        for (not_before, expires) in [(NOW.0, NOW.0), (END.0, START.0), (u64::MAX, 0), (0, 0)] {
            let mut statements = pair();
            statements[step - 1].not_before = not_before;
            statements[step - 1].expires = expires;
            let error = refusal(&signed_pair(&statements), 3);
            assert_eq!(error, RepresentationError::NeverValid { step });
        }
    }
}

#[test]
fn extreme_numbers_are_compared_and_never_overflow() {
    let numbers = [0, 1, 2, 127, 128, 255, 256, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 63, u64::MAX];
    for expires in numbers {
        for not_before in numbers {
            let terms = Terms::new(expires, UnixTime(not_before), UnixTime(expires));
            let proof = Representation::issue(&key(1), key(2).peer_id(), &terms);
            for now in numbers {
                let result = proof.verify(&key(2).peer_id(), UnixTime(now), Some(not_before));
                assert_eq!(result.is_ok(), (not_before..expires).contains(&now));
            }
        }
    }
}

#[test]
fn lower_sequences_are_refused_at_each_step() {
    let proof = chain(2);
    for minimum in [None, Some(0), Some(5)] {
        assert!(proof.verify(&last(2), NOW, minimum).is_ok());
    }
    for minimum in [6, u64::MAX] {
        let error = RepresentationError::Revoked { step: 1, sequence: 5, minimum };
        assert_eq!(proof.verify(&last(2), NOW, Some(minimum)), Err(error));
    }
    let mut statements = pair();
    statements[1].sequence = 4;
    let proof = Representation::decode(&signed_pair(&statements)).unwrap();
    let error = RepresentationError::Revoked { step: 2, sequence: 4, minimum: 5 };
    assert_eq!(proof.verify(&key(3).peer_id(), NOW, Some(5)), Err(error));
    // A delegate cannot lift the chain above what the entity signed.
    statements[1].sequence = 1000;
    let proof = Representation::decode(&signed_pair(&statements)).unwrap();
    assert_eq!(proof.verify(&key(3).peer_id(), NOW, None).unwrap().sequence, 5);
    assert!(proof.verify(&key(3).peer_id(), NOW, Some(6)).is_err());
}

#[test]
fn statements_signed_for_another_use_are_refused() {
    let [first, second] = pair();
    let wrong = RepresentationError::Signature { step: 1, source: SignatureError::Mismatch };
    for context in ["", DELEGATE, "netcom/representation/2", "netcom/node-record/1"] {
        let encoded = representation(&[first.signed(&key(1), context)]);
        assert_eq!(refusal(&encoded, 2), wrong, "{context}");
    }
    let wrong = RepresentationError::Signature { step: 2, source: SignatureError::Mismatch };
    for context in ["", ISSUE, "netcom/delegation/2"] {
        let steps = [first.signed(&key(1), ISSUE), second.signed(&key(2), context)];
        assert_eq!(refusal(&representation(&steps), 3), wrong, "{context}");
    }
}

#[test]
fn only_the_entity_signs_the_first_step_and_each_node_the_next() {
    let [first, second] = pair();
    for signer in 2..6 {
        let error = refusal(&representation(&[first.signed(&key(signer), ISSUE)]), 2);
        let source = SignatureError::Mismatch;
        assert_eq!(error, RepresentationError::Signature { step: 1, source });
    }
    for signer in [1, 3, 4] {
        let steps = [first.signed(&key(1), ISSUE), second.signed(&key(signer), DELEGATE)];
        let error = refusal(&representation(&steps), 3);
        let source = SignatureError::Mismatch;
        assert_eq!(error, RepresentationError::Signature { step: 2, source });
    }
}

#[test]
fn each_flipped_bit_of_each_signature_is_refused() {
    for delegations in 0..=2 {
        let encoded = chain(delegations).encode();
        let mut end = 2; // behind the number of steps
        for number in 1..=usize::from(delegations) + 1 {
            // A step: its tag, its length in two bytes, the statement, 64 bytes of signature.
            let [0x12, low, high] = encoded[end..end + 3] else { panic!("no step at {end}") };
            end += 3 + usize::from(low & 0x7f) + (usize::from(high) << 7);
            for bit in 0..512 {
                let mut flipped = encoded.clone();
                flipped[end - 64 + bit / 8] ^= 1 << (bit % 8);
                let chain = Representation::decode(&flipped).unwrap();
                let source = SignatureError::Mismatch;
                let error = RepresentationError::Signature { step: number, source };
                assert_eq!(chain.verify(&last(delegations), NOW, None), Err(error));
            }
        }
    }
}

#[test]
fn each_changed_byte_of_a_chain_is_refused() {
    let mut metadata = Metadata::new();
    metadata.insert("region", "north").unwrap();
    let one = Representation::issue(&key(1), last(0), &terms().metadata(metadata)).encode();
    for (encoded, subject) in [(one, last(0)), (chain(2).encode(), last(2))] {
        for index in 0..encoded.len() {
            for change in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                let mut changed = encoded.clone();
                changed[index] ^= change;
                let refused = match Representation::decode(&changed) {
                    Ok(chain) => chain.verify(&subject, NOW, None).is_err(),
                    Err(_) => true,
                };
                assert!(refused, "byte {index} ^ {change:#x}");
            }
        }
    }
}

#[test]
fn each_truncation_of_a_chain_is_refused() {
    for delegations in 0..=2 {
        let encoded = chain(delegations).encode();
        for end in 0..encoded.len() {
            assert!(Representation::decode(&encoded[..end]).is_err(), "{delegations}: {end}");
        }
    }
}

#[test]
fn steps_cannot_be_left_out_reordered_or_repeated() {
    let [first, second] = pair();
    let first = first.signed(&key(1), ISSUE);
    let second = second.signed(&key(2), DELEGATE);
    for steps in [
        vec![second.clone()],
        vec![second.clone(), first.clone()],
        vec![first.clone(), first.clone()],
        vec![first.clone(), second.clone(), second.clone()],
    ] {
        assert!(matches!(
            refusal(&representation(&steps), 3),
            RepresentationError::Signature { .. }
        ));
    }
    // The first step alone is true, of its own node only.
    let claimed = key(2).peer_id();
    let error = refusal(&representation(&[first]), 3);
    assert_eq!(error, RepresentationError::WrongSubject { claimed });
}

#[test]
fn delegation_needs_the_permission_of_the_step_before() {
    let mut statements = pair();
    statements[0].delegations = 0;
    let by = key(2).peer_id();
    let error = refusal(&signed_pair(&statements), 3);
    assert_eq!(error, RepresentationError::DelegationNotAllowed { step: 2, by });

    let mut statements = pair();
    for wider in [1, 2, 200] {
        statements[1].delegations = wider;
        let error = refusal(&signed_pair(&statements), 3);
        assert_eq!(error, RepresentationError::DelegationsWidened { step: 2 });
    }
}

#[test]
fn chains_of_three_delegations_are_too_deep() {
    let netid = key(1).net_id();
    let mut steps = Vec::new();
    for signer in 1..=4 {
        let mut statement = Statement::new(&netid, &key(signer + 1).peer_id());
        statement.delegations = 255;
        steps.push(statement.signed(&key(signer), if signer == 1 { ISSUE } else { DELEGATE }));
    }
    let result = Representation::decode(&representation(&steps));
    assert_eq!(result, Err(DecodeError::TooDeep { steps: 4 }));
    // A claim of more permission than there is does not help.
    assert_eq!(
        refusal(&representation(&steps[..3]), 4),
        RepresentationError::DelegationsWidened { step: 2 }
    );
}

#[test]
fn delegates_cannot_widen_roles() {
    let mut statements = pair();
    statements[0].roles = 3;
    for wider in [4, 7, 8, 1 << 31] {
        statements[1].roles = wider;
        let error = refusal(&signed_pair(&statements), 3);
        assert_eq!(error, RepresentationError::RolesWidened { step: 2 });
    }
    statements[0].roles = 1 << 20 | 1;
    statements[1].roles = 1 << 20;
    let proof = Representation::decode(&signed_pair(&statements)).unwrap();
    let roles = proof.verify(&key(3).peer_id(), NOW, None).unwrap().roles;
    assert_eq!((roles.iter().count(), roles == Roles::none()), (0, false), "a later role is kept");
}

#[test]
fn chains_about_two_entities_are_refused() {
    let mut statements = pair();
    let netid = key(9).net_id();
    statements[1].netid = netid.to_bytes();
    let error = refusal(&signed_pair(&statements), 3);
    assert_eq!(error, RepresentationError::OtherEntity { step: 2, netid });
}

#[test]
fn nodes_whose_key_is_hidden_can_be_let_in_but_let_in_nobody() {
    let signer = hashed_peer_id();
    let first = Representation::issue(&key(1), signer, &terms().delegations(1));
    assert!(first.verify(&signer, NOW, None).is_ok());
    let mut statements = pair();
    statements[0].subject = signer.to_bytes();
    let error = refusal(&signed_pair(&statements), 3);
    assert_eq!(error, RepresentationError::DelegateKeyHidden { step: 2, signer });
}

#[test]
fn entities_whose_signatures_cannot_be_checked_are_refused() {
    let point = [&[2, 2][..], &[0x11; 32]].concat();
    let mut statement = pair()[0].clone();
    statement.netid = point;
    let error = refusal(&representation(&[statement.signed(&key(1), ISSUE)]), 2);
    assert!(matches!(
        error,
        RepresentationError::Signature { step: 1, source: SignatureError::UnsupportedKey(_) }
    ));
}

#[test]
fn delegate_refuses_what_verify_would_refuse() {
    let allowed = Representation::issue(&key(1), key(2).peer_id(), &terms().delegations(2));
    let to = key(3).peer_id();
    let subject = key(2).peer_id();
    assert_eq!(
        allowed.delegate(&key(3), to, &terms()),
        Err(DelegateError::NotTheSubject { subject })
    );
    assert_eq!(
        allowed.delegate(&key(2), to, &terms().delegations(2)),
        Err(DelegateError::DelegationsWidened)
    );
    let plain = Representation::issue(&key(1), subject, &terms());
    assert_eq!(plain.delegate(&key(2), to, &terms()), Err(DelegateError::NotAllowed));
    let narrow = terms().delegations(1).roles(Role::Client);
    let narrow = Representation::issue(&key(1), subject, &narrow);
    assert_eq!(narrow.delegate(&key(2), to, &terms()), Err(DelegateError::RolesWidened));
    assert!(narrow.delegate(&key(2), to, &terms().roles(Roles::none())).is_ok());
    assert_eq!(chain(2).delegate(&key(4), to, &terms()), Err(DelegateError::TooDeep));
}

#[test]
fn an_entity_is_represented_by_its_own_key_or_by_a_chain() {
    let netid = key(1).net_id();
    let other = Representation::issue(&key(9), key(2).peer_id(), &terms());
    let stale =
        Representation::issue(&key(1), key(2).peer_id(), &Terms::new(1, UnixTime(0), UnixTime(1)));
    let fresh = chain(0);
    let node = key(2).peer_id();

    let own = netid.represented_by(&key(1).peer_id(), [], NOW, Some(7)).unwrap();
    assert_eq!((own.netid, own.subject, own.roles), (netid, key(1).peer_id(), Roles::all()));
    let chains = [other.clone(), stale.clone(), fresh];
    assert_eq!(netid.represented_by(&node, &chains, NOW, None).unwrap().netid, netid);

    let not_claimed = RepresentationError::NotClaimed { netid };
    assert_eq!(netid.represented_by(&node, [], NOW, None), Err(not_claimed.clone()));
    assert_eq!(netid.represented_by(&node, [&other], NOW, None), Err(not_claimed));
    let error = netid.represented_by(&node, [&other, &stale], NOW, None).unwrap_err();
    assert!(matches!(error, RepresentationError::Expired { .. }));
    // A chain about another node, replayed.
    let error = netid.represented_by(&key(5).peer_id(), &chains, NOW, None).unwrap_err();
    assert!(matches!(error, RepresentationError::Expired { .. }), "the first refusal is told");
}

#[test]
fn malformed_chains_are_refused_with_what_is_wrong() {
    let [first, _] = pair();
    let decode = |statement: &Statement| {
        Representation::decode(&representation(&[statement.signed(&key(1), ISSUE)]))
    };
    let mut bad = first.clone();
    bad.netid.clear();
    assert_eq!(decode(&bad), Err(DecodeError::NetId(NetIdError::Empty)));
    bad.netid = vec![1; 10];
    assert!(matches!(decode(&bad), Err(DecodeError::NetId(NetIdError::Key(_)))));
    let mut bad = first.clone();
    bad.subject.truncate(10);
    assert!(matches!(decode(&bad), Err(DecodeError::PeerId(_))));
    let mut bad = first.clone();
    bad.delegations = 256;
    assert!(matches!(decode(&bad), Err(DecodeError::Malformed { .. })));
    let mut bad = first.clone();
    bad.metadata = vec![(String::new(), String::new())];
    assert!(matches!(decode(&bad), Err(DecodeError::Metadata(_))));
    assert!(matches!(
        Representation::decode(&[0; 6 * 1024 + 1]),
        Err(DecodeError::TooLong { length: 6145, limit: 6144, .. })
    ));
    assert!(matches!(
        Representation::decode(&representation(&[])),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn the_longest_chain_fits_its_bound() {
    let mut metadata = Metadata::new();
    for (index, length) in [240, 240, 240, 288 - 16].into_iter().enumerate() {
        metadata.insert(&format!("key{index}"), &"x".repeat(length.min(256))).unwrap();
    }
    let far = |delegations| {
        Terms::new(u64::MAX, UnixTime(u64::MAX - 1), UnixTime(u64::MAX))
            .metadata(metadata.clone())
            .delegations(delegations)
    };
    let chain = Representation::issue(&key(1), key(2).peer_id(), &far(2))
        .delegate(&key(2), key(3).peer_id(), &far(1))
        .unwrap()
        .delegate(&key(3), key(4).peer_id(), &far(0))
        .unwrap();
    assert_eq!(Representation::decode(&chain.encode()), Ok(chain));
}
