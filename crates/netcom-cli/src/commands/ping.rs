//! `netcom ping`.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    args::Ping,
    context::{Context, target},
    failure::{Exit, Failure, Outcome},
    nodes::Peer,
    output::plain,
};

/// Measures the way to a node, a reply a line, and sums up.
pub(crate) async fn run(command: &Ping, context: &Context) -> Outcome {
    let output = context.output;
    let target = target(context, &command.reach.target)?;
    let within = Duration::from_secs_f64(command.reach.timeout);
    let interval = Duration::from_secs_f64(command.interval);
    let mut peer = Peer::reach(context, &target, within).await?;
    let mut times = Vec::new();
    let mut last = None;
    let start = Instant::now();
    for sequence in 1..=command.count {
        match peer.ping(within).await {
            Ok((rtt, path)) => {
                let millis = rtt.as_secs_f64() * 1e3;
                output.line(format_args!(
                    "{}: seq {sequence}, {} over {}, {millis:.3} ms",
                    peer.peer_id, path.kind, path.link,
                ))?;
                output.json(json!({
                    "seq": sequence,
                    "peer_id": peer.peer_id,
                    "netid": peer.netid,
                    "rtt_us": u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
                    "path": path.kind,
                    "link": path.link,
                    "remote": path.remote,
                    "reason": path.reason,
                }))?;
                if last.as_ref() != Some(&path.reason) {
                    output.talk(format_args!("path: {}", plain(&path.reason)));
                    last = Some(path.reason);
                }
                times.push(millis);
            }
            Err(failure) => {
                output.talk(format_args!("seq {sequence}: {}", failure.message));
                output.json(json!({ "seq": sequence, "lost": failure.code }))?;
            }
        }
        if sequence < command.count {
            let after = u32::try_from(sequence).unwrap_or(u32::MAX);
            sleep_until(start + interval.saturating_mul(after)).await;
        }
    }
    peer.close().await;
    summary(command, context, &times)
}

fn summary(command: &Ping, context: &Context, times: &[f64]) -> Outcome {
    let (sent, received) = (command.count, times.len());
    if times.is_empty() {
        let message = format!("{} did not answer any of {sent} pings", command.reach.target);
        return Err(Failure::new(Exit::Unreachable, "timeout", message));
    }
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = times.iter().copied().fold(0.0, f64::max);
    let mean = times.iter().sum::<f64>() / received as f64;
    context.output.talk(format_args!(
        "{sent} sent, {received} answered, min/mean/max {least:.3}/{mean:.3}/{most:.3} ms"
    ));
    Ok(())
}
