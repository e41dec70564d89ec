//! A node with default limits in a memory group that many peers try to fill (E-19).

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use netcom::{Code, Limits, LinkKind, RequestError, StreamError, Ticket};
use netcom_lab::{LinkSpec, skip, with_pair};

use crate::{
    group::{self, Group},
    honest::newcomer,
    memory::{AT_ONCE, Failure, Load, MEMORY, Memory, connect, settled, witnessed},
    process::{self, OTHERS, Victim, number},
    victim::{self, Appetite},
};

#[test]
fn unread_streams_of_many_peers_stay_in_the_memory_of_the_group() {
    let test = "defaults::unread_streams_of_many_peers_stay_in_the_memory_of_the_group";
    in_group(test, async |ticket, memory| {
        let sessions = number("NETCOM_SESSIONS").unwrap_or(60) as usize;
        let mut load = Load { surplus: SURPLUS, ..Load::default() };
        load.add(sessions, STREAMS, ticket).await;
        println!(
            "{sessions} peers: {} sessions in, {} refused, {} streams in, {} refused; {}",
            load.held.len(),
            load.refused_sessions,
            load.held.iter().map(|(_, _, streams)| streams.len()).sum::<usize>(),
            load.refused_streams,
            memory(),
        );
        assert_eq!(load.failures, [] as [String; 0], "what is refused is refused by name");
        assert!(load.refused_sessions > 0 && load.refused_streams > 0, "load is shed");
        load.leave().await;
    });
}

#[test]
fn bodies_of_many_requests_stay_in_the_memory_of_the_group() {
    let test = "defaults::bodies_of_many_requests_stay_in_the_memory_of_the_group";
    in_group(test, async |ticket, memory| {
        let peers = number("NETCOM_SESSIONS").unwrap_or(32) as usize;
        let body = Bytes::from(vec![7; BODY]);
        let asking = stream::iter(0..peers).map(|_| ask(ticket, &body)).buffer_unordered(AT_ONCE);
        let counts: Vec<(usize, usize)> = asking.collect().await;
        let answered: usize = counts.iter().map(|(answered, _)| answered).sum();
        let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
        println!("{peers} peers: {answered} requests answered, {refused} refused; {}", memory());
        assert!(answered > 0 && refused > 0, "load is shed");
    });
}

/// Asks several times at once. Tells how many were answered and how many refused by name.
async fn ask(ticket: &Ticket, body: &Bytes) -> (usize, usize) {
    let (node, connection) = match connect(LinkKind::Tcp, ticket).await {
        Ok(connected) => connected,
        Err(Failure::Session) => return (0, REQUESTS),
        Err(failure) => panic!("{failure:?}"),
    };
    let answers = join_all((0..REQUESTS).map(|_| connection.request(body.clone()))).await;
    let mut counts = (0, 0);
    for answer in answers {
        match answer {
            Ok(answer) => {
                assert_eq!(answer.len(), BODY);
                counts.0 += 1;
            }
            Err(RequestError::Stream(StreamError::Overloaded { code: Code::OVERLOADED })) => {
                counts.1 += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    node.close().await;
    counts
}

/// Runs a flood against a node in a memory group of its own, which has to stay in it, to
/// answer whom it knew before all the time, and to let newcomers in afterwards.
fn in_group(test: &str, flood: impl AsyncFnOnce(&Ticket, &dyn Fn() -> String) + Send) {
    if victim::was_served(&Limits::default(), Appetite::Holds) {
        return;
    }
    let group = match Group::new(MEMORY) {
        Ok(group) => group,
        Err(error) => return skip(&format!("no memory group of cgroup v1: {error}")),
    };
    process::pin(OTHERS);
    with_pair(LinkSpec::new(Duration::from_millis(1)), |pair| {
        let variables = [(group::VARIABLE, group.path().as_os_str())];
        let mut victim = Victim::start_with(pair.right(), test, variables);
        let ticket = victim.ticket.clone();
        pair.left().run(async || {
            let (witness_node, witness) = connect(LinkKind::Tcp, &ticket).await.unwrap();
            let witnessing = tokio::spawn(async move { witnessed(&witness).await });
            let memory = || {
                let (now, peak) = (Memory::of(&group, &victim), group.peak() >> 20);
                format!("{now}, at most {peak} MiB, limit met {} times", group.meetings())
            };
            flood(&ticket, &memory).await;
            assert_eq!(group.meetings(), 0, "the group's limit is never met");
            assert!(!witnessing.is_finished(), "who was there is answered all the time");
            witnessing.abort();
            settled(&group, &mut victim).await;
            for kind in [LinkKind::Tcp, LinkKind::Quic] {
                newcomer(kind, &ticket).await.expect("there is room again");
            }
            witness_node.close().await;
        });
        let ending = victim.stop();
        assert!(ending.is_success && ending.panics == 0, "{ending:?}");
    });
}

/// Streams of each peer.
const STREAMS: usize = 32;
/// The rest of a stream's first window, and what a writer may queue beyond it.
const SURPLUS: usize = 304 << 10;
/// Requests of each peer.
const REQUESTS: usize = 16;
const BODY: usize = 2 << 20;
