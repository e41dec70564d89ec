//! The client's side of a round: every case of a peer, timed.

mod idle;
mod latency;
mod rate;

use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::time::timeout;

use crate::{
    case::{Case, Event, Measurement, Plan},
    client::Client,
    cpu,
    ends::tell,
};

/// Measures the plan's cases in its order and says what it finds, until one fails.
pub async fn all<C: Client>(client: C, plan: Plan, server: u32) -> Result<()> {
    let client = Arc::new(client);
    for cases in plan.sets() {
        match in_turns(&client, cases, &plan, server).await? {
            Ok(measured) => {
                for (case, measurement) in measured {
                    tell(&Event::Measured(case, measurement))?;
                }
            }
            Err((case, why)) => {
                tell(&Event::Facts(client.facts()))?;
                return tell(&Event::Failed(case, why));
            }
        }
    }
    tell(&Event::Facts(client.facts()))?;
    tell(&Event::Ended)
}

/// Measures cases of one set, or says which failed and why.
async fn in_turns<C: Client>(
    client: &Arc<C>,
    cases: &[Case],
    plan: &Plan,
    server: u32,
) -> Result<Result<Vec<(Case, Measurement)>, (Case, String)>> {
    let turns = plan.turns(cases);
    let mut parts = vec![Vec::with_capacity(turns.len()); cases.len()];
    for plan in turns {
        for (&case, parts) in cases.iter().zip(&mut parts) {
            tell(&Event::Began(case))?;
            let measuring = async {
                ensure!(C::CASES.contains(&case), "the peer has no such case");
                one(client, case, &plan, server).await
            };
            match timeout(plan.patience_of(case), measuring).await {
                Ok(Ok(measured)) => parts.push(measured),
                Ok(Err(error)) => return Ok(Err((case, format!("{error:#}")))),
                Err(_) => return Ok(Err((case, "it takes too long".to_owned()))),
            }
        }
    }
    Ok(Ok(cases.iter().copied().zip(parts.iter().map(|parts| Measurement::of(parts))).collect()))
}

async fn one<C: Client>(
    client: &Arc<C>,
    case: Case,
    plan: &Plan,
    server: u32,
) -> Result<Measurement> {
    match case {
        Case::RoundTrip | Case::RoundTripInline | Case::Request => {
            latency::measure(&**client, case, plan, server).await
        }
        Case::Idle => idle::measure(client, plan, server).await,
        _ => rate::measure(client, case, plan, server).await,
    }
}

fn since(before: Option<f64>, server: u32) -> Option<f64> {
    Some(cpu::seconds_with(server)? - before?)
}
