//! Who gets through, and what both ends know then.

use std::time::Duration;

use netcom_identity::{Representation, Terms, UnixTime};
use netcom_session::{LinkKind, LinkLoss};
use netcom_transport::{
    Attempt, AttemptError, DialError, DialOptions, HelloError, TransportConfig,
};

use crate::support::{LISTEN, Node, PATIENCE, key};

#[tokio::test]
async fn both_ends_know_each_other_over_every_transport() {
    for listen in LISTEN {
        let dialer = Node::new(1);
        let mut listener = Node::new(2);
        let address = listener.listen(listen).await;
        let dialled = dialer.dial(&listener.peer, &address).await;
        let accepted = listener.accept().await;

        assert_eq!(dialled.peer(), listener.peer, "{listen}");
        assert_eq!(accepted.peer(), dialer.peer, "{listen}");
        assert!(dialled.is_dialer() && !accepted.is_dialer());
        assert_eq!(dialled.kind(), accepted.kind());
        assert_eq!(dialled.remote_address(), &address);
        assert_eq!(dialled.exporter(), accepted.exporter(), "one secret per link: {listen}");
        assert_ne!(dialled.exporter(), [0; 32]);
        assert!(dialled.handshake_duration() > Duration::ZERO);
        let again = dialer.dial(&listener.peer, &address).await;
        assert_ne!(again.exporter(), dialled.exporter(), "another link, another secret");
    }
}

#[tokio::test]
async fn a_quic_socket_that_listens_also_dials() {
    let mut first = Node::new(1);
    let second = Node::new(2);
    let address = first.listen("/ip4/127.0.0.1/udp/0/quic-v1").await;
    let own = second.listen("/ip4/127.0.0.1/udp/0/quic-v1").await;
    let _link = second.dial(&first.peer, &address).await;
    assert_eq!(first.accept().await.remote_address(), &own);
}

#[tokio::test]
async fn a_wrong_peer_is_refused_before_it_learns_who_dialled() {
    let stranger = key(9).peer_id();
    for listen in LISTEN {
        let dialer = Node::new(1);
        let mut listener = Node::new(2);
        let address = listener.listen(listen).await;
        let error =
            dialer.transport.dial(&stranger, &[address], DialOptions::default()).await.unwrap_err();
        match error {
            DialError::WrongPeer { expected, found } => {
                assert_eq!((*expected, *found), (stranger, listener.peer), "{listen}");
            }
            other => panic!("{listen}: {other}"),
        }
        assert!(listener.accepted.try_recv().is_err());
    }
}

#[tokio::test]
async fn dialling_oneself_or_nowhere_fails_by_name() {
    let node = Node::new(1);
    let address = node.listen("/ip4/127.0.0.1/tcp/0").await;
    let options = DialOptions::default;
    let error = node.transport.dial(&node.peer, &[address], options()).await.unwrap_err();
    assert!(matches!(error, DialError::SelfDial));

    let other = key(2).peer_id();
    let error = node.transport.dial(&other, &[], options()).await.unwrap_err();
    assert!(matches!(error, DialError::NoUsableAddress { .. }), "{error}");
    let dns = ["/dns4/example.com/tcp/1".parse().unwrap()];
    let error = node.transport.dial(&other, &dns, options()).await.unwrap_err();
    assert!(matches!(error, DialError::NoUsableAddress { .. }), "{error}");
    assert!(error.to_string().contains("/ip4/"), "tells the remedy: {error}");
}

