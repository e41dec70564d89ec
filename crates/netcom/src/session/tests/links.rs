use std::time::Duration;

use netcom_session::{LinkKind, State};
use tokio::task;

use super::harness::{Checksum, Party, Proxy, QUIC, TCP, pattern};
use crate::{
    Code,
    connection::PathKind,
    session::AttachFailure,
    stream::{ByteReceiver, ByteSender},
};

#[tokio::test]
async fn a_transfer_goes_on_over_a_new_link_after_each_cut() {
    let (a, b) = super::harness::pair(TCP).await;
    let proxy = Proxy::new(&b.address).await;
    let near = a.connect_at(&b, &proxy.address).await;
    let far = b.accepted().await;
    let (mut out, _keep) = near.bytes_stream().await.unwrap().into_split();
    let mut streams = far.incoming_streams();
    let block = pattern(64 << 10, 3);
    let expected = {
        let mut sum = Checksum::new();
        (0..512).for_each(|_| sum.add(&block));
        sum.value()
    };
    let send = async {
        for _ in 0..512 {
            out.write_bytes(block.clone()).await.unwrap();
        }
        out.finish().await.unwrap();
    };
    let receive = async {
        let mut incoming = streams.next().await.unwrap().into_bytes().unwrap();
        let (mut sum, mut count, mut cuts) = (Checksum::new(), 0, 0);
        while let Some(chunk) = incoming.read_chunk(64 << 10).await.unwrap() {
            sum.add(&chunk);
            count += chunk.len();
            if count > (cuts + 1) * (8 << 20) {
                cuts += 1;
                proxy.cut();
                a.log.until(|log| *log.detached.lock() == cuts).await;
                let link = a.dial_at(&b, &proxy.address).await;
                let session = a.sessions.all()[0].clone();
                a.sessions.attach_dialled_to(&session, link).unwrap();
            }
        }
        assert_eq!((sum.value(), count, cuts), (expected, 32 << 20, 3));
    };
    tokio::join!(send, receive);
    assert_eq!((a.sessions.all().len(), b.sessions.all().len()), (1, 1));
    // The link, told by its side that did not dial: the first and three more.
    assert_eq!(
        *b.log.attached.lock(),
        [(true, false), (false, false), (false, false), (false, false)]
    );
}

#[tokio::test]
async fn a_standby_link_takes_over_without_a_gap_in_the_session() {
    let (a, b) = super::harness::pair(TCP).await;
    let quic = b.transport.listen(&QUIC.parse().unwrap()).await.unwrap();
    let proxy = Proxy::new(&b.address).await;
    let near = a.connect_at(&b, &proxy.address).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    let session = a.sessions.all()[0].clone();
    a.sessions.attach_dialled_to(&session, a.dial_at(&b, &quic).await).unwrap();
    a.log.until(|log| log.attached.lock().len() == 2).await;
    assert_eq!((near.path().link, near.path().standby), (Some(LinkKind::Tcp), 1));
    assert_eq!(near.path().kind, PathKind::Local);

    let body = pattern(16 << 20, 1);
    let request = near.request(body.clone());
    let cut = async {
        task::yield_now().await;
        proxy.cut();
    };
    let (answer, ()) = tokio::join!(request, cut);
    assert_eq!(answer.unwrap(), body);
    assert_eq!((near.path().link, near.path().standby), (Some(LinkKind::Quic), 0));
    assert_eq!(*a.log.detached.lock(), 0);
}

