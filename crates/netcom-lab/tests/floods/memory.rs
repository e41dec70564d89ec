//! Three times as many connections and streams as a node has room for, in a memory group.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use netcom::{
    ByteStream, Code, ConnectError, Connection, Limits, LinkKind, Node, OpenError, RequestOptions,
    Role, Scope, StreamError, Ticket,
};
use netcom_lab::{LinkSpec, skip, with_pair};
use tokio::time;

use crate::{
    group::{self, Group},
    honest::newcomer,
    process::{self, OTHERS, Victim, number},
    victim::{self, Appetite},
};

/// How much room the node is given.
struct Plan {
    sessions: usize,
}

/// Sessions that hold streams which nobody at the other side reads.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) held: Vec<(Node, Connection, Vec<ByteStream>)>,
    pub(crate) refused_sessions: usize,
    pub(crate) refused_streams: usize,
    /// What went wrong in any other way.
    pub(crate) failures: Vec<String>,
    /// What each stream sends of these bytes if it can do so in a moment.
    pub(crate) surplus: usize,
}

/// Why there is no session or no stream.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side said that it has no room for another session.
    Session,
    /// The other side said that it has no room for another stream.
    Stream,
    Other(String),
}

/// Bytes in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Of the process.
    resident: u64,
    /// And of the kernel for it.
    group: u64,
}

#[test]
fn three_times_the_load_is_shed_by_name_and_leaves_no_trace() {
    let plan = Plan::of_environment();
    if victim::was_served(&plan.limits(), Appetite::Holds) {
        return;
    }
    let group = match Group::new(MEMORY) {
        Ok(group) => group,
        Err(error) => return skip(&format!("no memory group of cgroup v1: {error}")),
    };
    process::pin(OTHERS);
    with_pair(LinkSpec::new(Duration::from_millis(1)), |pair| {
        let test = "memory::three_times_the_load_is_shed_by_name_and_leaves_no_trace";
        let variables = [(group::VARIABLE, group.path().as_os_str())];
        let mut victim = Victim::start_with(pair.right(), test, variables);
        pair.left().run(async || overload(&plan, &group, &mut victim).await);
        let ending = victim.stop();
        assert!(ending.is_success && ending.panics == 0, "{ending:?}");
    });
}

/// Finds the highest load that is not refused, and asks for a multiple of it twice.
async fn overload(plan: &Plan, group: &Group, victim: &mut Victim) {
    let ticket = victim.ticket.clone();
    let (witness_node, witness) = connect(LinkKind::Tcp, &ticket).await.unwrap();
    let before = Memory::of(group, victim);
    let room = ramp(plan, &ticket, || Memory::of(group, victim)).await;
    let rested = settled(group, victim).await;
    // The tables of peers that were there once have their entries now.
    let allocated = victim.ask("ALLOCATED");
    let witnessing = tokio::spawn(async move { witnessed(&witness).await });
    for _ in 0..2 {
        shed(room, group, victim).await;
        let begun = Instant::now();
        let after = settled(group, victim).await;
        let kept = victim.ask("ALLOCATED");
        println!(
            "{before} at first, {rested} after a full house; {after} {:.1?} after this, of which \
             {:.1} MiB are allocated, {:.1} before",
            begun.elapsed(),
            kept as f64 / MEBI,
            allocated as f64 / MEBI,
        );
        assert!(kept <= allocated + allocated / 10 + DRIFT, "{kept} bytes after {allocated}");
        let most = rested.resident + rested.resident / 10 + ARENAS;
        assert!(after.resident <= most, "the allocator keeps {after}");
    }
    assert!(!witnessing.is_finished(), "the session that was there is answered all the time");
    witnessing.abort();
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        newcomer(kind, &ticket).await.expect("there is room again");
    }
    witness_node.close().await;
}

