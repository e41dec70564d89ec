//! Networks that get worse rung by rung: how long it takes to connect and to be answered.
//!
//! The short form tries a few rungs once; `cargo xtask lab ladder` tries each twenty times from
//! both sides.

use std::time::{Duration, Instant};

use netcom::LinkKind;
use netcom_lab::{Condition, LinkSpec, Loss, Side, with_pair};
use tokio::time::timeout;

use crate::support::{Server, address, client};

/// What both directions of a link are like.
#[derive(Clone, Copy, Debug)]
struct Rung {
    /// Packets lost of a hundred, in the long run.
    percent: f64,
    /// How many are lost in a row on average.
    burst: f64,
    /// Milliseconds on the way.
    delay: u64,
}

#[test]
fn a_node_connects_and_is_answered_on_each_rung_in_time() {
    let climbs = std::env::var("NETCOM_CLIMBS").ok().and_then(|count| count.parse().ok());
    let mut failed = Vec::new();
    for (number, rung) in (0..).zip(LADDER) {
        if climbs.is_none() && !SAMPLE.contains(&number) {
            continue;
        }
        let most = FIRST + EACH * number;
        for side in Side::BOTH {
            let runs = 0..climbs.unwrap_or(1);
            // `None` for those that were not done in time.
            let times: Vec<Option<Duration>> =
                runs.filter_map(|run| climb(rung, side, run, most)).collect();
            report(number, rung, side, most, &times);
            if times.contains(&None) {
                failed.push((number, side));
            }
        }
    }
    assert!(failed.is_empty(), "not in time: {failed:?}");
}

#[test]
fn a_request_outlives_a_first_link_that_had_no_answer() {
    with_pair(LinkSpec::new(Duration::from_millis(10)), |pair| {
        let listen = [address(pair.right().ipv4().into(), LinkKind::Tcp)];
        let server = Server::start(pair.right(), listen, |builder| builder, async |_| ());
        pair.left().run(async || {
            let node = client().build().await.unwrap();
            let connection = node.connect(server.ticket.clone()).await.unwrap();
            // What the session begins with is lost, or its answer.
            pair.link().set(Condition::Down);
            let request = tokio::spawn(async move { connection.request("hello").await });
            tokio::time::sleep(SILENCE).await;
            pair.link().set(Condition::Up);
            assert_eq!(request.await.unwrap().unwrap(), "hello");
            node.close().await;
        });
    });
}

/// One node connects and asks from one side; `None` where there is no laboratory.
#[expect(clippy::print_stdout, reason = "what went wrong, beside the figures")]
fn climb(rung: Rung, from: Side, run: u64, most: Duration) -> Option<Option<Duration>> {
    let loss = Loss::Bursts { mean: rung.percent / 100.0, burst: rung.burst };
    let spec = LinkSpec::new(Duration::from_millis(rung.delay)).loss(loss);
    let mut took = None;
    with_pair(spec.seed(run + 1), |pair| {
        let (near, far) = match from {
            Side::Left => (pair.left(), pair.right()),
            Side::Right => (pair.right(), pair.left()),
        };
        let listen = far.sockets().into_iter().flat_map(|socket| {
            [LinkKind::Quic, LinkKind::Tcp].map(|kind| address(socket.ip(), kind))
        });
        let server = Server::start(far, listen, |builder| builder, async |_| ());
        took = Some(near.run(async || {
            let node = client().build().await.unwrap();
            let begun = Instant::now();
            let ask = async {
                let connection = node.connect_with(server.ticket.clone()).timeout(most).await;
                let connection = connection.map_err(|error| error.to_string())?;
                let answer = connection.request("ping").await.map_err(|error| error.to_string())?;
                assert_eq!(answer, "ping");
                Ok::<_, String>(connection)
            };
            let asked = timeout(most, ask).await;
            let took = begun.elapsed();
            if let Ok(Err(error)) = &asked {
                println!("run {run}: {error} after {took:.1?}");
            }
            // Not closed in order, which would take as long again.
            matches!(asked, Ok(Ok(_))).then_some(took)
        }));
    });
    took
}

#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn report(number: u32, rung: Rung, from: Side, most: Duration, times: &[Option<Duration>]) {
    let Rung { percent, burst, delay } = rung;
    let mut done: Vec<Duration> = times.iter().copied().flatten().collect();
    done.sort();
    let (Some(median), Some(worst)) = (done.get(done.len() / 2), done.last()) else {
        return println!("rung {number} from the {from:?}: none of {} in {most:?}", times.len());
    };
    println!(
        "rung {number}, {percent} % lost in bursts of {burst}, {delay} ms, from the {from:?}: \
         {} of {} within {most:?}, median {median:.1?}, worst {worst:.1?}",
        done.len(),
        times.len(),
    );
}

const LADDER: [Rung; 9] = [
    Rung { percent: 0.1, burst: 1.0, delay: 10 },
    Rung { percent: 0.5, burst: 1.0, delay: 20 },
    Rung { percent: 1.0, burst: 2.0, delay: 30 },
    Rung { percent: 2.0, burst: 2.0, delay: 50 },
    Rung { percent: 4.0, burst: 3.0, delay: 75 },
    Rung { percent: 8.0, burst: 4.0, delay: 100 },
    Rung { percent: 15.0, burst: 6.0, delay: 100 },
    Rung { percent: 25.0, burst: 8.0, delay: 100 },
    Rung { percent: 1.0, burst: 1.0, delay: 300 },
];
/// The rungs of the short form.
const SAMPLE: [u32; 3] = [1, 5, 8];
/// What the first rung may take, and each one above it more.
const FIRST: Duration = Duration::from_secs(10);
const EACH: Duration = Duration::from_secs(5);
/// Longer than an answer to the first word on a link may take.
const SILENCE: Duration = Duration::from_secs(6);