#[tokio::test]
async fn streams_of_a_session_whose_window_closed_end_as_unknown() {
    let mut config = netcom_session::Config::default();
    config.resume_window = Duration::from_millis(50);
    let a = Party::with_config(1, TCP, config.clone()).await;
    let b = Party::with_config(2, TCP, config).await;
    let proxy = Proxy::new(&b.address).await;
    let near = a.connect_at(&b, &proxy.address).await;
    let stream = near.bytes_stream().await.unwrap();
    let (mut out, mut incoming): (ByteSender, ByteReceiver) = stream.into_split();
    out.write_bytes("x").await.unwrap();
    let far = b.accepted().await;
    let _theirs = far.incoming_streams().next().await.unwrap();
    proxy.cut();
    let error = incoming.read_chunk(1).await.unwrap_err();
    assert_eq!(error.wire_code(), Some(Code::RESUME_EXPIRED));
    assert!(out.finish().await.is_err());
    assert_eq!(near.closed().await.code, Code::RESUME_EXPIRED);
    assert_eq!(near.state(), State::Closed);
    a.log.until(|log| log.ended.lock().len() == 1).await;
    assert!(a.sessions.all().is_empty());
    // A new session follows.
    let again = a.connect_at(&b, &proxy.address).await;
    assert_eq!(again.peer_id(), b.peer);
}

#[tokio::test]
async fn the_oldest_of_too_many_detached_sessions_gives_way() {
    // A quarter of it is for 1,024 that wait.
    let memory = 4 * 1024 * (64 << 10);
    let config = netcom_session::Config::default();
    let hub = Party::with_memory(0, super::harness::MEMORY, config, memory).await;
    let mut others = Vec::new();
    for seed in 1..=1025 {
        let other = Party::new(seed, super::harness::MEMORY).await;
        let connection = other.connect(&hub).await;
        others.push((other, connection));
        // The peer forgets the session without a word, as if its machine had stopped.
        hub.log.until(|log| log.accepted.lock().len() as u64 == seed).await;
        let session = hub.log.accepted.lock()[seed as usize - 1].clone();
        session.lose_links();
        hub.log.until(|log| *log.detached.lock() as u64 == seed).await;
    }
    let ended = hub.log.ended.lock().clone();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].code, Code::RESUME_EVICTED);
    assert_eq!(hub.log.accepted.lock()[0].state(), State::Closed);
    assert_eq!(hub.sessions.all().len(), 1024);
}

#[tokio::test]
async fn a_link_that_was_turned_away_fails_the_dial_and_leaves_nothing() {
    let a = Party::new(1, TCP).await;
    let b = Party::new(2, TCP).await;
    let link = a.dial_at(&b, &b.address).await;
    let hold = a.sessions.attach_dialled(link).unwrap();
    // The acceptor goes before it answers.
    drop(b);
    let failure = hold.wait_attached().await.unwrap_err();
    assert!(matches!(failure, AttachFailure::Refused(_)), "{failure:?}");
    drop(hold);
    a.log.until(|log| log.ended.lock().len() == 1).await;
    assert!(a.sessions.all().is_empty());
}

#[tokio::test]
async fn a_peer_that_was_replaced_by_another_process_is_reached_by_dialling_again() {
    let a = Party::new(1, TCP).await;
    let b = Party::new(2, TCP).await;
    let proxy = Proxy::new(&b.address).await;
    let near = a.connect_at(&b, &proxy.address).await;
    let stream = near.bytes_stream().await.unwrap();
    let session = a.sessions.all()[0].clone();
    // The same key, another process.
    let other = Party::new(2, TCP).await;
    other.services.on_request(|request| async move { Ok(request.into_body()) });
    proxy.cut();
    a.log.until(|log| *log.detached.lock() == 1).await;
    let link = a.dial_at(&other, &other.address).await;
    a.sessions.attach_dialled_to(&session, link).unwrap();
    let failure = session.wait_attached().await.unwrap_err();
    assert_eq!(failure, AttachFailure::Ended(Code::INSTANCE_CHANGED));

    let again = a.connect_at(&other, &other.address).await;
    assert_eq!(again.request("x").await.unwrap(), "x");
    // The first session still waits for its own process, which comes back.
    assert_eq!(session.state(), State::Detached);
    let link = a.dial_at(&b, &proxy.address).await;
    a.sessions.attach_dialled_to(&session, link).unwrap();
    session.wait_attached().await.unwrap();
    drop(stream);
}
