use std::{collections::BTreeSet, task::Poll};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::poll_immediate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::harness::{Checksum, MEMORY, QUIC, TCP, on_each, pair, pattern};
use crate::{
    Code,
    service::{HandlerError, Service},
    stream::{
        ByteStream, Delivery, IncomingStream, MessageStream, StreamError, StreamErrorMessage,
        XStream,
    },
};

/// A stream of bytes with both its ends.
async fn bytes(address: &str) -> (Ends, ByteStream, ByteStream) {
    let (a, b) = pair(address).await;
    let (near, far) = (a.connect(&b).await, b.accepted().await);
    let mut stream = near.bytes_stream().await.unwrap();
    stream.write_bytes("first").await.unwrap();
    let Some(IncomingStream::Bytes(mut other)) = far.incoming_streams().next().await else {
        panic!("a stream of bytes was opened")
    };
    assert_eq!(other.read_chunk(100).await.unwrap().unwrap(), "first");
    (Ends { _keep: (a, b, near, far) }, stream, other)
}

/// What has to live as long as the streams.
struct Ends {
    _keep: (super::harness::Party, super::harness::Party, crate::Connection, crate::Connection),
}

async fn x_streams(address: &str) -> (Ends, XStream, XStream) {
    let (a, b) = pair(address).await;
    let (near, far) = (a.connect(&b).await, b.accepted().await);
    let stream = near.x_stream().await.unwrap();
    let Some(IncomingStream::X(other)) = far.incoming_streams().next().await else {
        panic!("a stream with errors was opened")
    };
    (Ends { _keep: (a, b, near, far) }, stream, other)
}

async fn messages(address: &str) -> (Ends, MessageStream, MessageStream) {
    let (a, b) = pair(address).await;
    let (near, far) = (a.connect(&b).await, b.accepted().await);
    let stream = near.msg_stream().await.unwrap();
    let Some(IncomingStream::Messages(other)) = far.incoming_streams().next().await else {
        panic!("a stream of messages was opened")
    };
    (Ends { _keep: (a, b, near, far) }, stream, other)
}

#[tokio::test]
async fn sixty_four_mebibytes_arrive_whole_in_both_directions_at_once() {
    for address in [MEMORY, TCP, QUIC] {
        let (_ends, near, far) = bytes(address).await;
        let (mut near_out, mut near_in) = near.into_split();
        let (mut far_out, mut far_in) = far.into_split();
        let block = pattern(1 << 20, 1);
        let expected = {
            let mut sum = Checksum::new();
            (0..64).for_each(|_| sum.add(&block));
            sum.value()
        };
        let send_owned = async {
            for _ in 0..64 {
                near_out.write_bytes(block.clone()).await.unwrap();
            }
            near_out.finish().await.unwrap();
        };
        let send_copied = async {
            for _ in 0..64 {
                far_out.write_all(&block).await.unwrap();
            }
            far_out.shutdown().await.unwrap();
        };
        let receive_owned = async {
            let mut sum = Checksum::new();
            while let Some(chunk) = far_in.read_chunk(1 << 20).await.unwrap() {
                sum.add(&chunk);
            }
            assert_eq!(sum.value(), expected, "{address}");
        };
        let receive_copied = async {
            let (mut sum, mut buffer) = (Checksum::new(), vec![0; 100_000]);
            loop {
                let count = near_in.read(&mut buffer).await.unwrap();
                if count == 0 {
                    break;
                }
                sum.add(&buffer[..count]);
            }
            assert_eq!(sum.value(), expected, "{address}");
        };
        tokio::join!(send_owned, send_copied, receive_owned, receive_copied);
    }
}

#[tokio::test]
async fn one_direction_ends_and_the_other_goes_on() {
    for address in [MEMORY, TCP, QUIC] {
        let (_ends, mut near, mut far) = bytes(address).await;
        near.write_bytes("the end").await.unwrap();
        near.finish().await.unwrap();
        assert_eq!(near.delivery(), Delivery::Delivered);
        assert_eq!(near.write_bytes("more").await, Err(StreamError::Finished));
        assert_eq!(far.read_to_end(100).await.unwrap(), "the end");
        for n in 0..10u8 {
            far.write_bytes(vec![n; 1000]).await.unwrap();
            let mut answer = [0; 1000];
            near.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, [n; 1000]);
        }
        far.finish().await.unwrap();
        assert_eq!(near.read_chunk(1).await, Ok(None));
        assert_eq!(near.read_chunk(1).await, Ok(None));
    }
}

