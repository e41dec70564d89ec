//! The steps of the demonstration.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use indicatif::ProgressBar;
use netcom::{Connection, NetId, Node, Role, StreamErrorMessage, Target};
use serde_json::json;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    Report,
    processes::{Stage, hash_file, make_file},
};
use crate::{
    args::Demo,
    commands::send::{Done, Transfer, close},
    context::Context,
    errors,
    failure::{Failure, Outcome},
    nodes::{self, FILES, PathView},
    output::{Output, bytes},
    transfer::{SentLog, scan},
};

/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(20);
/// What is written to a stream that nobody reads.
const BLOCKED_BYTES: usize = 32 << 20;
/// The most that may be sent twice.
const MAX_TWICE: u64 = 1 << 20;

/// Runs the steps one after the other.
pub(super) async fn all(
    command: &Demo,
    context: &Context,
    stage: &mut Stage,
    report: &mut Report,
) -> Outcome {
    let entity = start(stage, report).await?;
    let registry = stage.path("registry");
    let client = stage.path("client");
    let node = nodes::on_loopback(&client, &registry, None, Role::Client).await?;
    let way = "through the same-host registry";
    let connection = find(&node, entity, stage, report, "registry", way).await?;
    by_mdns(entity, stage, report).await?;
    request(&connection, stage, report).await?;
    chat(&connection, report).await?;
    side_channel(&connection, report).await?;
    file(command, context, node.clone(), entity, stage, report).await?;
    close(Some(node)).await;
    Ok(())
}

async fn start(stage: &mut Stage, report: &mut Report) -> Outcome<NetId> {
    let entity = stage.identity("entity")?;
    let visitor = stage.identity("client")?;
    let failed = |error: std::io::Error| Failure::io("no folder for the registry", &error);
    std::fs::create_dir_all(stage.path("inbox")).map_err(failed)?;
    for label in ["A", "B"] {
        stage.start(label, visitor).await?;
    }
    let lines: Vec<String> = stage
        .children
        .iter()
        .map(|member| {
            let ready = member.ready_after.as_millis();
            format!(
                "{}: process {}, {}, ready in {ready} ms",
                member.label, member.pid, member.peer_id
            )
        })
        .collect();
    let sentence = format!("Two nodes run in processes of their own and speak for {entity}");
    let figures = json!({ "netid": entity.to_string(), "nodes": stage.children.len() });
    report.step("start", sentence, &lines, figures)?;
    Ok(entity)
}

/// Finds both nodes by the NetID alone and connects to one.
async fn find(
    node: &Node,
    entity: NetId,
    stage: &Stage,
    report: &mut Report,
    name: &str,
    way: &str,
) -> Outcome<Connection> {
    let start = Instant::now();
    let connection =
        node.connect_to_netid(entity).await.map_err(|error| errors::connect(&error))?;
    let connected = start.elapsed();
    let found = both(node, entity).await?;
    let peer_id = connection.peer_id().to_string();
    let label = stage.member(&peer_id).map_or("?", |member| member.label.as_str());
    let path = path(&connection)?;
    let sentence = format!("Found {way}, with no address given: {found} nodes");
    let lines = [format!(
        "connected to {label} in {:.1} ms, {} over {} ({})",
        connected.as_secs_f64() * 1e3,
        path.kind,
        path.link,
        path.reason,
    )];
    let figures = json!({
        "found": found, "connect_ms": connected.as_secs_f64() * 1e3,
        "path": path.kind, "link": path.link, "reason": path.reason,
    });
    report.step(name, sentence, &lines, figures)?;
    Ok(connection)
}

/// Looks until both nodes are found.
async fn both(node: &Node, entity: NetId) -> Outcome<usize> {
    let looking = async {
        loop {
            if let Ok(nodes) = node.discover_netid(entity).await
                && nodes.len() == 2
            {
                return nodes.len();
            }
        }
    };
    let found = timeout(WITHIN, looking).await;
    found
        .map_err(|_| Failure::failed("not_found", format!("not both nodes of {entity} were found")))
}

async fn by_mdns(entity: NetId, stage: &Stage, report: &mut Report) -> Outcome {
    // An empty registry: what is found now is found by multicast DNS.
    let (client, empty) = (stage.path("client"), stage.path("empty"));
    let port = stage.mdns_port;
    let node = nodes::on_loopback(&client, &empty, Some(port), Role::Client).await?;
    let way = format!("by mDNS on 127.0.0.1, port {port}");
    let connection = find(&node, entity, stage, report, "mdns", &way).await?;
    let answer = ask(&connection, "mDNS").await?;
    node.close().await;
    if answer.ends_with("heard mDNS") { Ok(()) } else { Err(wrong("the answer", &answer)) }
}

