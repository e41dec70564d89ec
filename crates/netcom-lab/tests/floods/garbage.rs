//! A flood of what is no protocol, and of what nearly is one.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use netcom::{Connection, Limits, LinkKind};
use netcom_lab::{LinkSpec, Pair, Side, with_pair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time,
};

use crate::{
    forge::{Dice, Spoofer, client_hello},
    honest::{connect, newcomer},
    pace::paced,
    process::{self, OTHERS, Victim, number},
    strangers::{self, Door},
    tap::{Recorded, Tap, mutate},
    victim::{self, Appetite},
};

/// How much garbage, and for how long.
struct Plan {
    /// Datagrams a second beside the good flow.
    rate: u64,
    during: Duration,
    /// Datagrams as fast as they go.
    datagrams: u64,
    /// Connections as fast as they go.
    connections: u64,
    is_long: bool,
}

/// A flow that is sent at a rate, and what arrived of it.
struct Flow {
    sent: u64,
    received: u64,
    due: u64,
}

/// How long a request and somebody new waited when the flood was over.
#[derive(Debug)]
struct Recovery {
    request: Duration,
    newcomer: Duration,
}

#[test]
fn garbage_at_the_udp_port_ends_nothing_and_fills_no_log() {
    run("garbage::garbage_at_the_udp_port_ends_nothing_and_fills_no_log", udp);
}

#[test]
fn garbage_at_the_tcp_port_ends_nothing_and_fills_no_log() {
    run("garbage::garbage_at_the_tcp_port_ends_nothing_and_fills_no_log", tcp);
}

fn run(test: &str, flood: fn(&Plan, &Pair, &mut Victim)) {
    if victim::was_served(&Limits::default(), Appetite::Reads) {
        return;
    }
    let is_pinned = process::pin(OTHERS);
    let plan = Plan::of_environment();
    assert!(is_pinned || !plan.is_long, "each side has a processor of its own");
    with_pair(LinkSpec::new(DELAY), |pair| {
        strangers::settle(pair.left(), pair.right());
        let mut victim = Victim::start(pair.right(), test);
        flood(&plan, pair, &mut victim);
        let ending = victim.stop();
        println!("{ending:?}");
        assert!(ending.is_success && ending.panics == 0, "{ending:?}");
        assert!(ending.logged < 1 << 20, "{ending:?}");
    });
}

fn udp(plan: &Plan, pair: &Pair, victim: &mut Victim) {
    pair.left().run(async || {
        let door = Door::of(&victim.ticket);
        let tap = Tap::new();
        let (node, connection) = connect(LinkKind::Quic, &victim.ticket).await.unwrap();
        // Something of each kind of packet to begin with.
        flow(&connection, victim, Duration::from_millis(200)).await;
        let mut garbage = Garbage::new(&door, tap.recorded(door.udp, RECORDED));
        let (rate, during) = (plan.rate, plan.during);
        let flooding = thread::spawn(move || {
            let sent = paced(rate, during, || garbage.send());
            (garbage, sent)
        });
        let flow = flow(&connection, victim, during).await;
        let (mut garbage, sent) = flooding.join().unwrap();
        flow.judge(plan, &format!("{sent} datagrams of garbage"));
        plan.judge_rate(sent, plan.rate / 100 * 99);
        let before = pair.link().counters(Side::Left);
        let (count, begun) = (plan.datagrams, Instant::now());
        let flooding = tokio::task::spawn_blocking(move || (0..count).for_each(|_| garbage.send()));
        flooding.await.unwrap();
        let took = begun.elapsed();
        let recovery = Recovery::measure(&connection, LinkKind::Quic, victim).await;
        let arrived = pair.link().counters(Side::Left).packets - before.packets;
        println!("{arrived} of {count} datagrams in {took:.1?} arrived; then {recovery:.1?}");
        assert!(arrived >= count / 2, "most arrive");
        recovery.judge(plan);
        node.close().await;
    });
}

fn tcp(plan: &Plan, pair: &Pair, victim: &mut Victim) {
    pair.left().run(async || {
        let door = Door::of(&victim.ticket);
        let (node, connection) = connect(LinkKind::Tcp, &victim.ticket).await.unwrap();
        let (during, target) = (plan.during, SocketAddr::from(door.tcp));
        static DONE: AtomicU64 = AtomicU64::new(0);
        // One runtime for each side of the work, so that the flow is not held up.
        let (count, pause) = (plan.connections, CALLERS as f64 / plan.rate as f64);
        let calling = pair.left().start(async move || {
            call(target, u64::MAX, Duration::from_secs_f64(pause), &DONE).await;
        });
        let flow = flow(&connection, victim, during).await;
        drop(calling);
        let calls = DONE.swap(0, Ordering::Relaxed);
        flow.judge(plan, &format!("{calls} connections of garbage"));
        plan.judge_rate(calls, CALLS);
        let begun = Instant::now();
        let calling = pair.left().start(async move || {
            call(target, count, Duration::ZERO, &DONE).await;
        });
        tokio::task::spawn_blocking(|| calling.join()).await.unwrap();
        let took = begun.elapsed();
        let recovery = Recovery::measure(&connection, LinkKind::Tcp, victim).await;
        let calls = DONE.load(Ordering::Relaxed);
        println!("{calls} of {count} connections in {took:.1?}; then {recovery:.1?}");
        assert!(calls >= count / 10 * 9, "most are taken");
        recovery.judge(plan);
        node.close().await;
    });
}