#[tokio::test]
async fn who_gave_a_stream_up_does_not_wait_for_its_end() {
    for address in [MEMORY, TCP, QUIC] {
        let (_ends, mut near, _far) = bytes(address).await;
        near.write_bytes("some").await.unwrap();
        near.reset(7);
        assert_eq!(near.finish().await, Err(StreamError::Finished));
        assert_eq!(near.write_bytes("more").await, Err(StreamError::Finished));
    }
}

#[tokio::test]
async fn a_dropped_sender_is_never_a_clean_end() {
    for address in [MEMORY, TCP, QUIC] {
        let (_ends, mut near, mut far) = bytes(address).await;
        near.write_bytes("a part").await.unwrap();
        drop(near);
        let end = far.read_to_end(1000).await;
        let abandoned = |end: &Result<Bytes, StreamError>| {
            matches!(end, Err(StreamError::Reset { code: Code::ABANDONED, .. }))
        };
        assert!(abandoned(&end), "{end:?}");
        assert!(far.write_bytes("x").await.is_err() || far.finish().await.is_err());
    }
}

#[tokio::test]
async fn a_dropped_receiver_stops_the_sender() {
    let (_ends, near, far) = bytes(TCP).await;
    let (mut out, _keep) = near.into_split();
    let (_keep_too, incoming) = far.into_split();
    drop(incoming);
    assert_eq!(out.stopped().await, Code::ABANDONED);
    let error = out.write_bytes("x").await.unwrap_err();
    assert_eq!(error.wire_code(), Some(Code::ABANDONED));
}

#[tokio::test]
async fn a_code_of_the_application_arrives_with_a_reset() {
    let (_ends, mut near, mut far) = bytes(TCP).await;
    near.reset(42);
    let error = far.read_to_end(1000).await.unwrap_err();
    assert_eq!(error.wire_code().and_then(Code::as_application), Some(42));
}

#[tokio::test]
async fn a_cancelled_write_took_all_or_nothing() {
    let (_ends, near, far) = bytes(TCP).await;
    let (mut out, _keep) = near.into_split();
    let (_keep_too, mut incoming) = far.into_split();
    // The first fills the flow's room and leaves a rest, which the stream keeps.
    let first = pattern(8 << 20, 1);
    {
        let mut write = std::pin::pin!(out.write_bytes(first.clone()));
        assert!(poll_until_quiet(&mut write).await.is_pending());
    }
    // The second finds no room at all, and is forgotten.
    let second = pattern(1000, 2);
    assert_eq!(out.write_bytes(second).now_or_never(), None);
    let third = pattern(1000, 3);
    let send = async {
        out.write_bytes(third.clone()).await.unwrap();
        out.finish().await.unwrap();
    };
    let (got, ()) = tokio::join!(incoming.read_to_end(usize::MAX), send);
    assert_eq!(got.unwrap(), [first, third].concat());
}