async fn request(connection: &Connection, stage: &Stage, report: &mut Report) -> Outcome {
    let start = Instant::now();
    let answer = ask(connection, "hello").await?;
    let first = start.elapsed();
    let rounds = 100;
    let start = Instant::now();
    for _ in 0..rounds {
        ask(connection, "again").await?;
    }
    let each = start.elapsed() / rounds;
    let peer_id = connection.peer_id().to_string();
    let label = stage.member(&peer_id).map_or("?", |member| member.label.as_str());
    if answer != format!("{label} heard hello") {
        return Err(wrong("the answer", &answer));
    }
    let sentence = format!("Request and answer: \"hello\" brought \"{answer}\"");
    let lines = [format!(
        "the first in {} µs, then {rounds} in {} µs each, every one on a stream of its own",
        first.as_micros(),
        each.as_micros(),
    )];
    let figures = json!({ "first_us": first.as_micros(), "each_us": each.as_micros() });
    report.step("request", sentence, &lines, figures)
}

async fn ask(connection: &Connection, text: &str) -> Outcome<String> {
    let asking = connection.request(Bytes::copy_from_slice(text.as_bytes()));
    match timeout(WITHIN, asking).await {
        Ok(Ok(answer)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Ok(Err(error)) => Err(errors::request(&error)),
        Err(_) => Err(late("an answer")),
    }
}

async fn chat(connection: &Connection, report: &mut Report) -> Outcome {
    let start = Instant::now();
    let mut stream = connection.msg_stream().await.map_err(|error| errors::open(&error))?;
    let mut lines = Vec::new();
    for text in ["good morning", "how are you", "goodbye"] {
        let sent = stream.send(Bytes::from_static(text.as_bytes())).await;
        sent.map_err(|error| errors::stream(&error))?;
        let answer = match timeout(WITHIN, stream.recv()).await {
            Ok(Ok(Some(answer))) => String::from_utf8_lossy(&answer).into_owned(),
            Ok(Ok(None)) => return Err(wrong("the end of the chat", "too early")),
            Ok(Err(error)) => return Err(errors::stream(&error)),
            Err(_) => return Err(late("a message")),
        };
        if !answer.ends_with(&format!("{text}?")) {
            return Err(wrong("the message", &answer));
        }
        lines.push(format!("\"{text}\" — \"{answer}\""));
    }
    stream.finish().await.map_err(|error| errors::stream(&error))?;
    let micros = start.elapsed().as_micros();
    let sentence = format!("Chat: three messages each way on one stream, in {micros} µs");
    report.step("chat", sentence, &lines, json!({ "messages": 6, "micros": micros }))
}

/// An error comes through while the data is blocked, and the data goes on afterwards.
async fn side_channel(connection: &Connection, report: &mut Report) -> Outcome {
    let start = Instant::now();
    let stream = connection.x_stream().await.map_err(|error| errors::open(&error))?;
    let (mut sender, mut receiver, mut errors_out, mut errors_in) = stream.into_parts();
    let data = Bytes::from(vec![0x55; BLOCKED_BYTES]);
    let writing = async {
        sender.write_bytes(data).await?;
        sender.finish().await
    };
    tokio::pin!(writing);
    let error = tokio::select! {
        biased;
        error = timeout(WITHIN, errors_in.next()) => error,
        written = &mut writing => {
            return Err(wrong("data that nobody reads", &format!("{written:?}")));
        }
    };
    let error = error.map_err(|_| late("the error"))?;
    let error = error.ok_or_else(|| wrong("the error", "none"))?;
    let micros = start.elapsed().as_micros();
    let go_on = StreamErrorMessage::new("go_on", "read now");
    errors_out.send(&go_on).await.map_err(|error| errors::stream(&error))?;
    match timeout(WITHIN, writing).await {
        Ok(written) => written.map_err(|error| errors::stream(&error))?,
        Err(_) => return Err(late("the end of the data")),
    }
    let count = receiver.read_to_end(64).await.map_err(|error| errors::stream(&error))?;
    if count[..] != (BLOCKED_BYTES as u64).to_be_bytes() {
        return Err(wrong("the count of the data", &format!("{count:?}")));
    }
    let sentence = format!("Error beside blocked data: \"{error}\" after {micros} µs");
    let lines = [format!(
        "{} were blocked meanwhile, and arrived whole afterwards",
        bytes(BLOCKED_BYTES as u64)
    )];
    report.step("side_channel", sentence, &lines, json!({ "micros": micros }))
}

/// Sends a file, kills the node that takes it on the way, and finishes with the other one.
async fn file(
    command: &Demo,
    context: &Context,
    node: Node,
    entity: NetId,
    stage: &mut Stage,
    report: &mut Report,
) -> Outcome {
    let path = stage.path("film.bin");
    let size = command.size << 20;
    let place = path.clone();
    let made = spawn_blocking(move || make_file(&place, size)).await;
    let failed = |error: std::io::Error| Failure::io("the demonstration's file", &error);
    let hash = made.map_err(|_| late("the file"))?.map_err(failed)?;
    let transfer = Transfer {
        scan: Arc::new(scan(&path, None, false)?),
        target: Target::NetId(entity),
        window: MAX_TWICE,
        limit: None,
        patience: WITHIN,
        bar: ProgressBar::hidden(),
    };
    let mut log = SentLog::in_memory();
    // The report tells of the second attempt in its own words.
    let mut quiet = context.clone();
    quiet.output = Output::new(false, true);
    let start = Instant::now();
    let watched = node.clone();
    let sending = transfer.run(&quiet, Some(node), &mut log);
    let killing = kill_on_the_way(&transfer.bar, &watched, size, stage);
    let (done, killed) = tokio::try_join!(sending, killing)?;
    let time = start.elapsed();
    let arrived = stage.path("inbox").join(&done.sent.name);
    let checked = spawn_blocking(move || hash_file(&arrived)).await;
    let checked = checked.map_err(|_| late("the checksum"))?.map_err(failed)?;
    tell(
        report,
        stage,
        &done,
        &killed,
        (size, time),
        log.sent().saturating_sub(size),
        (hash, checked),
    )
}

/// What happened to the node in use.
struct Killed {
    label: String,
    peer_id: String,
    at: u64,
    /// From the kill to the next byte that was kept.
    gap: Duration,
}

async fn kill_on_the_way(
    bar: &ProgressBar,
    node: &Node,
    size: u64,
    stage: &mut Stage,
) -> Outcome<Killed> {
    let moved = async |past: u64| {
        while bar.position() <= past {
            sleep(Duration::from_millis(1)).await;
        }
        bar.position()
    };
    moved(size / 3).await;
    let streams = node.commander().streams();
    let files = streams.iter().find(|stream| stream.protocol == FILES && stream.is_local);
    let peer_id = files.map(|stream| stream.peer_id.to_string());
    let peer_id = peer_id.ok_or_else(|| wrong("the node in use", "none"))?;
    let label = stage.kill(&peer_id).await?;
    let start = Instant::now();
    let at = bar.position();
    // What the dead node still had on its way may count once more.
    moved(at + MAX_TWICE).await;
    Ok(Killed { label, peer_id, at, gap: start.elapsed() })
}

fn tell(
    report: &mut Report,
    stage: &Stage,
    done: &Done,
    killed: &Killed,
    (size, time): (u64, Duration),
    twice: u64,
    (sent, arrived): (blake3::Hash, blake3::Hash),
) -> Outcome {
    if sent != arrived {
        return Err(wrong("the checksum", arrived.to_hex().as_str()));
    }
    if done.receiver == killed.peer_id {
        return Err(wrong("the node that finished", "the dead one"));
    }
    if twice > MAX_TWICE {
        return Err(wrong("what was sent twice", &bytes(twice)));
    }
    let label = stage.member(&done.receiver).map_or("?", |member| member.label.as_str());
    let rate = (size as f64 / time.as_secs_f64()) as u64;
    let share = killed.at * 100 / size.max(1);
    let lines = [
        format!("{} was killed (SIGKILL) at {} ({share} %)", killed.label, bytes(killed.at)),
        format!("{label} went on after {} ms, with no address given", killed.gap.as_millis()),
        format!("{} were sent twice, in {} attempts", bytes(twice), done.attempts),
        format!("checksum right: BLAKE3 {}…", &sent.to_hex()[..16]),
    ];
    let sentence = format!(
        "File of {} sent in {:.2} s, {}/s, its node killed on the way",
        bytes(size),
        time.as_secs_f64(),
        bytes(rate),
    );
    let figures = json!({
        "bytes": size, "seconds": time.as_secs_f64(), "bytes_per_second": rate,
        "killed": killed.label, "killed_at": killed.at, "gap_ms": killed.gap.as_millis(),
        "finished_by": label, "sent_twice": twice, "attempts": done.attempts,
        "blake3": sent.to_hex().as_str(),
    });
    report.step("file", sentence, &lines, figures)
}

fn path(connection: &Connection) -> Outcome<PathView> {
    PathView::of(connection).ok_or_else(|| wrong("the path", "none"))
}

fn wrong(what: &str, found: &str) -> Failure {
    Failure::failed("demo", format!("{what} is not right: {found}"))
}

fn late(what: &str) -> Failure {
    Failure::failed("demo", format!("{what} did not come in time"))
}
