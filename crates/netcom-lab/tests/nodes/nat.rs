//! Clients behind routers that translate addresses and stop packets: they reach a public server,
//! and their sessions outlive a router that forgets its mappings or gets another address, while
//! they are idle and while they carry data.
//!
//! The short form does each once; `cargo xtask lab nat` does it over and over and prints what it
//! found.

use std::{
    fmt,
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use netcom::{Connection, LinkKind, Multiaddr};
use netcom_lab::{
    Firewall, LabError, LinkSpec, Nat, Router, RouterSpec, Side, Topology, with_topology,
};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::{
    cuts::{Seen, WARM, read, stream_without_end},
    support::{Server, address, client, until},
};

/// What becomes of a router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upset {
    /// It was switched off and on.
    Forgets,
    /// Its provider gave it another address.
    ChangesAddress,
}

/// Where it is asked for that something happens to a router, and told when it has.
type Upsets = SyncSender<oneshot::Sender<()>>;

/// How long it took to go on.
#[derive(Clone, Copy, Debug)]
struct Gaps {
    /// Until a request was answered, in a session that was idle when the router was upset.
    idle: Duration,
    /// The longest time without new bytes of a stream that came meanwhile.
    loaded: Duration,
}

#[test]
fn sessions_outlive_what_happens_to_a_router_that_keeps_ports() {
    check("keeps ports", &[RouterSpec::new(Nat::PortPreserving)]);
}

#[test]
fn sessions_outlive_what_happens_to_a_full_cone() {
    check("full cone", &[RouterSpec::new(Nat::EndpointIndependent)]);
}

#[test]
fn sessions_outlive_what_happens_to_a_symmetric_router() {
    check("symmetric", &[RouterSpec::new(Nat::EndpointDependent)]);
}

#[test]
fn sessions_outlive_what_happens_to_the_router_at_home_and_to_that_of_the_provider() {
    let home = RouterSpec::new(Nat::EndpointIndependent).firewall(Firewall::NoInbound);
    check("two in a row", &[home, RouterSpec::new(Nat::EndpointDependent)]);
}

#[test]
fn sessions_outlive_what_happens_to_a_firewall_that_lets_only_answers_in() {
    check("firewall alone", &[RouterSpec::new(Nat::None).firewall(Firewall::NoInbound)]);
}

#[test]
fn a_session_comes_up_and_stays_up_where_a_router_blocks_udp() {
    let router = RouterSpec::new(Nat::EndpointDependent).firewall(Firewall::NoUdp);
    check_with("symmetric without UDP", &[router], &[LinkKind::Quic, LinkKind::Tcp]);
}

impl Upset {
    fn happen_to(self, router: &Router) -> Result<(), LabError> {
        match self {
            Self::Forgets => router.forget(),
            Self::ChangesAddress => router.change_address(),
        }
    }
}

impl fmt::Display for Upset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forgets => "forgets",
            Self::ChangesAddress => "has another address",
        })
    }
}

/// Upsets each of the routers with a server that listens for one kind of link alone, so that no
/// other kind helps.
fn check(name: &str, routers: &[RouterSpec]) {
    for kind in [LinkKind::Quic, LinkKind::Tcp] {
        check_with(name, routers, &[kind]);
    }
}

/// The same with a server that listens for these kinds.
fn check_with(name: &str, routers: &[RouterSpec], kinds: &[LinkKind]) {
    let rounds = std::env::var("NETCOM_UPSETS").ok().and_then(|count| count.parse().ok());
    with_topology(routers, LinkSpec::new(DELAY), |topology| {
        let ip = topology.public_addresses()[0].into();
        let listen: Vec<Multiaddr> = kinds.iter().map(|kind| address(ip, *kind)).collect();
        let server = Server::start(topology.internet(), listen, |b| b, stream_without_end);
        let expected = *kinds.last().expect("it listens for something");
        for (number, router) in (1..).zip(topology.routers()) {
            for upset in [Upset::Forgets, Upset::ChangesAddress] {
                let once = |_| one_upset(topology, &server, expected, || upset.happen_to(router));
                let gaps: Vec<Gaps> = (0..rounds.unwrap_or(1)).map(once).collect();
                report(&format!("{name}, {expected:?}, router {number} {upset}"), &gaps);
            }
        }
    });
}

