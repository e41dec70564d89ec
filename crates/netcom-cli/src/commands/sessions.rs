//! `netcom status` and `netcom sessions`: asking the running node.

use std::time::Duration;

use netcom::Rate;
use serde_json::{Value, json};

use super::links::link_line;
use crate::{
    args::Sessions,
    context::{Context, rate},
    control::Client,
    failure::{Exit, Failure, Outcome},
    output::bytes,
};

/// How long the running node may take for an answer that it has at hand.
const WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn status(context: &Context) -> Outcome {
    let mut client = client(context).await?;
    let status = client.ask("status", json!({}), WITHIN).await?;
    let limits = client.ask("limits", json!({}), WITHIN).await?;
    let counters = client.ask("counters", json!({}), WITHIN).await?;
    let mut lines = vec![
        format!("running   process {}, version {}", status["pid"], text(&status["version"])),
        format!("netid     {}", text(&status["netid"])),
        format!("peer_id   {}", text(&status["peer_id"])),
    ];
    for address in status["addresses"].as_array().into_iter().flatten() {
        lines.push(format!("address   {}", text(address)));
    }
    lines.push(format!("sessions  {} of at most {}", status["sessions"], limits["sessions"]));
    let peers = client.ask("peers", json!({}), WITHIN).await?["peers"].take();
    let links = client.ask("links", json!({}), WITHIN).await?["links"].take();
    for peer in peers.as_array().into_iter().flatten() {
        let amount = |name: &str| bytes(peer[name].as_u64().unwrap_or(0));
        let (sent, received) = (amount("bytes_sent"), amount("bytes_received"));
        lines.push(format!(
            "peer      {}  {sent} sent, {received} received",
            text(&peer["peer_id"])
        ));
        let its = links.as_array().into_iter().flatten();
        for link in its.filter(|link| link["peer_id"] == peer["peer_id"]) {
            lines.push(format!("link      {}", link_line(link)));
        }
    }
    if counters["panics_total"] != json!(0) {
        lines.push(format!("panics    {}: please report them", counters["panics_total"]));
    }
    let mut value = status;
    value["peers"] = peers;
    value["links"] = links;
    value["running"] = json!(true);
    value["limits"] = limits;
    value["counters"] = counters;
    context.output.answer(lines.join("\n"), value)
}

pub(crate) async fn run(command: &Sessions, context: &Context) -> Outcome {
    match command {
        Sessions::Ls => list(context).await,
        Sessions::Close { peer } => close(context, peer).await,
        Sessions::Limit { peer, rate } => limit(context, peer, rate).await,
    }
}

async fn list(context: &Context) -> Outcome {
    let mut client = client(context).await?;
    let mut answer = client.ask("sessions", json!({}), WITHIN).await?;
    let links = client.ask("links", json!({}), WITHIN).await?;
    let sessions = answer["sessions"].take();
    let mut lines = Vec::new();
    let none = Vec::new();
    for session in sessions.as_array().unwrap_or(&none) {
        let amount = |name: &str| bytes(session[name].as_u64().unwrap_or(0));
        let (sent, received) = (amount("bytes_sent"), amount("bytes_received"));
        let limit = session["rate"].as_u64().and_then(Rate::new);
        let limit = limit.map(|rate| format!(", at most {rate}")).unwrap_or_default();
        lines.push(format!(
            "{}  {}  {} streams  {sent} sent{limit}  {received} received",
            text(&session["peer_id"]),
            text(&session["state"]),
            session["streams"],
        ));
        for link in links["links"].as_array().unwrap_or(&none) {
            if link["session"] == session["session"] {
                lines.push(format!("  {}", link_line(link)));
            }
        }
    }
    let value = json!({ "sessions": sessions, "links": links["links"] });
    if lines.is_empty() {
        context.output.talk("there are no sessions");
        return context.output.json(value);
    }
    context.output.answer(lines.join("\n"), value)
}

async fn close(context: &Context, peer: &str) -> Outcome {
    let mut client = client(context).await?;
    let answer = client.ask("close_peer", json!({ "peer_id": peer }), WITHIN).await?;
    match answer["closed"].as_u64() {
        Some(0) | None => Err(no_session(peer)),
        Some(count) => {
            context.output.answer(format_args!("closed {count}"), json!({ "closed": count }))
        }
    }
}

async fn limit(context: &Context, peer: &str, limit: &str) -> Outcome {
    let limit = match limit {
        "off" => None,
        some => Some(rate(some)?),
    };
    let mut client = client(context).await?;
    let question = json!({ "peer_id": peer, "rate": limit.map(Rate::bytes_per_second) });
    let answer = client.ask("limit_peer", question, WITHIN).await?;
    match answer["limited"].as_u64() {
        Some(0) | None => Err(no_session(peer)),
        Some(count) => {
            let said = limit.map_or_else(|| "no limit".to_owned(), |rate| rate.to_string());
            let value = json!({ "limited": count, "rate": limit.map(Rate::bytes_per_second) });
            context.output.answer(format_args!("{said} for {count}"), value)
        }
    }
}

fn no_session(peer: &str) -> Failure {
    let message = format!("there is no session with {peer}");
    Failure::new(Exit::NotFound, "no_session", message).hint("netcom sessions ls")
}

async fn client(context: &Context) -> Outcome<Client> {
    let socket = context.directory().join("control.sock");
    Client::connect(&socket).await?.ok_or_else(|| {
        let message = format!("no node of {} runs", context.directory().display());
        Failure::new(Exit::Unreachable, "not_running", message).hint("netcom listen")
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
