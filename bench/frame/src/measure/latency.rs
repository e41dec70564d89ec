//! What is timed one by one.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::since;
use crate::{
    case::{Case, Measurement, Plan},
    client::{Client, Echo as _, Message},
    cpu,
};

/// What is timed.
enum Way<'a, C: Client> {
    Open(C::Echo),
    Fresh(&'a C),
}

pub(super) async fn measure<C: Client>(
    client: &C,
    case: Case,
    plan: &Plan,
    server: u32,
) -> Result<Measurement> {
    let mut way = match case {
        Case::Request => Way::Fresh(client),
        _ => Way::Open(client.open(case).await?),
    };
    let warm = Instant::now() + plan.warm_up;
    while Instant::now() < warm {
        way.exchange().await?;
    }
    let mut samples = Vec::with_capacity(SAMPLES);
    let before = cpu::seconds_with(server);
    let begin = Instant::now();
    let mut last = begin;
    while last - begin < plan.latency {
        way.exchange().await?;
        let now = Instant::now();
        samples.push((now - last).as_nanos() as u64);
        last = now;
    }
    let cpu_seconds = since(before, server);
    samples.sort_unstable();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let (value, p99, count) = (at(0.5), Some(at(0.99)), samples.len() as u64);
    Ok(Measurement { value, count, p99, cpu_seconds, ..Measurement::default() })
}

impl<C: Client> Way<'_, C> {
    async fn exchange(&mut self) -> Result<()> {
        let message: Message = std::array::from_fn(|index| index as u8);
        let answer = match self {
            Self::Open(echo) => echo.exchange(message).await?,
            Self::Fresh(client) => client.request(message).await?,
        };
        ensure!(answer == message, "the answer is not what was sent");
        Ok(())
    }
}

/// Room for the samples of a long case, so that none is taken while memory grows.
const SAMPLES: usize = 1 << 18;