/// Connects, asks, upsets a router while nothing is on its way and once more under load.
fn one_upset(
    topology: &Topology,
    server: &Server,
    expected: LinkKind,
    upset: impl Fn() -> Result<(), LabError> + Send,
) -> Gaps {
    let work = async |upsets: Upsets| {
        let node = client().build().await.unwrap();
        let connection = timeout(PATIENCE, node.connect(server.ticket.clone())).await;
        let connection = connection.expect("in time").unwrap();
        ask(&connection).await;
        assert_eq!(connection.path().link, Some(expected));
        until_quiet(topology).await;
        happens(&upsets).await;
        let idle = ask(&connection).await;
        let seen = Arc::new(Mutex::new(Seen::nothing()));
        let reader = tokio::spawn(read(connection.clone(), Arc::clone(&seen)));
        let asker = tokio::spawn(ask_without_end(connection.clone()));
        until(|| seen.lock().bytes > WARM).await;
        seen.lock().longest = Duration::ZERO;
        happens(&upsets).await;
        let bytes = seen.lock().bytes;
        let is_over = || reader.is_finished() || asker.is_finished();
        until(|| seen.lock().bytes > bytes + 2 * WARM || is_over()).await;
        assert!(!is_over(), "both go on");
        let loaded = seen.lock().longest;
        ask(&connection).await;
        assert_eq!(connection.path().link, Some(expected));
        reader.abort();
        asker.abort();
        timeout(PATIENCE, node.close()).await.unwrap();
        Gaps { idle, loaded }
    };
    // On a thread of its own, so that the client goes on meanwhile.
    let (upsets, requests) = mpsc::sync_channel::<oneshot::Sender<()>>(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for done in requests {
                upset().unwrap();
                done.send(()).unwrap();
            }
        });
        topology.host().run(async move || work(upsets).await)
    })
}

/// Has a router upset, and waits until it is.
async fn happens(upsets: &Upsets) {
    let (done, wait) = oneshot::channel();
    upsets.send(done).unwrap();
    wait.await.unwrap();
}

/// How long it takes until a request is answered.
async fn ask(connection: &Connection) -> Duration {
    let begun = Instant::now();
    let answer = timeout(PATIENCE, connection.request("hello")).await;
    assert_eq!(answer.expect("in time").unwrap(), "hello");
    begun.elapsed()
}

/// Asks now and then, whether the last answer came or not: who only listens learns of an upset by
/// the keep-alive of its link alone, if nothing of its own happens to be on its way.
async fn ask_without_end(connection: Connection) {
    let (mut pace, mut asked) = (interval(PAUSE), JoinSet::new());
    loop {
        tokio::select! {
            _ = pace.tick() => {
                let connection = connection.clone();
                asked.spawn(async move { ask(&connection).await });
            }
            Some(answered) = asked.join_next() => { answered.unwrap(); },
        }
    }
}

/// Waits until nothing has been sent over the uplink for a while.
async fn until_quiet(topology: &Topology) {
    let sent = || Side::BOTH.map(|side| topology.uplink().counters(side).sent);
    let mut look = interval(QUIET);
    look.tick().await;
    timeout(PATIENCE, async {
        let mut before = sent();
        loop {
            look.tick().await;
            let now = sent();
            if now == before {
                return;
            }
            before = now;
        }
    })
    .await
    .expect("a session without work rests");
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn report(what: &str, gaps: &[Gaps]) {
    let (idle, worst_idle) = spread(gaps.iter().map(|gaps| gaps.idle));
    let (loaded, worst_loaded) = spread(gaps.iter().map(|gaps| gaps.loaded));
    println!(
        "{what}: {} times, idle answered after {idle:.0?} (worst {worst_idle:.0?}), \
         loaded gap {loaded:.0?} (worst {worst_loaded:.0?})",
        gaps.len(),
    );
    // A machine with other work makes some longer, and of a few times that is the median.
    let most = if gaps.len() < FEW { SOON * 3 } else { SOON };
    assert!(idle < most && loaded < most, "{what}: {gaps:?}");
}

/// The median and the longest.
fn spread(times: impl Iterator<Item = Duration>) -> (Duration, Duration) {
    let mut sorted: Vec<Duration> = times.collect();
    sorted.sort();
    (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() - 1])
}

const DELAY: Duration = Duration::from_millis(10);
/// Between two requests while data comes.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than an acknowledgement is held back.
const QUIET: Duration = Duration::from_millis(300);
/// What a link that fails without a word may take.
const SOON: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);
const FEW: usize = 5;