/// Asks for three times as many sessions as there is room for, each with three times as many
/// streams, and goes.
async fn shed((sessions, streams): (usize, usize), group: &Group, victim: &Victim) {
    let begun = Instant::now();
    let mut load = Load::default();
    load.add(OVERLOAD * sessions, OVERLOAD * streams, &victim.ticket).await;
    println!(
        "{OVERLOAD} times that in {:.1?}: {} sessions in, {} refused as OVERLOADED, {} streams in, \
         {} refused as overloaded, {} other failures; {}, at most {} MiB, limit met {} times",
        begun.elapsed(),
        load.held.len(),
        load.refused_sessions,
        load.held.iter().map(|(_, _, streams)| streams.len()).sum::<usize>(),
        load.refused_streams,
        load.failures.len(),
        Memory::of(group, victim),
        group.peak() >> 20,
        group.meetings(),
    );
    assert_eq!(load.failures, [] as [String; 0], "what is refused is refused by name");
    assert!(load.refused_sessions >= sessions, "sessions are shed");
    assert!(load.refused_streams >= sessions * streams, "streams are shed");
    load.leave().await;
}

/// Adds streams, then sessions, until a session or, where the node's memory ends first, a stream of
/// one is refused. Tells how many of each were not.
async fn ramp(plan: &Plan, ticket: &Ticket, memory: impl Fn() -> Memory) -> (usize, usize) {
    let (node, connection) = connect(LinkKind::Tcp, ticket).await.unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = open(&connection, 0).await {
        held.push(stream);
    }
    let streams = held.len();
    let mut load = Load { held: vec![(node, connection, held)], ..Load::default() };
    while load.refused_sessions == 0 && load.refused_streams == 0 {
        assert!(load.held.len() <= plan.sessions, "there is a limit");
        load.add(AT_ONCE, streams, ticket).await;
        assert_eq!(load.failures, [] as [String; 0]);
    }
    let is_whole = |held: &&(_, _, Vec<_>)| held.2.len() >= streams;
    let sessions = load.held.iter().filter(is_whole).count();
    println!("room for {sessions} more sessions of {streams} unread streams: {}", memory());
    load.leave().await;
    (sessions, streams)
}

/// Asks on the session that was there until it is not answered.
pub(crate) async fn witnessed(connection: &Connection) {
    let mut turns = time::interval(Duration::from_millis(100));
    let options = RequestOptions::new().timeout(Duration::from_secs(10));
    while connection.request_with("still there?", &options).await.is_ok() {
        turns.tick().await;
    }
}

/// Waits until the witness's session is the only one and no more memory is given back, for half a
/// minute at most.
pub(crate) async fn settled(group: &Group, victim: &mut Victim) -> Memory {
    let begun = Instant::now();
    let mut turns = time::interval(Duration::from_millis(50));
    let (mut least, mut since) = (u64::MAX, begun);
    loop {
        turns.tick().await;
        let (sessions, memory) = (victim.ask("SESSIONS"), Memory::of(group, victim));
        if sessions > 1 || memory.group < least {
            (least, since) = (memory.group, Instant::now());
        }
        if since.elapsed() >= QUIET || begun.elapsed() >= Duration::from_secs(30) {
            assert!(sessions <= 1, "{sessions} sessions stay");
            return memory;
        }
    }
}

