//! The client's side of a round: every case of a peer, timed.

mod idle;
mod latency;
mod rate;

use std::sync::Arc;

use anyhow::Result;
use tokio::time::timeout;

use crate::{
    case::{Case, Findings, Measurement, Plan},
    client::Client,
    cpu,
};

/// Measures all cases of the plan that the client knows. One that fails leaves the others alone.
pub async fn all<C: Client>(client: C, plan: Plan, server: u32) -> Result<Findings> {
    let client = Arc::new(client);
    let mut findings = Findings::default();
    for &case in C::CASES.iter().filter(|case| plan.cases.contains(case)) {
        match timeout(plan.patience_of_case(), one(&client, case, &plan, server)).await {
            Ok(Ok(measured)) => drop(findings.cases.insert(case, measured)),
            Ok(Err(error)) => drop(findings.failures.insert(case, format!("{error:#}"))),
            Err(_) => drop(findings.failures.insert(case, "it takes too long".to_owned())),
        }
    }
    findings.facts = client.facts();
    Ok(findings)
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