#[tokio::test]
async fn an_unreachable_peer_is_reported_with_every_address() {
    let node = Node::new(1);
    // A port that was free a moment ago and is not listened to.
    let closed = {
        let other = Node::new(3);
        other.listen("/ip4/127.0.0.1/tcp/0").await
    };
    let memory = "/memory/999999".parse().unwrap();
    let error = node
        .transport
        .dial(&key(2).peer_id(), &[closed, memory], DialOptions::default())
        .await
        .unwrap_err();
    match error {
        DialError::Unreachable { attempts, .. } => assert_eq!(attempts.len(), 2),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_silent_listener_ends_in_a_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let node = Node::new(1);
    let options = DialOptions::default().timeout(Duration::from_millis(50));
    let error = node
        .transport
        .dial(&key(2).peer_id(), &[address.parse().unwrap()], options)
        .await
        .unwrap_err();
    let DialError::Timeout { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(attempts[..], [Attempt { error: AttemptError::NoAnswer, .. }]), "{error}");
}

#[tokio::test]
async fn representations_travel_with_both_certificates() {
    let netid = key(50);
    let now = UnixTime(1_800_000_000);
    for listen in LISTEN {
        let node = |seed| {
            let subject = key(seed).peer_id();
            let terms = Terms::new(1, now, now.plus_seconds(60));
            let mut config = TransportConfig::new(key(seed));
            config.representations = vec![Representation::issue(&netid, subject, &terms)];
            Node::with(config)
        };
        let (dialer, mut listener) = (node(1), node(2));
        let address = listener.listen(listen).await;
        let dialled = dialer.dial(&listener.peer, &address).await;
        let accepted = listener.accept().await;
        for (link, peer) in [(&dialled, listener.peer), (&accepted, dialer.peer)] {
            let [claim] = link.representations() else { panic!("one claim over {listen}") };
            assert_eq!(claim.verify(&peer, now, None).unwrap().netid, netid.net_id());
            let later = now.plus_seconds(61);
            assert!(claim.verify(&peer, later, None).is_err(), "expired ones surface too");
        }
    }
}

#[tokio::test]
async fn a_foreign_representation_surfaces_and_does_not_verify() {
    let now = UnixTime(1_800_000_000);
    let stolen = Representation::issue(
        &key(50),
        key(9).peer_id(),
        &Terms::new(1, now, now.plus_seconds(60)),
    );
    let mut config = TransportConfig::new(key(2));
    config.representations = vec![stolen];
    let thief = Node::with(config);
    let address = thief.listen("/ip4/127.0.0.1/tcp/0").await;
    let link = Node::new(1).dial(&thief.peer, &address).await;
    assert!(link.representations()[0].verify(&link.peer(), now, None).is_err());
}

#[tokio::test]
async fn new_representations_hold_for_later_links() {
    let now = UnixTime(1_800_000_000);
    let listener = Node::new(2);
    let address = listener.listen("/ip4/127.0.0.1/udp/0/quic-v1").await;
    let dialer = Node::new(1);
    assert!(dialer.dial(&listener.peer, &address).await.representations().is_empty());
    let terms = Terms::new(1, now, now.plus_seconds(60));
    let claim = Representation::issue(&key(50), listener.peer, &terms);
    listener.transport.set_representations(vec![claim.clone()]).unwrap();
    assert_eq!(dialer.dial(&listener.peer, &address).await.representations(), [claim]);
}

#[tokio::test]
async fn the_first_authenticated_link_wins_and_the_losers_say_nothing() {
    let dialer = Node::new(1);
    let mut listener = Node::new(2);
    let mut addresses = Vec::new();
    for listen in LISTEN {
        addresses.push(listener.listen(listen).await);
    }
    let options = DialOptions::default().attempt_delay(Duration::ZERO);
    let winner = dialer.transport.dial(&listener.peer, &addresses, options).await.unwrap();
    assert_eq!(winner.kind(), LinkKind::Memory, "the quickest by far");
    // Whatever got as far as the listener before it lost ends there without a HELLO.
    let mut kept = 0;
    drop(winner);
    while let Ok(mut link) = listener.accepted.try_recv() {
        let error = link.recv_hello(PATIENCE).await.unwrap_err();
        assert!(matches!(error, HelloError::Ended(_)), "{error}");
        kept += 1;
    }
    assert!(kept >= 1);
}

#[tokio::test]
async fn a_loser_that_had_authenticated_says_goodbye() {
    for listen in LISTEN {
        let dialer = Node::new(1);
        let mut listener = Node::new(2);
        let address = listener.listen(listen).await;
        let loser = dialer.dial(&listener.peer, &address).await;
        let mut accepted = listener.accept().await;
        let closing = tokio::spawn(loser.close());
        let error = accepted.recv_hello(PATIENCE).await.unwrap_err();
        assert_eq!(error, HelloError::Ended(LinkLoss::Closed), "{listen}");
        drop(accepted);
        closing.await.unwrap();
    }
}

#[tokio::test]
async fn a_link_without_hello_is_given_up() {
    for listen in LISTEN {
        let dialer = Node::new(1);
        let mut listener = Node::new(2);
        let address = listener.listen(listen).await;
        let _silent = dialer.dial(&listener.peer, &address).await;
        let mut accepted = listener.accept().await;
        let within = Duration::from_millis(20);
        let error = accepted.recv_hello(within).await.unwrap_err();
        assert_eq!(error, HelloError::Timeout(within), "{listen}");
    }
}

#[tokio::test]
async fn no_secret_is_printed_with_a_link_or_a_transport() {
    let dialer = Node::new(1);
    let listener = Node::new(2);
    let address = listener.listen("/ip4/127.0.0.1/tcp/0").await;
    let link = dialer.dial(&listener.peer, &address).await;
    let printed = format!("{link:?} {:?}", dialer.transport);
    for secret in [link.exporter(), [1; 32]] {
        assert!(!printed.contains(&format!("{secret:?}")), "{printed}");
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!printed.contains(&hex), "{printed}");
    }
}
