use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{self, join_all};
use netcom_session::Code;
use tokio::sync::{Notify, Semaphore};

use super::harness::{MEMORY, TCP, on_each, pair, pattern};
use crate::{
    access::Access,
    request::{RequestError, RequestOptions},
    service::{HandlerError, Service},
    stream::{Delivery, StreamError},
};

#[tokio::test]
async fn a_request_comes_back_answered_over_every_transport() {
    on_each(|a, b| async move {
        b.services.on_request(|request| async move { Ok(request.into_body()) });
        let connection = a.connect(&b).await;
        assert_eq!(connection.request("hello").await.unwrap(), "hello");
        assert_eq!(connection.request("").await.unwrap(), "");
        assert_eq!(connection.peer_id(), b.peer);
        a.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_long_body_comes_back_whole() {
    on_each(|a, b| async move {
        b.services.on_request(|request| async move { Ok(request.into_body()) });
        let connection = a.connect(&b).await;
        let body = pattern(8 << 20, 1);
        assert_eq!(connection.request(body.clone()).await.unwrap(), body);
    })
    .await;
}

#[tokio::test]
async fn sixty_four_requests_at_once_do_not_wait_for_each_other() {
    on_each(|a, b| async move {
        // The handlers answer only once all of them run.
        let all_run = Arc::new(tokio::sync::Barrier::new(64));
        b.services.on_request(move |request| {
            let all_run = Arc::clone(&all_run);
            async move {
                all_run.wait().await;
                Ok(request.into_body())
            }
        });
        let connection = a.connect(&b).await;
        let requests = (0..64u32).map(|n| {
            let connection = connection.clone();
            async move {
                let body = Bytes::copy_from_slice(&n.to_be_bytes());
                assert_eq!(connection.request(body.clone()).await.unwrap(), body);
            }
        });
        join_all(requests).await;
    })
    .await;
}

#[tokio::test]
async fn a_short_request_takes_one_frame_of_data_each_way() {
    let (a, b) = pair(MEMORY).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    let connection = a.connect(&b).await;
    connection.request("one").await.unwrap();
    let before = (connection.stats(), b.accepted().await.stats());
    for _ in 0..100 {
        connection.request("another").await.unwrap();
    }
    let after = (connection.stats(), b.accepted().await.stats());
    assert_eq!(after.0.streams_opened - before.0.streams_opened, 100);
    // One frame of data and at most one acknowledgement for each.
    assert!(after.0.received_frames - before.0.received_frames <= 210, "{after:?} {before:?}");
    assert!(after.1.received_frames - before.1.received_frames <= 210, "{after:?} {before:?}");
}

#[tokio::test]
async fn a_handlers_error_and_its_panic_reach_the_caller_and_nobody_else() {
    on_each(|a, b| async move {
        b.services.on_request(|request| async move {
            match &request.body()[..] {
                b"fail" => Err(HandlerError::new("disk_full", "no room left").with("disk", "sda")),
                b"panic" => panic!("on purpose"),
                b"convert" => Ok("x".parse::<u8>()?.to_string().into()),
                _ => Ok(request.into_body()),
            }
        });
        let connection = a.connect(&b).await;
        let (fail, panicked, convert, fine) = tokio::join!(
            connection.request("fail"),
            connection.request("panic"),
            connection.request("convert"),
            connection.request("fine"),
        );
        let Err(RequestError::Remote(message)) = fail else { panic!("{fail:?}") };
        assert_eq!((message.code(), message.message()), ("disk_full", "no room left"));
        assert_eq!(message.context()["disk"], "sda");
        let Err(RequestError::Remote(message)) = panicked else { panic!("{panicked:?}") };
        assert_eq!(message.code(), "panicked");
        let Err(RequestError::Remote(message)) = convert else { panic!("{convert:?}") };
        assert_eq!(message.code(), "failed");
        assert_eq!(fine.unwrap(), "fine");
    })
    .await;
}

#[tokio::test]
async fn who_is_not_admitted_is_denied_before_any_handler_runs() {
    on_each(|a, b| async move {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        b.services.on_request(move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(request.into_body()) }
        });
        let count = Arc::clone(&ran);
        let service = Service::requests("secret", ["1"], move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(request.into_body()) }
        });
        let service = service.unwrap().access(Access::own_entity());
        b.services.serve(service).unwrap();
        let connection = a.connect(&b).await;
        let options = RequestOptions::new().protocol("secret/1");

        let denied = connection.request_with("x", &options).await.unwrap_err();
        assert_eq!(denied, RequestError::Stream(StreamError::Denied));
        assert_eq!((denied.code(), denied.delivery()), ("denied", Delivery::NotSent));

        b.services.set_access(Access::nobody());
        let denied = connection.request("x").await.unwrap_err();
        assert_eq!(denied, RequestError::Stream(StreamError::Denied));
        assert_eq!(ran.load(Ordering::Relaxed), 0);

        b.services.set_access(a.peer.into());
        assert_eq!(connection.request("x").await.unwrap(), "x");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_protocol_is_a_typed_error() {
    on_each(|a, b| async move {
        let connection = a.connect(&b).await;
        let error = connection.request("x").await.unwrap_err();
        assert_eq!(error, RequestError::Stream(StreamError::UnknownProtocol));
        let mut stream = connection.open("nobody/7").await.unwrap();
        assert_eq!(stream.read_chunk(10).await, Err(StreamError::UnknownProtocol));
        assert_eq!(stream.next_error().await, None);
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_request_cancels_its_handler() {
    let (a, b) = pair(TCP).await;
    let (started, dropped) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (has_started, has_dropped) = (Arc::clone(&started), Arc::clone(&dropped));
    b.services.on_request(move |_| {
        has_started.notify_one();
        let guard = Guard(Arc::clone(&has_dropped));
        async move {
            let _guard = guard;
            future::pending().await
        }
    });
    let connection = a.connect(&b).await;
    let mut request = Box::pin(connection.request("x"));
    tokio::select! {
        answer = &mut request => panic!("{answer:?}"),
        () = started.notified() => {}
    }
    drop(request);
    dropped.acquire().await.unwrap().forget();

    let options = RequestOptions::new().timeout(Duration::from_millis(20));
    let late = connection.request_with("y", &options).await.unwrap_err();
    assert!(matches!(late, RequestError::Timeout { .. }), "{late:?}");
    assert_ne!(late.delivery(), Delivery::NotSent);
    dropped.acquire().await.unwrap().forget();
    a.sessions.all()[0].quiet().await;
}

struct Guard(Arc<Semaphore>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[tokio::test]
async fn bodies_beyond_the_limits_are_typed_errors() {
    let (a, b) = pair(TCP).await;
    let echo = Service::requests("echo", ["1"], |r| async move { Ok(r.into_body()) }).unwrap();
    b.services.serve(echo.max_body(1000)).unwrap();
    let connection = a.connect(&b).await;
    let options = RequestOptions::new().protocol("echo/1").max_answer(100);

    let long = connection.request_with(pattern(1 << 20, 1), &options).await.unwrap_err();
    let RequestError::Remote(message) = long else { panic!("{long:?}") };
    assert_eq!(message.code(), "body_too_large");
    let long = connection.request_with(pattern(500, 1), &options).await.unwrap_err();
    assert_eq!(long, RequestError::AnswerTooLarge { limit: 100 });
    assert_eq!(connection.request_with(pattern(90, 1), &options).await.unwrap(), pattern(90, 1));
}

#[tokio::test]
async fn a_request_on_a_session_that_ended_tells_what_is_known_of_it() {
    let (a, b) = pair(TCP).await;
    let started = Arc::new(Notify::new());
    let has_started = Arc::clone(&started);
    b.services.on_request(move |_| {
        has_started.notify_one();
        future::pending()
    });
    let connection = a.connect(&b).await;
    let request = connection.request("x");
    let close = async {
        started.notified().await;
        b.sessions.close_all(Code::application(7), "enough").await;
    };
    let (failed, ()) = tokio::join!(request, close);
    let failed = failed.unwrap_err();
    let RequestError::Stream(StreamError::SessionEnded { code, .. }) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(code, Code::application(7));
    assert_ne!(failed.delivery(), Delivery::NotSent);
    let closed = connection.closed().await;
    assert_eq!((closed.code, &closed.reason[..]), (Code::application(7), "enough"));
    let after = connection.request("y").await.unwrap_err();
    assert_eq!(after.delivery(), Delivery::NotSent);
}
