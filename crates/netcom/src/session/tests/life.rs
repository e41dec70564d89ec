use std::{sync::Arc, time::Duration};

use netcom_session::{Config, State};

use super::harness::{MEMORY, Party, TCP, on_each, pair};
use crate::{Code, service::Service, stream::StreamError};

#[tokio::test]
async fn a_session_nobody_holds_closes_as_idle() {
    on_each(|a, b| async move {
        let first = a.connect(&b).await;
        let second = first.clone();
        let session = a.sessions.all()[0].clone();
        drop(first);
        assert_eq!(session.state(), State::Live);
        drop(second);
        assert_eq!(session.closed().await.code, Code::IDLE);
        session.done().await;
        assert!(a.sessions.all().is_empty());
        b.log.until(|log| log.ended.lock().len() == 1).await;
        assert!(b.sessions.all().is_empty());
    })
    .await;
}

#[tokio::test]
async fn closing_waits_for_the_last_words_of_sessions_that_ended_before() {
    on_each(|a, b| async move {
        drop((a.connect(&b).await, b.accepted().await));
        assert!(a.sessions.all().is_empty(), "nobody held the session");
        a.sessions.close_all(Code::NO_ERROR, "").await;
        assert_eq!(b.log.ended.lock().iter().map(|end| end.code).collect::<Vec<_>>(), [Code::IDLE]);
    })
    .await;
}

#[tokio::test]
async fn a_dial_that_nobody_waits_for_any_more_leaves_nothing() {
    let (a, b) = pair(TCP).await;
    let hold = a.sessions.attach_dialled(a.dial_at(&b, &b.address).await).unwrap();
    let session = std::sync::Arc::clone(&hold);
    drop(hold);
    session.done().await;
    assert!(a.sessions.all().is_empty());
}

#[tokio::test]
async fn a_session_that_is_gone_leaves_no_deadline() {
    let patient = || {
        let mut config = Config::default();
        config.hello_timeout = Duration::from_secs(3600);
        config
    };
    let a = Party::with_config(1, MEMORY, patient()).await;
    let b = Party::with_config(2, MEMORY, patient()).await;
    let near = a.connect(&b).await;
    let session = near.hold().clone();
    let timer = Arc::clone(&session.node().timer);
    near.close(0, "").await;
    session.done().await;
    let gone = Arc::downgrade(&session);
    drop((near, session, b));
    a.log.accepted.lock().clear();
    let emptied = async {
        while gone.strong_count() > 0 || timer.len() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), emptied).await.unwrap();
}

#[tokio::test]
async fn closing_tells_the_peer_code_and_reason_after_what_was_finished() {
    on_each(|a, b| async move {
        let (near, far) = (a.connect(&b).await, b.accepted().await);
        let mut stream = near.bytes_stream().await.unwrap();
        stream.write_bytes("last words").await.unwrap();
        stream.finish().await.unwrap();
        near.close(7, "done here").await;
        let closed = far.closed().await;
        assert_eq!((closed.code.as_application(), &closed.reason[..]), (Some(7), "done here"));
        assert!(closed.by_peer);
        let mut theirs = far.incoming_streams().next().await.unwrap().into_bytes().unwrap();
        assert_eq!(theirs.read_to_end(100).await.unwrap(), "last words");
        assert!(far.incoming_streams().next().await.is_none());
        assert!(near.bytes_stream().await.is_err());
    })
    .await;
}

#[tokio::test]
async fn closing_one_connection_leaves_the_others_on_the_session() {
    let (a, b) = pair(MEMORY).await;
    let (first, second) = (a.connect(&b).await, a.connect(&b).await);
    let (mut of_first, mut of_second) =
        (first.bytes_stream().await.unwrap(), second.bytes_stream().await.unwrap());
    of_first.write_bytes("x").await.unwrap();
    of_second.write_bytes("y").await.unwrap();
    let far = b.accepted().await;
    let mut streams = far.incoming_streams();
    let mut theirs = [
        streams.next().await.unwrap().into_bytes().unwrap(),
        streams.next().await.unwrap().into_bytes().unwrap(),
    ];
    first.close(5, "").await;
    let end = theirs[0].read_to_end(10).await.unwrap_err();
    assert_eq!(end.wire_code(), Some(Code::application(5)));
    of_second.finish().await.unwrap();
    assert_eq!(theirs[1].read_to_end(10).await.unwrap(), "y");
    assert_eq!(second.state(), State::Live);
    assert!(first.request("x").await.is_err());
}

#[tokio::test]
async fn draining_serves_what_was_begun_and_nothing_new() {
    let (a, b) = pair(TCP).await;
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let wait = std::sync::Arc::clone(&go);
    b.services.on_request(move |request| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            wait.notified().await;
            Ok(request.into_body())
        }
    });
    let near = a.connect(&b).await;
    let begun = tokio::spawn({
        let near = near.clone();
        async move { near.request("begun").await }
    });
    let session = { b.accepted().await.hold().clone() };
    while session.handlers().load(std::sync::atomic::Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    let drain = b.sessions.drain_all(std::time::Duration::from_secs(30));
    let refused = async {
        let late = loop {
            match tokio::time::timeout(std::time::Duration::from_secs(1), near.request("late"))
                .await
            {
                Ok(Err(error)) => break error,
                other => drop(other),
            }
        };
        go.notify_waiters();
        late
    };
    let ((), late) = tokio::join!(drain, refused);
    assert_eq!(late.delivery(), crate::stream::Delivery::NotSent, "{late:?}");
    assert_eq!(begun.await.unwrap().unwrap(), "begun");
}

#[tokio::test]
async fn a_panic_inside_ends_one_session_alone() {
    let (a, b) = pair(TCP).await;
    let c = super::harness::Party::new(3, TCP).await;
    let (to_b, to_c) = (a.connect(&b).await, a.connect(&c).await);
    for party in [&b, &c] {
        let echo = Service::requests("echo", ["1"], |r| async move { Ok(r.into_body()) });
        party.services.serve(echo.unwrap()).unwrap();
    }
    let mut stream = to_b.bytes_stream().await.unwrap();
    stream.write_bytes("x").await.unwrap();
    to_b.hold().panic_inside();
    assert_eq!(to_b.closed().await.code, Code::INTERNAL);
    let error = stream.read_chunk(1).await.unwrap_err();
    assert!(matches!(error, StreamError::SessionEnded { code: Code::INTERNAL, .. }));
    let options = crate::RequestOptions::new().protocol("echo/1");
    assert_eq!(to_c.request_with("x", &options).await.unwrap(), "x");
    // The peer notices the loss of the link, and a new session can be had.
    let again = a.connect(&b).await;
    assert_eq!(again.request_with("y", &options).await.unwrap(), "y");
}

#[tokio::test]
async fn a_ping_measures_the_link_in_use() {
    on_each(|a, b| async move {
        let near = a.connect(&b).await;
        assert!(near.ping().await.unwrap() > std::time::Duration::ZERO);
        assert!(near.path().rtt.is_some());
        near.close(0, "").await;
        assert_eq!(near.ping().await, None);
    })
    .await;
}
