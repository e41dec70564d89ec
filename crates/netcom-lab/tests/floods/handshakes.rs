//! A flood of handshakes that nobody means to finish.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use netcom::Limits;
use netcom_lab::{LinkSpec, Pair, Side, with_pair};

use crate::{
    forge::{Dice, Initials, Spoofer},
    honest::{Established, Tally, newcomers},
    pace::paced,
    process::{self, OTHERS, Victim, number},
    strangers::{self, Door},
    victim::{self, Appetite},
};

/// How much of a flood, and for how long.
struct Plan {
    /// First packets of QUIC a second.
    initials: u64,
    half_open: usize,
    during: Duration,
    is_long: bool,
}

/// What came of it.
struct Outcome {
    idle: Tally,
    flooded: Tally,
    newcomers: Tally,
    sent: u64,
    arrived: u64,
    answered: u64,
    /// The most handshakes that were half open at once.
    half_open: u64,
    grown: u64,
}

#[test]
fn a_flood_of_handshakes_costs_sessions_nothing_and_keeps_nobody_out() {
    if victim::was_served(&Limits::default(), Appetite::Reads) {
        return;
    }
    let is_pinned = process::pin(OTHERS);
    let plan = Plan::of_environment();
    assert!(is_pinned || !plan.is_long, "each side has a processor of its own");
    with_pair(LinkSpec::new(DELAY), |pair| {
        strangers::settle(pair.left(), pair.right());
        let test = "handshakes::a_flood_of_handshakes_costs_sessions_nothing_and_keeps_nobody_out";
        let victim = Victim::start(pair.right(), test);
        let (outcome, victim) = pair.left().run(async || flood(&plan, pair, victim).await);
        outcome.print(&plan);
        outcome.judge(&plan);
        let ending = victim.stop();
        assert!(ending.is_success && ending.panics == 0, "{ending:?}");
    });
}

/// Measures honest peers alone, then beside the flood. Runs inside the left end.
async fn flood(plan: &Plan, pair: &Pair, victim: Victim) -> (Outcome, Victim) {
    let ticket = victim.ticket.clone();
    let established = Established::open(SESSIONS, &ticket).await;
    let idle = established.ask(plan.idle()).await;
    let before = (victim.resident(), pair.link().counters(Side::Right).packets);
    let (first, door, rate) = (pair.link().counters(Side::Left), Door::of(&ticket), plan.initials);
    let during = plan.during;
    let spoofing = thread::spawn(move || spoof(&door, rate, during));
    let lingering = pair.left().start({
        let (count, target) = (plan.half_open, SocketAddr::from(door.tcp));
        async move || strangers::linger(count, target).await
    });
    let watching = thread::spawn(move || watch(victim, during));
    let (flooded, newcomers) =
        tokio::join!(established.ask(during), newcomers(NEWCOMERS, during, &ticket));
    drop(lingering);
    let sent = spoofing.join().unwrap();
    let (victim, half_open) = watching.join().unwrap();
    let arrived = pair.link().counters(Side::Left).packets - first.packets;
    let answered = pair.link().counters(Side::Right).packets - before.1;
    let grown = victim.peak().saturating_sub(before.0);
    established.close().await;
    (Outcome { idle, flooded, newcomers, sent, arrived, answered, half_open, grown }, victim)
}

/// Asks the victim four times a second for so long how many handshakes are half open, and tells
/// the most. On a thread of its own, since asking waits for the answer.
fn watch(mut victim: Victim, during: Duration) -> (Victim, u64) {
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < during {
        most = victim.ask("HALF_OPEN").max(most);
        thread::sleep(Duration::from_millis(250));
    }
    (victim, most)
}

/// Sends first packets that all ask for another connection, each from somebody else. Tells how
/// many.
fn spoof(door: &Door, rate: u64, during: Duration) -> u64 {
    let (mut initials, mut dice) = (Initials::new(1), Dice::new(2));
    let mut spoofer = Spoofer::new(door.udp);
    let mut sent = 0;
    paced(rate, during, || sent += u64::from(spoofer.send(dice.address(), &initials.next())));
    sent
}

impl Plan {
    fn of_environment() -> Self {
        let seconds = number("NETCOM_SECONDS");
        Self {
            initials: number("NETCOM_INITIALS").unwrap_or(2000),
            half_open: number("NETCOM_HALF_OPEN").unwrap_or(200) as usize,
            during: Duration::from_secs(seconds.unwrap_or(4)),
            is_long: seconds.is_some(),
        }
    }

    fn idle(&self) -> Duration {
        self.during.min(Duration::from_secs(20)) / 2
    }
}

impl Outcome {
    fn print(&self, plan: &Plan) {
        println!(
            "{} first packets of QUIC in {:?} ({} packets in, {} out), at most {} half open of \
             {} strangers; sessions idle: {}; flooded: {}, {} failed; newcomers: {}, {} failed; \
             {} KiB more memory",
            self.sent,
            plan.during,
            self.arrived,
            self.answered,
            self.half_open,
            plan.half_open,
            self.idle.times,
            self.flooded.times,
            self.flooded.failures.len(),
            self.newcomers.times,
            self.newcomers.failures.len(),
            self.grown / 1024,
        );
    }

    fn judge(&self, plan: &Plan) {
        let due = plan.initials * plan.during.as_secs();
        let least = if plan.is_long { due / 100 * 99 } else { due / 2 };
        assert!(self.sent >= least, "only {} were sent", self.sent);
        assert!(self.arrived >= self.sent, "what was sent arrives");
        assert!(self.answered >= self.sent / 2, "the flood is answered, so it meant something");
        assert_eq!(self.idle.failures, [] as [String; 0]);
        assert_eq!(self.flooded.failures, [] as [String; 0], "sessions lose nothing");
        let most = self.newcomers.asked() / 100;
        assert!(self.newcomers.failures.len() <= most, "{:?}", self.newcomers.failures);
        assert!(self.grown <= 64 << 20, "{} bytes more", self.grown);
        if plan.is_long {
            let (idle, flooded) = (self.idle.times.permille(990), self.flooded.times.permille(990));
            assert!(flooded <= idle + SLOWER, "p99 {flooded:?} after {idle:?}");
            assert!(self.half_open >= HALF_OPEN, "only {} were half open", self.half_open);
        }
    }
}

const DELAY: Duration = Duration::from_millis(20);
const SESSIONS: usize = 16;
/// How often somebody new comes.
const NEWCOMERS: Duration = Duration::from_millis(100);
/// How much slower answers may get.
const SLOWER: Duration = Duration::from_millis(10);
/// Handshakes that are half open at once when the flood of them is one; there is room for 1,024.
const HALF_OPEN: u64 = 900;
