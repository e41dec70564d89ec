//! Asking the running node.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use serde_json::{Value, json};

use crate::support::World;

#[test]
fn without_a_running_node_there_is_nobody_to_ask() {
    let world = World::new();
    world.run("alice", &["status"]).failed(4, "not_running");
    world.run("alice", &["sessions", "ls"]).failed(4, "not_running");
    let (node, _) = world.listen("alice", &[]);
    world.run("alice", &["status"]).ok();
    node.kill();
    // The socket of a killed node stays behind and stands in nobody's way.
    world.run("alice", &["status"]).failed(4, "not_running");
    let (_node, _) = world.listen("alice", &[]);
    world.run("alice", &["status"]).ok();
}

#[test]
fn status_and_sessions_tell_of_the_running_node() {
    let world = World::new();
    let (node, ticket) = world.listen("alice", &[]);
    let status = world.run("alice", &["status", "--json"]).ok().json();
    assert_eq!((&status["running"], &status["sessions"]), (&true.into(), &0.into()));
    assert_eq!(status["pid"], node.pid());
    assert_eq!(status["counters"]["panics_total"], 0);
    assert_eq!(status["netid"], world.netid("alice").as_str());
    let mode = std::fs::metadata(world.path("alice/control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (_bob, _) = world.listen("bob", &[]);
    // The running node of bob makes the session, and the ping keeps it.
    let pinging = world.start("bob", &["ping", &ticket, "-c", "100000", "-i", "0.01"]);
    pinging.line();
    let peer = world.run("bob", &["status", "--json"]).ok().json()["peer_id"].clone();
    let listed = world.run("alice", &["sessions", "ls", "--json"]).ok().json();
    assert_eq!(listed["sessions"][0]["peer_id"], peer);
    assert_eq!(listed["sessions"][0]["netids"][0], world.netid("bob").as_str());
    assert!(listed["links"][0]["is_active"].as_bool().unwrap());
    let peer = peer.as_str().unwrap();
    assert!(world.run("alice", &["sessions", "ls"]).ok().text().contains(peer));
    world.run("alice", &["sessions", "close", peer]).ok();
    world.run("alice", &["sessions", "close", "12D3nonsense"]).failed(3, "no_session");
    assert_eq!(node.terminate(), Some(0));
    assert!(!world.path("alice/control.sock").exists());
}

#[test]
fn how_fast_the_running_node_sends_to_a_peer_can_be_limited() {
    let world = World::new();
    let (_alice, ticket) = world.listen("alice", &[]);
    let (_bob, _) = world.listen("bob", &[]);
    let pinging = world.start("bob", &["ping", &ticket, "-c", "100000", "-i", "0.01"]);
    pinging.line();
    let peer = world.run("bob", &["status", "--json"]).ok().json()["peer_id"].clone();
    let peer = peer.as_str().unwrap();
    let rate = || {
        let listed = world.run("alice", &["sessions", "ls", "--json"]).ok().json();
        listed["sessions"][0]["rate"].as_u64()
    };
    assert_eq!(rate(), None);
    world.run("alice", &["sessions", "limit", peer, "2.5M"]).ok();
    assert_eq!(rate(), Some(2_500_000));
    assert!(world.run("alice", &["sessions", "ls"]).ok().text().contains("at most 2.5 MB/s"));
    world.run("alice", &["sessions", "limit", peer, "off"]).ok();
    assert_eq!(rate(), None);
    world.run("alice", &["sessions", "limit", peer, "fast"]).failed(2, "bad_rate");
    world.run("alice", &["sessions", "limit", "12D3nonsense", "1M"]).failed(3, "no_session");
}

#[test]
fn requests_and_files_go_through_the_running_node() {
    let world = World::new();
    let bob = world.netid("bob");
    let receive = ["--receive", "inbox", "--allow", &bob, "--json"];
    let all: Vec<&str> = ["listen"].iter().chain(&receive).copied().collect();
    let alice = world.start("alice", &all);
    let ticket = alice.json_line()["ticket"].as_str().unwrap().to_owned();
    let (_bob, _) = world.listen("bob", &[]);
    let body = crate::support::noise(3 << 20);
    let answered = world.run_with("bob", &["request", &ticket, "-"], &body).ok();
    assert!(answered.stdout == body);
    let own = world.run("bob", &["status", "--json"]).ok().json();
    world.write("film", &body);
    let sent = world.run("bob", &["send", "film", &ticket, "--json"]).ok().json();
    assert_eq!((&sent["bytes"], &sent["sent_twice"]), (&(3 << 20).into(), &0.into()));
    assert!(crate::support::read(&world.path("inbox/film")) == body);
    let pinging = world.start("bob", &["ping", &ticket, "-c", "100000", "-i", "0.01"]);
    pinging.line();
    let sessions = world.run("alice", &["sessions", "ls", "--json"]).ok().json();
    assert_eq!(sessions["sessions"][0]["peer_id"], own["peer_id"], "the running node was used");
    // Somebody else, who uses next to nothing.
    let (_carol, _) = world.listen("carol", &[]);
    let other = world.start("carol", &["ping", &ticket, "-c", "100000", "-i", "0.01"]);
    other.line();
    let others = world.run("carol", &["status", "--json"]).ok().json();
    let used = world.run("alice", &["status", "--json"]).ok().json();
    // The request and the file came, the answer went, and frames are hardly longer.
    let [received, sent] = data_use(&used, &own["peer_id"]);
    let most = |bytes: u64| bytes + bytes / 10 + (64 << 10);
    assert!((6 << 20..=most(6 << 20)).contains(&received), "{used}");
    assert!((3 << 20..=most(3 << 20)).contains(&sent), "{used}");
    for bytes in data_use(&used, &others["peer_id"]) {
        assert!(bytes < 256 << 10, "{used}");
    }
    drop((pinging, other));
    let failed = world.run("bob", &["request", &world.netid("nobody"), "x", "--timeout", "1"]);
    failed.failed(3, "not_found");
}

/// Bytes that came from a peer and went to it, as a node's status says.
fn data_use(status: &Value, peer: &Value) -> [u64; 2] {
    let peers = status["peers"].as_array().unwrap();
    let its = peers.iter().find(|its| its["peer_id"] == *peer).expect("there is a session");
    ["bytes_received", "bytes_sent"].map(|name| its[name].as_u64().unwrap())
}

#[test]
fn the_socket_answers_json_lines_and_survives_nonsense() {
    let world = World::new();
    let (_node, _) = world.listen("alice", &[]);
    let stream = UnixStream::connect(world.path("alice/control.sock")).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |question: &str| -> Value {
        (&stream).write_all(format!("{question}\n").as_bytes()).unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    assert_eq!(ask("{\"method\":\"status\"}")["schema"], 1);
    for question in ["", "nonsense", "[]", "{\"method\":\"fly\"}", "{\"method\":\"open\"}"] {
        assert_eq!(ask(question)["error"]["exit"], 2, "{question}");
    }
    let links = ask(&json!({ "method": "links", "schema": 1 }).to_string());
    assert_eq!(links["result"]["links"], json!([]));
    // A line that never ends is cut off, and the node goes on.
    let endless = UnixStream::connect(world.path("alice/control.sock")).unwrap();
    let _ = (&endless).write_all(&vec![b'x'; 2 << 20]);
    assert_eq!(ask("{\"method\":\"status\"}")["schema"], 1);
}
