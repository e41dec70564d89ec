//! The client's side of a round: every case of a peer, timed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    case::{Case, Findings, Measurement, Plan},
    cpu,
    peers::{Bulk, Client, MESSAGE},
};

/// Measures all cases the client knows.
pub(crate) async fn all<C: Client>(mut client: C, plan: Plan, server: u32) -> Result<Findings> {
    let mut cases = BTreeMap::new();
    for &case in C::CASES.iter().filter(|&&case| plan.only.is_none_or(|only| only == case)) {
        let measured = match case {
            Case::Bulk | Case::BulkSlices => bulk(&mut client, case, plan, server).await?,
            Case::RoundTrip | Case::Request => latency(&mut client, case, plan, server).await?,
        };
        cases.insert(case, measured);
    }
    Ok(Findings { cases, facts: client.facts() })
}

async fn bulk<C: Client>(
    client: &mut C,
    case: Case,
    plan: Plan,
    server: u32,
) -> Result<Measurement> {
    send(client, case, plan.warm_up).await?;
    let before = cpu::seconds_with(server);
    let Bulk { bytes, took } = send(client, case, plan.bulk).await?;
    let cpu_seconds = since(before, server);
    let value = bytes as f64 / took.as_secs_f64() / 1e9;
    Ok(Measurement { value, count: bytes, p99: None, cpu_seconds })
}

async fn send<C: Client>(client: &mut C, case: Case, duration: Duration) -> Result<Bulk> {
    match case {
        Case::BulkSlices => client.bulk_slices(duration).await,
        _ => client.bulk(duration).await,
    }
}

async fn latency<C: Client>(
    client: &mut C,
    case: Case,
    plan: Plan,
    server: u32,
) -> Result<Measurement> {
    let message: [u8; MESSAGE] = std::array::from_fn(|index| index as u8);
    if case == Case::RoundTrip {
        client.open().await?;
    }
    let warm = Instant::now() + plan.warm_up;
    while Instant::now() < warm {
        exchange(client, case, message).await?;
    }
    let mut samples = Vec::with_capacity(SAMPLES);
    let before = cpu::seconds_with(server);
    let begin = Instant::now();
    let mut last = begin;
    while last - begin < plan.latency {
        exchange(client, case, message).await?;
        let now = Instant::now();
        samples.push((now - last).as_nanos() as u64);
        last = now;
    }
    let cpu_seconds = since(before, server);
    samples.sort_unstable();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let (value, p99) = (at(0.5), Some(at(0.99)));
    Ok(Measurement { value, count: samples.len() as u64, p99, cpu_seconds })
}

async fn exchange<C: Client>(client: &mut C, case: Case, message: [u8; MESSAGE]) -> Result<()> {
    let answer = match case {
        Case::RoundTrip => client.round_trip(message).await?,
        _ => client.request(message).await?,
    };
    ensure!(answer == message, "the answer is not what was sent");
    Ok(())
}

fn since(before: Option<f64>, server: u32) -> Option<f64> {
    Some(cpu::seconds_with(server)? - before?)
}

/// Room for the samples of a long case, so that none is taken while memory grows.
const SAMPLES: usize = 1 << 18;
