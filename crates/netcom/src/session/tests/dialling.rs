use std::sync::Arc;

use netcom_session::State;

use super::harness::{MEMORY, Party, TCP, pair};

/// Both nodes dial at the same moment and end up in one session.
async fn dial_each_other(run: u64) {
    let a = Party::new(2 * run, MEMORY).await;
    let b = Party::new(2 * run + 1, MEMORY).await;
    for party in [&a, &b] {
        party.services.on_request(|request| async move { Ok(request.into_body()) });
    }
    let (from_a, from_b) = tokio::join!(a.connect(&b), b.connect(&a));
    let (there, back) = tokio::join!(from_a.request("there"), from_b.request("back"));
    assert_eq!(there.unwrap(), "there");
    assert_eq!(back.unwrap(), "back");
    let (of_a, of_b) = (a.sessions.all(), b.sessions.all());
    assert_eq!((of_a.len(), of_b.len()), (1, 1), "run {run}");
    let id = |session: &Arc<crate::session::SharedSession>| session.id().expect("attached");
    assert_eq!(id(&of_a[0]), id(&of_b[0]), "run {run}");
    assert_eq!(of_a[0].state(), State::Live);
    assert!(a.log.ended.lock().is_empty() && b.log.ended.lock().is_empty(), "run {run}");
}

#[tokio::test]
async fn two_nodes_that_dial_each_other_end_in_one_session_1000_times() {
    for run in 0..1000 {
        dial_each_other(run).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_that_dial_each_other_from_many_threads_end_in_one_session() {
    let runs = (0..200).map(|run| tokio::spawn(dial_each_other(10_000 + run)));
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test]
async fn a_second_dial_joins_the_session_there_is() {
    let (a, b) = pair(TCP).await;
    let first = a.connect(&b).await;
    let second = a.connect(&b).await;
    b.services.on_request(|request| async move { Ok(request.into_body()) });
    assert_eq!(first.request("x").await.unwrap(), "x");
    assert_eq!(second.request("y").await.unwrap(), "y");
    assert_eq!((a.sessions.all().len(), b.sessions.all().len()), (1, 1));
}