#[tokio::test]
async fn a_slow_reader_stops_its_own_stream_only() {
    for address in [MEMORY, TCP, QUIC] {
        let (a, b) = pair(address).await;
        b.services.on_request(|request| async move { Ok(request.into_body()) });
        let (near, far) = (a.connect(&b).await, b.accepted().await);
        let mut slow = near.bytes_stream().await.unwrap();
        let mut streams = far.incoming_streams();
        // Nobody reads this one, so its writer stops somewhere.
        let mut blocked = 0;
        loop {
            let mut write = std::pin::pin!(slow.write_bytes(pattern(256 << 10, blocked)));
            let Poll::Ready(written) = poll_until_quiet(&mut write).await else { break };
            written.unwrap();
            blocked += 1;
            assert!(blocked < 512, "a stream nobody reads takes no 128 MiB");
        }
        let body = pattern(4 << 20, 9);
        assert_eq!(near.request(body.clone()).await.unwrap(), body);
        let mut other = near.bytes_stream().await.unwrap();
        let (first, second) = (streams.next().await.unwrap(), streams.next());
        other.write_bytes("quick").await.unwrap();
        let mut far_other = second.await.unwrap().into_bytes().unwrap();
        assert_eq!(far_other.read_chunk(10).await.unwrap().unwrap(), "quick");

        // Read at last, it goes on.
        let mut reader = first.into_bytes().unwrap();
        let finish = async { slow.finish().await.unwrap() };
        let drain = async { reader.read_to_end(usize::MAX).await.unwrap() };
        let ((), all) = tokio::join!(finish, drain);
        assert_eq!(all.len(), usize::try_from(blocked + 1).unwrap() * (256 << 10), "{address}");
    }
}

/// Polls a future while it makes progress within many turns of the runtime.
async fn poll_until_quiet<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    for _ in 0..QUIET_TURNS {
        if let Some(output) = poll_immediate(&mut *future).await {
            return Poll::Ready(output);
        }
        tokio::task::yield_now().await;
    }
    Poll::Pending
}

/// Turns of the runtime after which nothing more is to be expected.
const QUIET_TURNS: usize = 2000;

#[tokio::test]
async fn errors_arrive_while_data_is_blocked_and_after_it_ended() {
    for address in [MEMORY, TCP, QUIC] {
        let (_ends, near, mut far) = x_streams(address).await;
        let (mut out, incoming, mut errors_out, mut errors_in) = near.into_parts();
        // The data is blocked: nobody reads it.
        let body = pattern(32 << 20, 1);
        {
            let mut filling = std::pin::pin!(out.write_bytes(body.clone()));
            assert!(poll_until_quiet(&mut filling).await.is_pending(), "{address}");
            let warning = StreamErrorMessage::new("slow", "you read nothing").with("bytes", "0");
            far.send_error(&warning).await.unwrap();
            errors_out.send(&warning).await.unwrap();
            assert_eq!(errors_in.next().await, Some(warning.clone()));
            assert_eq!(far.next_error().await, Some(warning.clone()));
            assert!(poll_immediate(&mut filling).await.is_none(), "{address}");
        }
        // The data goes on, ends, and errors still pass.
        let finish = async { out.shutdown().await.unwrap() };
        let read = async {
            let mut sum = Checksum::new();
            while let Some(chunk) = far.read_chunk(1 << 20).await.unwrap() {
                sum.add(&chunk);
            }
            sum.value()
        };
        let ((), sum) = tokio::join!(finish, read);
        assert_eq!(sum, Checksum::of(&body), "{address}");
        far.finish().await.unwrap();
        let late = StreamErrorMessage::new("late", "after the data");
        far.send_error(&late).await.unwrap();
        assert_eq!(errors_in.next().await, Some(late));
        drop((far, incoming));
        assert_eq!(errors_in.next().await, None, "{address}");
    }
}

#[tokio::test]
async fn messages_keep_their_order_and_their_limits() {
    for address in [MEMORY, TCP, QUIC] {
        let (_ends, mut near, mut far) = messages(address).await;
        let lengths = [0, 1, 127, 128, 4095, 4096, 16_384, 100_000, 5 << 20, 3];
        let send = async {
            for (n, length) in lengths.iter().enumerate() {
                near.send(pattern(*length, n as u64)).await.unwrap();
            }
            let large = near.send(pattern((16 << 20) + 1, 0)).await.unwrap_err();
            assert_eq!(large, StreamError::TooLarge { length: (16 << 20) + 1, limit: 16 << 20 });
            near.send("after the refusal").await.unwrap();
            near.finish().await.unwrap();
        };
        let receive = async {
            for (n, length) in lengths.iter().enumerate() {
                let message = far.recv().await.unwrap().unwrap();
                assert_eq!(message, pattern(*length, n as u64), "{address} {length}");
            }
            assert_eq!(far.recv().await.unwrap().unwrap(), "after the refusal");
            assert_eq!(far.recv().await.unwrap(), None);
        };
        tokio::join!(send, receive);
    }
}

