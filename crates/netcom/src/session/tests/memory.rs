use std::sync::Arc;

use netcom_session::{Code, Config};

use super::harness::{MEMORY, Party, pattern};
use crate::{
    connection::Connection,
    request::RequestError,
    session::{AttachFailure, Hold},
    stream::{IncomingStream, StreamError},
};

const MIB: u64 = 1 << 20;
const MESSAGE: usize = 12 << 20;

/// Two nodes, of which the second has so much memory for sessions.
async fn pair_with(memory: u64) -> (Party, Party) {
    let b = Party::with_memory(2, MEMORY, Config::default(), memory).await;
    (Party::new(1, MEMORY).await, b)
}

async fn attach(from: &Party, to: &Party) -> Result<Hold, AttachFailure> {
    let hold = from.sessions.attach_dialled(from.dial_at(to, &to.address).await)?;
    hold.wait_attached().await.map(|()| hold)
}

fn overloaded<T>(result: &Result<T, StreamError>) -> bool {
    matches!(result, Err(StreamError::Overloaded { code: Code::OVERLOADED }))
}

#[tokio::test]
async fn a_node_without_memory_lets_nobody_in_until_somebody_leaves() {
    // What must be left, and one session.
    let (a, b) = pair_with(MIB + (64 << 10)).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    let (c, d) = (Party::new(3, MEMORY).await, Party::new(4, MEMORY).await);
    let first = Connection::new(attach(&a, &b).await.unwrap(), None, String::new());
    let _second = attach(&c, &b).await.unwrap();
    let refused = AttachFailure::Refused(Code::OVERLOADED);
    assert_eq!(attach(&d, &b).await.unwrap_err(), refused);
    assert_eq!(first.request("still there?").await.unwrap(), "still there?");
    let to_dial = b.sessions.attach_dialled(b.dial_at(&d, &d.address).await);
    assert_eq!(to_dial.unwrap_err(), AttachFailure::Full);

    first.close(0, "").await;
    b.log.until(|log| !log.ended.lock().is_empty()).await;
    b.log.accepted.lock().clear();
    while attach(&d, &b).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn unread_streams_are_refused_beyond_the_share_of_their_session() {
    let (a, b) = pair_with(16 * MIB).await;
    let near = a.connect(&b).await;
    let far = b.accepted().await;
    let (mut held, mut taken) = (Vec::new(), Vec::new());
    let mut theirs = far.incoming_streams();
    loop {
        let mut stream = near.bytes_stream().await.unwrap();
        stream.write_bytes(vec![7; 16 << 10]).await.unwrap();
        let read = tokio::select! {
            read = stream.read_chunk(1) => read.map(|_| None),
            next = theirs.next() => Ok(next.and_then(IncomingStream::into_bytes)),
        };
        match read {
            Ok(their) => {
                held.push(stream);
                taken.extend(their);
            }
            Err(_) => {
                assert!(overloaded(&read.map(|_| ())));
                break;
            }
        }
    }
    assert!((20..128).contains(&held.len()), "{}", held.len());
    let budget = Arc::clone(&far.hold().node().budget);
    assert!(budget.used() <= 3 * MIB, "{}", budget.used());
    // The others go on.
    held[0].finish().await.unwrap();
    assert_eq!(taken[0].read_to_end(1 << 20).await.unwrap().len(), 16 << 10);
}

#[tokio::test]
async fn a_body_without_room_is_refused_as_overloaded_and_a_shorter_one_is_answered() {
    let (a, b) = pair_with(32 * MIB).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    let near = a.connect(&b).await;
    for _ in 0..3 {
        let answer = near.request(pattern(MESSAGE, 1)).await;
        let Err(RequestError::Stream(refused)) = answer else { panic!("{answer:?}") };
        assert!(overloaded::<()>(&Err(refused)));
        let body = pattern(4 << 20, 2);
        assert_eq!(near.request(body.clone()).await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_message_without_room_is_given_up_by_name_at_both_ends() {
    let (a, b) = pair_with(32 * MIB).await;
    let near = a.connect(&b).await;
    let mut stream = near.msg_stream().await.unwrap();
    let far = b.accepted().await;
    let sending = async {
        stream.send(pattern(4 << 20, 1)).await.unwrap();
        let sent = stream.send(pattern(MESSAGE, 2)).await;
        sent.and(stream.finish().await)
    };
    let receiving = async {
        let Some(IncomingStream::Messages(mut theirs)) = far.incoming_streams().next().await else {
            panic!("a stream of messages");
        };
        assert_eq!(theirs.recv().await.unwrap().map(|message| message.len()), Some(4 << 20));
        (theirs.recv().await, theirs)
    };
    let (sent, (received, _theirs)) = tokio::join!(sending, receiving);
    assert!(matches!(received, Err(StreamError::NoRoom { .. })), "{received:?}");
    assert!(overloaded(&sent), "{sent:?}");
}

#[tokio::test]
async fn what_sessions_took_is_given_back_with_them() {
    let (a, b) = pair_with(64 * MIB).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    let near = a.connect(&b).await;
    near.request(pattern(4 << 20, 1)).await.unwrap();
    let mut stream = near.bytes_stream().await.unwrap();
    stream.write_bytes(vec![7; 200 << 10]).await.unwrap();
    let budget = Arc::clone(&b.accepted().await.hold().node().budget);
    assert!(budget.used() > 0);
    near.close(0, "").await;
    b.log.until(|log| !log.ended.lock().is_empty()).await;
    b.log.accepted.lock().clear();
    let given_back = async {
        while budget.used() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), given_back).await.unwrap();
}
