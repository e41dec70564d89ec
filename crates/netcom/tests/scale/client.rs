//! A process that holds many sessions with the server, each a node of its own.

use std::{fmt, str::FromStr, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream};
use netcom::{Connection, LinkKind, Multiaddr, Node, Role, Scope, Target};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, stdin},
    time::{self, Instant},
};

use crate::{Plan, process::say};

/// What became of pings.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) missed: u64,
    pub(crate) slowest: Duration,
}

/// Opens this client's share of the sessions, and pings each in every interval once it is told.
pub(crate) async fn hold(kind: LinkKind, number: usize, contact: &str, plan: &Plan) {
    let target: Target = contact.parse().unwrap();
    let sessions: Vec<_> = stream::iter(0..plan.of_each_client())
        .map(|index| open(address(kind, number, index), target.clone()))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    say("OPEN", sessions.len());
    let mut orders = BufReader::new(stdin()).lines();
    assert_eq!(orders.next_line().await.unwrap().as_deref(), Some("PING"));
    let begin = Instant::now();
    let count = sessions.len() as u32;
    let pinging = sessions.into_iter().zip(0..).map(|((node, connection), index)| {
        // Spread, as those of independent clients would be.
        let first = begin + plan.interval() * index / count;
        let (interval, end) = (plan.interval(), begin + plan.duration());
        tokio::spawn(async move {
            let tally = ping(&connection, first, interval, end).await;
            (node, connection, tally)
        })
    });
    let mut sum = Tally::default();
    // Kept until all are done, so that each session lives to the end.
    let finished = join_all(pinging.collect::<Vec<_>>()).await;
    for result in &finished {
        sum.add(&result.as_ref().unwrap().2);
    }
    say("TALLY", sum);
    // The test ends this process when it has asked the server.
    while orders.next_line().await.unwrap().is_some() {}
}

async fn open(local: Option<Multiaddr>, target: Target) -> (Node, Connection) {
    let builder = Node::builder().discovery(Scope::Off);
    let builder = match local {
        Some(address) => builder.listen(address),
        None => builder.role(Role::Client),
    };
    let node = builder.build().await.unwrap();
    let connection = node.connect(target).await.unwrap();
    // The handshake is over when the server has answered.
    connection.ping().await.unwrap();
    (node, connection)
}

async fn ping(connection: &Connection, first: Instant, interval: Duration, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut next = first;
    while next < end {
        time::sleep_until(next).await;
        next += interval;
        match time::timeout(interval, connection.ping()).await {
            Ok(Some(took)) => {
                tally.answered += 1;
                tally.slowest = tally.slowest.max(took);
            }
            missed => {
                if tally.missed == 0 {
                    let (what, closed) = (missed.is_err(), connection.closed().now_or_never());
                    eprintln!("a ping was missed, too late: {what}, the session's end: {closed:?}");
                }
                tally.missed += 1;
            }
        }
    }
    tally
}

/// Where a client's node sends from: the ports of one address are too few for all sockets.
fn address(kind: LinkKind, number: usize, index: usize) -> Option<Multiaddr> {
    let of = |host| format!("/ip4/127.{}.{host}.1/udp/0/quic-v1", number + 1).parse().unwrap();
    (kind == LinkKind::Quic).then(|| of(index / PORTS_OF_AN_ADDRESS))
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.missed += other.missed;
        self.slowest = self.slowest.max(other.slowest);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.answered, self.missed, self.slowest.as_micros())
    }
}

impl FromStr for Tally {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut next = || numbers.next().unwrap_or(Ok(0));
        let (answered, missed) = (next()?, next()?);
        Ok(Self { answered, missed, slowest: Duration::from_micros(next()?) })
    }
}

/// Handshakes under way at once, fewer than the server allows to one network.
const AT_ONCE: usize = 16;
const PORTS_OF_AN_ADDRESS: usize = 1000;
