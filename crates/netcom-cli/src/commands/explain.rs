//! `netcom explain`: whom a target means, where it was found, how it is reached and why so.

use std::time::Duration;

use netcom::Target;
use serde_json::{Value, json};

use super::links::link_line;
use crate::{
    args::Explain,
    context::{Context, target},
    control::{self, Client},
    failure::{Failure, Outcome},
    nodes,
    output::plain,
};

pub(crate) async fn run(command: &Explain, context: &Context) -> Outcome {
    let target = target(context, &command.reach.target)?;
    let within = Duration::from_secs_f64(command.reach.timeout);
    let explained = explain(context, &target, within).await?;
    context.output.answer(lines(&explained).join("\n"), explained.clone())?;
    match Failure::from_json(&explained) {
        Some(failure) if context.output.is_json() => Err(failure.told()),
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// What the running node finds out, or a fresh one where none runs.
pub(super) async fn explain(
    context: &Context,
    target: &Target,
    within: Duration,
) -> Outcome<Value> {
    let socket = context.directory().join("control.sock");
    let (mut explained, by) = match Client::connect(&socket).await? {
        Some(mut client) => {
            let parameters = json!({
                "target": target.to_string(),
                "timeout_ms": u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            });
            (client.ask("explain", parameters, within + SLACK).await?, "running")
        }
        None => {
            let node = nodes::client(context).await?;
            let explanation = node.explain(target.clone(), within).await;
            node.close().await;
            (control::explanation(&explanation), "own")
        }
    };
    explained["by"] = json!(by);
    Ok(explained)
}

/// The same for a person.
fn lines(explained: &Value) -> Vec<String> {
    let text = |value: &Value| plain(value.as_str().unwrap_or("-"));
    let mut lines = vec![format!("target   {}, {}", text(&explained["target"]), kind(explained))];
    for (label, key) in [("netid", "netid"), ("peer_id", "peer_id")] {
        if explained[key].is_string() {
            lines.push(format!("{label:<8} {}", text(&explained[key])));
        }
    }
    for source in explained["sources"].as_array().into_iter().flatten() {
        lines.push(source_line(source));
    }
    for dial in explained["dials"].as_array().into_iter().flatten() {
        lines.push(dial_line(dial));
    }
    if explained["is_udp_blocked"] == json!(true) {
        lines.push("udp      does not get through, and TCP does".to_owned());
    }
    for link in explained["links"].as_array().into_iter().flatten() {
        lines.push(format!("link     {}", link_line(link)));
    }
    if explained["path"].is_object() {
        let path = &explained["path"];
        let (kind, link) = (text(&path["kind"]), text(&path["link"]));
        lines.push(format!("path     {kind} over {link}, {}", text(&path["reason"])));
    }
    lines
}

fn kind(explained: &Value) -> &'static str {
    match explained["kind"].as_str() {
        Some("netid") => "the key of an entity",
        Some("peer_id") => "the key of one node",
        Some("address") => "the address of one node",
        Some("ticket") => "the ticket of one node",
        Some("petname") => "a petname",
        _ => "a name with dots",
    }
}

fn source_line(source: &Value) -> String {
    let name = match source["source"].as_str() {
        Some("given") => "the target itself".to_owned(),
        name => plain(name.unwrap_or("-")),
    };
    let nodes = source["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let count = |node: &Value| node["addresses"].as_array().map_or(0, Vec::len);
    let addresses: usize = nodes.iter().map(count).sum();
    match nodes.len() {
        0 => format!("source   {name}: no answer"),
        1 => format!("source   {name}: 1 node at {addresses} addresses"),
        found => format!("source   {name}: {found} nodes at {addresses} addresses"),
    }
}

fn dial_line(dial: &Value) -> String {
    let address = plain(dial["address"].as_str().unwrap_or("-"));
    let failure = dial["failure"].as_str().map(plain);
    match (dial["took_us"].as_u64(), failure) {
        (Some(_), Some(failure)) => format!("dialled  {address}: {failure}"),
        (Some(took), None) => {
            format!("dialled  {address}: it answered in {:.1?}", Duration::from_micros(took))
        }
        (None, failure) => format!("dialled  {address}: {}", failure.unwrap_or_default()),
    }
}

/// Connecting is tried a little longer than finding out.
const SLACK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_is_told_line_by_line() {
        let explained = json!({
            "target": "n1x",
            "kind": "netid",
            "netid": "n1x",
            "sources": [
                { "source": "host", "nodes": [{ "peer_id": "12D", "addresses": ["/a", "/b"] }] },
                { "source": "mdns", "nodes": [] },
            ],
            "dials": [
                { "address": "/a", "took_us": 1500, "failure": null },
                { "address": "/b\u{1b}", "took_us": null, "failure": "no answer in time" },
            ],
            "links": [],
            "path": null,
        });
        assert_eq!(
            lines(&explained),
            [
                "target   n1x, the key of an entity",
                "netid    n1x",
                "source   host: 1 node at 2 addresses",
                "source   mdns: no answer",
                "dialled  /a: it answered in 1.5ms",
                "dialled  /b\\u{1b}: no answer in time",
            ]
        );
    }
}