#[tokio::test]
async fn a_message_beyond_the_receivers_limit_is_its_own_error() {
    let (_ends, mut near, far) = messages(TCP).await;
    let mut far = far.max_message(100);
    near.send(vec![1; 100]).await.unwrap();
    near.send(vec![2; 101]).await.unwrap();
    assert_eq!(far.recv().await.unwrap().unwrap(), vec![1; 100]);
    assert!(matches!(far.recv().await, Err(StreamError::Malformed(_))));
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_message_says_so() {
    let (a, b) = pair(TCP).await;
    let (near, far) = (a.connect(&b).await, b.accepted().await);
    let mut raw = near.open("netcom/messages/1").await.unwrap();
    raw.write_bytes(&b"\x05abc"[..]).await.unwrap();
    raw.finish().await.unwrap();
    let Some(IncomingStream::Messages(mut far)) = far.incoming_streams().next().await else {
        panic!("a stream of messages was opened")
    };
    assert!(matches!(far.recv().await, Err(StreamError::Malformed(_))));
}

#[tokio::test]
async fn a_failing_stream_handler_tells_its_caller_and_harms_nobody_else() {
    on_each(|a, b| async move {
        let service = Service::streams("echo", ["1"], |mut stream: XStream, _| async move {
            while let Some(chunk) = stream.read_chunk(1 << 16).await? {
                if chunk == "fail" {
                    return Err(HandlerError::new("told_to", "asked to fail"));
                }
                assert_ne!(chunk, "panic");
                stream.write_bytes(chunk).await?;
            }
            stream.finish().await?;
            Ok(())
        });
        b.services.serve(service.unwrap()).unwrap();
        let connection = a.connect(&b).await;
        let mut fine = connection.open("echo/1").await.unwrap();
        for (word, code) in [("fail", "told_to"), ("panic", "panicked")] {
            let mut failing = connection.open("echo/1").await.unwrap();
            failing.write_bytes(word).await.unwrap();
            assert_eq!(failing.next_error().await.unwrap().code(), code);
            assert!(matches!(failing.read_chunk(10).await, Err(StreamError::Reset { .. })));
        }
        fine.write_bytes("fine").await.unwrap();
        assert_eq!(fine.read_chunk(10).await.unwrap().unwrap(), "fine");
        fine.finish().await.unwrap();
        assert_eq!(fine.read_chunk(10).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_name_is_served_once_and_no_more_after_it_was_withdrawn() {
    let (a, b) = pair(MEMORY).await;
    let service = |versions: &'static [&'static str]| {
        Service::requests("echo", versions.iter().copied(), |r| async move { Ok(r.into_body()) })
    };
    let handle = b.services.serve(service(&["1", "2"]).unwrap()).unwrap();
    assert_eq!(
        b.services.serve(service(&["2"]).unwrap()).unwrap_err().to_string(),
        "a service named echo is served already"
    );
    assert_eq!(b.services.advertised().len(), 1);
    let connection = a.connect(&b).await;
    let options = crate::RequestOptions::new().protocol("echo/2");
    assert_eq!(connection.request_with("x", &options).await.unwrap(), "x");
    handle.withdraw();
    let gone = connection.request_with("x", &options).await.unwrap_err();
    assert_eq!(gone.code(), "unknown_protocol");
}

#[tokio::test]
async fn datagrams_arrive_at_most_once() {
    let (a, b) = pair(TCP).await;
    let (near, far) = (a.connect(&b).await, b.accepted().await);
    let (out, incoming) = (near.datagrams(), far.datagrams());
    for n in 0..50u8 {
        out.send(vec![n; 100]).unwrap();
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 50 {
        assert!(seen.insert(incoming.recv().await.unwrap()));
    }
    assert!(out.send(vec![0; 1101]).is_err());
    let waits = tokio::spawn(async move { incoming.recv().await });
    a.close().await;
    assert_eq!(waits.await.unwrap(), None);
}