/// Writes at 100 Mbit/s for so long, and waits until all of it has arrived.
async fn flow(connection: &Connection, victim: &mut Victim, during: Duration) -> Flow {
    let before = victim.ask("RECEIVED");
    let mut stream = connection.bytes_stream().await.unwrap();
    let (begun, mut sent) = (Instant::now(), 0);
    let due = (RATE as f64 * during.as_secs_f64()) as u64;
    let mut received_in_time = None;
    let mut turns = time::interval(Duration::from_millis(5));
    while sent < due {
        turns.tick().await;
        let owed = ((RATE as f64 * begun.elapsed().as_secs_f64()) as u64).min(due) - sent;
        stream.write_bytes(vec![7; owed as usize]).await.expect("the stream goes on");
        sent += owed;
        if received_in_time.is_none() && begun.elapsed() >= during {
            received_in_time = Some(victim.ask("RECEIVED") - before);
        }
    }
    let received = received_in_time.unwrap_or_else(|| victim.ask("RECEIVED") - before);
    stream.finish().await.expect("all of it arrives");
    Flow { sent: victim.ask("RECEIVED") - before, received, due }
}

/// Makes datagrams up, and others worse.
struct Garbage {
    spoofer: Spoofer,
    recorded: Vec<Recorded>,
    dice: Dice,
    datagram: Vec<u8>,
}

impl Garbage {
    fn new(door: &Door, recorded: Vec<Recorded>) -> Self {
        assert!(recorded.len() > 20, "a session sends more than that");
        let (spoofer, dice) = (Spoofer::new(door.udp), Dice::new(3));
        Self { spoofer, recorded, dice, datagram: Vec::new() }
    }

    /// One that is random, or one that was valid; the latter from who sent it or from anybody.
    fn send(&mut self) {
        let dice = &mut self.dice;
        let anybody = dice.address();
        let source = if dice.below(2) == 0 {
            self.datagram.resize(1 + dice.below(1400), 0);
            dice.fill(&mut self.datagram);
            anybody
        } else {
            let recorded = &self.recorded[dice.below(self.recorded.len())];
            self.datagram.clone_from(&recorded.payload);
            mutate(&mut self.datagram, dice);
            self.datagram.truncate(1400);
            if dice.below(2) == 0 { recorded.source } else { anybody }
        };
        // One that the kernel has no room for was not sent.
        while !self.spoofer.send(source, &self.datagram) {
            thread::yield_now();
        }
    }
}

/// Connects `count` times from many networks and says garbage; each caller pauses between two.
async fn call(target: SocketAddr, count: u64, pause: Duration, done: &'static AtomicU64) {
    let hello = client_hello();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let hello = hello.clone();
        let share = count / CALLERS as u64 + u64::from((number as u64) < count % CALLERS as u64);
        callers.spawn(async move {
            let mut dice = Dice::new(number as u64);
            for _ in 0..share {
                let mut said = hello.clone();
                match dice.below(3) {
                    0 => {
                        said.resize(1 + dice.below(4000), 0);
                        dice.fill(&mut said);
                    }
                    1 => said = b"GET / HTTP/1.1\r\nhost: nobody\r\n\r\n".to_vec(),
                    _ => mutate(&mut said, &mut dice),
                }
                // Who is turned away may be told so in the middle of its words.
                if let Ok(mut stream) = strangers::connect(number, target).await {
                    let _ = stream.write_all(&said).await;
                    if dice.below(4) == 0 {
                        let mut answer = [0; 64];
                        let answer = stream.read(&mut answer);
                        let _ = time::timeout(Duration::from_millis(200), answer).await;
                    }
                    // A reset, so that no port waits for a minute.
                    let _ = stream.set_zero_linger();
                    done.fetch_add(1, Ordering::Relaxed);
                }
                time::sleep(pause).await;
            }
        });
    }
    while callers.join_next().await.is_some() {}
}

impl Plan {
    fn of_environment() -> Self {
        let seconds = number("NETCOM_SECONDS");
        Self {
            rate: number("NETCOM_RATE").unwrap_or(2000),
            during: Duration::from_secs(seconds.unwrap_or(2)),
            datagrams: number("NETCOM_DATAGRAMS").unwrap_or(100_000),
            connections: number("NETCOM_CONNECTIONS").unwrap_or(2000),
            is_long: seconds.is_some(),
        }
    }

    /// Checks that what came beside the flow was a flood. A short run may share its processors
    /// with others, and asks for a tenth.
    fn judge_rate(&self, came: u64, per_second: u64) {
        let due = per_second * self.during.as_secs();
        let least = if self.is_long { due } else { due / 10 };
        assert!(came >= least, "only {came} in {:?}, not {least}", self.during);
    }
}

impl Flow {
    fn judge(&self, plan: &Plan, garbage: &str) {
        let part = self.received as f64 / self.due as f64;
        let during = plan.during;
        println!("beside {garbage} in {during:?}: {:.1} % of 100 Mbit/s", part * 100.0);
        assert_eq!(self.sent, self.due, "all of it arrives in the end");
        assert!(!plan.is_long || part >= 0.95, "{part}");
    }
}

impl Recovery {
    async fn measure(connection: &Connection, kind: LinkKind, victim: &Victim) -> Self {
        let begun = Instant::now();
        connection.request("still there?").await.expect("it answers");
        let request = begun.elapsed();
        let newcomer = newcomer(kind, &victim.ticket).await.expect("it lets others in");
        Self { request, newcomer }
    }

    fn judge(&self, plan: &Plan) {
        let longest = self.request.max(self.newcomer);
        assert!(!plan.is_long || longest <= Duration::from_secs(1), "{self:?}");
    }
}

const DELAY: Duration = Duration::from_millis(20);
/// 100 Mbit/s in bytes a second.
const RATE: u64 = 12_500_000;
const RECORDED: usize = 2000;
/// Who garbage is said by at once.
const CALLERS: usize = 256;
/// Connections a second that are a flood; 3,800 were reached.
const CALLS: u64 = 1000;