impl Load {
    /// Asks for so many more sessions with so many streams each.
    pub(crate) async fn add(&mut self, sessions: usize, streams: usize, ticket: &Ticket) {
        let surplus = self.surplus;
        let mut asking = stream::iter(0..sessions)
            .map(|number| {
                let kind = if number.is_multiple_of(2) { LinkKind::Quic } else { LinkKind::Tcp };
                async move {
                    let (node, connection) = connect(kind, ticket).await?;
                    let opened = join_all((0..streams).map(|_| open(&connection, surplus))).await;
                    Ok((node, connection, opened))
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some(result) = asking.next().await {
            let (node, connection, opened) = match result {
                Ok(made) => made,
                Err(failure) => {
                    self.note(failure);
                    continue;
                }
            };
            // Connecting does not wait for what the other side says of the session: its streams
            // then learn it, all of them.
            if opened.iter().any(|opened| matches!(opened, Err(Failure::Session))) {
                self.note(Failure::Session);
                continue;
            }
            let mut held = Vec::new();
            for result in opened {
                match result {
                    Ok(stream) => held.push(stream),
                    Err(failure) => self.note(failure),
                }
            }
            self.held.push((node, connection, held));
        }
    }

    fn note(&mut self, failure: Failure) {
        match failure {
            Failure::Session => self.refused_sessions += 1,
            Failure::Stream => self.refused_streams += 1,
            Failure::Other(failure) => self.failures.push(failure),
        }
    }

    /// Gives everything up.
    pub(crate) async fn leave(self) {
        let leaving = self.held.into_iter().map(|(node, _, _)| async move { node.close().await });
        stream::iter(leaving).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

pub(crate) async fn connect(
    kind: LinkKind,
    target: &Ticket,
) -> Result<(Node, Connection), Failure> {
    let builder = Node::builder().role(Role::Client).discovery(Scope::Off);
    let node = builder.build().await.unwrap();
    match node.connect_with(target.clone()).link(kind).await {
        Ok(connection) => Ok((node, connection)),
        Err(ConnectError::Refused { code: Code::OVERLOADED, .. }) => Err(Failure::Session),
        Err(error) => Err(Failure::Other(format!("{kind:?}: {error}"))),
    }
}

/// Opens a stream, sends as much as the other side has to take, waits until the stream is taken or
/// refused, and sends of the surplus what goes in a moment.
async fn open(connection: &Connection, surplus: usize) -> Result<ByteStream, Failure> {
    let mut stream = match connection.bytes_stream().await {
        Ok(stream) => stream,
        Err(OpenError::SessionEnded(Code::OVERLOADED)) => return Err(Failure::Session),
        Err(error) => return Err(Failure::Other(error.to_string())),
    };
    let sent = stream.write_bytes(vec![7; FLOOR]).await;
    let taken = match sent {
        Ok(()) => stream.read_chunk(1).await,
        Err(error) => Err(error),
    };
    match taken {
        Ok(Some(_)) => {
            drop(time::timeout(MOMENT, stream.write_bytes(vec![7; surplus])).await);
            Ok(stream)
        }
        Ok(None) => Err(Failure::Other("a stream ended that nobody ended".to_owned())),
        Err(StreamError::Overloaded { .. }) => Err(Failure::Stream),
        Err(StreamError::SessionEnded { code: Code::OVERLOADED, .. }) => Err(Failure::Session),
        Err(error) => Err(Failure::Other(error.to_string())),
    }
}

impl Memory {
    pub(crate) fn of(group: &Group, victim: &Victim) -> Self {
        Self { resident: victim.resident(), group: group.usage() }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, group] = [self.resident, self.group].map(|bytes| bytes as f64 / MEBI);
        write!(f, "{resident:.1} MiB resident, {group:.1} MiB in the group")
    }
}

impl Plan {
    fn of_environment() -> Self {
        Self { sessions: number("NETCOM_SESSIONS").unwrap_or(40) as usize }
    }

    /// What a node gets that is to live in so little memory.
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.sessions.total = self.sessions;
        limits.session.receive_budget = 320 << 10;
        limits
    }
}

pub(crate) const MEMORY: u64 = 256 << 20;
const OVERLOAD: usize = 3;
const MEBI: f64 = (1 << 20) as f64;
/// What peers that were there once may leave in the node's tables.
const DRIFT: u64 = 1 << 20;
/// What the allocator may keep besides for the threads that ran meanwhile: on a busy machine it was
/// 2.8 MiB beside 18, and as much was allocated as before.
const ARENAS: u64 = 3 << 20;
/// How long memory stays the same when all is over.
const QUIET: Duration = Duration::from_secs(3);
/// How long each stream of a flood tries to send that.
const MOMENT: Duration = Duration::from_millis(200);
/// Bytes a stream may always carry.
const FLOOR: usize = 16 << 10;
/// Handshakes under way at once, fewer than one network may have.
pub(crate) const AT_ONCE: usize = 16;
