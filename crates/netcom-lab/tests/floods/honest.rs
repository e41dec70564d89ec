//! Peers that use the victim as they should, and notice when it fails them.

use std::time::{Duration, Instant};

use netcom::{Connection, LinkKind, Node, Role, Scope, Ticket};
use tokio::{
    task::JoinSet,
    time::{self, timeout},
};

use crate::pace::Times;

/// Sessions that were there before the flood.
pub(crate) struct Established {
    sessions: Vec<(Node, Connection)>,
}

/// What became of what honest peers asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) times: Times,
    /// Why the others failed.
    pub(crate) failures: Vec<String>,
}

impl Established {
    /// Opens sessions, half of them over TCP and half over QUIC.
    pub(crate) async fn open(count: usize, target: &Ticket) -> Self {
        let mut sessions = Vec::new();
        for number in 0..count {
            sessions.push(connect(kind(number), target).await.unwrap());
        }
        Self { sessions }
    }

    /// Lets each session make requests and send pings in turn for so long.
    pub(crate) async fn ask(&self, during: Duration) -> Tally {
        let end = Instant::now() + during;
        let mut asking = JoinSet::new();
        for (number, (_, connection)) in self.sessions.iter().enumerate() {
            let connection = connection.clone();
            asking.spawn(async move {
                let mut tally = Tally::default();
                let mut turns = time::interval(TURN);
                time::sleep(TURN * number as u32 / 16).await;
                for turn in 0.. {
                    turns.tick().await;
                    if Instant::now() >= end {
                        break;
                    }
                    tally.note(answered(&connection, turn).await);
                }
                tally
            });
        }
        asking.join_all().await.into_iter().fold(Tally::default(), Tally::with)
    }

    pub(crate) async fn close(self) {
        for (node, _) in self.sessions {
            node.close().await;
        }
    }
}

impl Tally {
    /// How many were asked.
    pub(crate) fn asked(&self) -> usize {
        self.times.len() + self.failures.len()
    }

    fn note(&mut self, result: Result<Duration, String>) {
        match result {
            Ok(took) => self.times.push(took),
            Err(failure) => self.failures.push(failure),
        }
    }

    fn with(mut self, other: Self) -> Self {
        self.times.extend(other.times);
        self.failures.extend(other.failures);
        self
    }
}

/// Connects as somebody new again and again for so long, and makes a request each time.
pub(crate) async fn newcomers(every: Duration, during: Duration, target: &Ticket) -> Tally {
    let end = Instant::now() + during;
    let mut turns = time::interval(every);
    let mut arriving = JoinSet::new();
    for number in 0.. {
        turns.tick().await;
        if Instant::now() >= end {
            break;
        }
        let target = target.clone();
        arriving.spawn(async move { newcomer(kind(number), &target).await });
    }
    let mut tally = Tally::default();
    for result in arriving.join_all().await {
        tally.note(result);
    }
    tally
}

/// Connects as somebody new and tells how long the first answer took.
pub(crate) async fn newcomer(kind: LinkKind, target: &Ticket) -> Result<Duration, String> {
    let begun = Instant::now();
    let (node, connection) = connect(kind, target).await?;
    let result = answered(&connection, 0).await.map(|_| begun.elapsed());
    node.close().await;
    result
}

/// Connects a node of its own over one kind of link.
pub(crate) async fn connect(kind: LinkKind, target: &Ticket) -> Result<(Node, Connection), String> {
    let builder = Node::builder().role(Role::Client).discovery(Scope::Off);
    let node = builder.build().await.unwrap();
    let connecting = node.connect_with(target.clone()).link(kind).timeout(PATIENCE);
    match connecting.await {
        Ok(connection) => Ok((node, connection)),
        Err(error) => Err(format!("{kind:?}: {error}")),
    }
}

/// A request and a ping in turn.
async fn answered(connection: &Connection, turn: usize) -> Result<Duration, String> {
    let begun = Instant::now();
    if turn % 2 == 1 {
        let ping = timeout(PATIENCE, connection.ping()).await.ok().flatten();
        return ping.map(|_| begun.elapsed()).ok_or_else(|| "a ping was lost".to_owned());
    }
    let body = vec![turn as u8; 200];
    match timeout(PATIENCE, connection.request(body.clone())).await {
        Ok(Ok(answer)) if answer == body => Ok(begun.elapsed()),
        Ok(Ok(_)) => Err("another answer".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn kind(number: usize) -> LinkKind {
    if number.is_multiple_of(2) { LinkKind::Quic } else { LinkKind::Tcp }
}

/// How often a session is used.
const TURN: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
