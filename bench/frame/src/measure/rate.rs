//! What is counted over time.

use std::{
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::since;
use crate::{
    HANDSHAKES, IN_FLIGHT, MESSAGE, MORE_IN_FLIGHT,
    case::{Case, Measurement, Plan},
    client::{Client, Message, Sent},
    cpu,
};

pub(super) async fn measure<C: Client>(
    client: &Arc<C>,
    case: Case,
    plan: &Plan,
    server: u32,
) -> Result<Measurement> {
    run(client, case, plan.warm_up).await?;
    let before = cpu::seconds_with(server);
    let own = cpu::seconds_of(process::id());
    let Sent { count, took } = run(client, case, plan.counted(case)).await?;
    let cpu_seconds = since(before, server);
    let own = own.and_then(|own| Some(cpu::seconds_of(process::id())? - own));
    let client_cpu_seconds = own.filter(|_| case == Case::InFlight100);
    let value = count as f64 / took.as_secs_f64() / case.scale();
    Ok(Measurement { value, count, cpu_seconds, client_cpu_seconds, ..Measurement::default() })
}

async fn run<C: Client>(client: &Arc<C>, case: Case, duration: Duration) -> Result<Sent> {
    match case {
        Case::BulkDown => client.bulk_down(duration).await,
        Case::BulkBoth => client.bulk_both(duration).await,
        Case::Messages => client.messages(duration).await,
        Case::Streams20 => client.many(20, duration).await,
        Case::Streams2000 => client.many(2000, duration).await,
        Case::InFlight => in_flight(client, IN_FLIGHT, duration).await,
        Case::InFlight100 => in_flight(client, MORE_IN_FLIGHT, duration).await,
        Case::Connect => handshakes(client, duration).await,
        _ => client.bulk(case, duration).await,
    }
}

/// As many tasks as requests may be on their way, each with one after the other.
async fn in_flight<C: Client>(
    client: &Arc<C>,
    requests: usize,
    duration: Duration,
) -> Result<Sent> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..requests {
        let client = Arc::clone(client);
        tasks.spawn(async move {
            let message: Message = std::array::from_fn(|index| (index + task) as u8);
            let mut count = 0;
            while begin.elapsed() < duration {
                let answer = client.request_among(message).await?;
                ensure!(answer == message, "the answer is not what was sent");
                count += 1;
            }
            Ok(count)
        });
    }
    sum(tasks, begin).await
}

async fn handshakes<C: Client>(client: &Arc<C>, duration: Duration) -> Result<Sent> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for lane in 0..HANDSHAKES {
        let client = Arc::clone(client);
        tasks.spawn(async move {
            let mut count = 0;
            while begin.elapsed() < duration {
                client.handshake(lane).await?;
                count += 1;
            }
            Ok(count)
        });
    }
    sum(tasks, begin).await
}

async fn sum(mut tasks: JoinSet<Result<u64>>, begin: Instant) -> Result<Sent> {
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended??;
    }
    Ok(Sent { count, took: begin.elapsed() })
}

const _: () = assert!(MESSAGE <= 256, "the bytes of a message differ");
