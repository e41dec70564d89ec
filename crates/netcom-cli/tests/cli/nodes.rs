//! Nodes that talk to each other.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    thread,
};

use serde_json::Value;

use crate::support::World;

#[test]
fn a_node_is_found_by_its_netid_and_pinged_with_its_path() {
    let world = World::new();
    let (node, ticket) = world.listen("alice", &["--ticket-file", "ticket"]);
    assert_eq!(std::fs::read_to_string(world.path("ticket")).unwrap().trim_end(), ticket);
    let netid = world.netid("alice");
    for target in [netid.as_str(), ticket.as_str()] {
        let pinged = world.run("bob", &["ping", target, "-c", "3", "-i", "0.01", "--json"]).ok();
        let replies: Vec<Value> =
            pinged.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(replies.len(), 3);
        for reply in replies {
            assert_eq!((&reply["schema"], &reply["path"]), (&1.into(), &"local".into()));
            assert_eq!(reply["netid"], netid.as_str());
            assert!(reply["rtt_us"].as_u64().unwrap() < 10_000_000);
        }
    }
    let text = world.run("bob", &["ping", &ticket, "-c", "1"]).ok();
    assert!(text.text().contains("local over") && text.stderr.contains("1 sent, 1 answered"));
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn a_domain_with_a_key_in_the_settings_is_asked_of_nobody() {
    let world = World::new();
    let (_node, _) = world.listen("alice", &[]);
    let netid = world.netid("alice");
    let settings = format!("[naming.static]\n\"example.org\" = \"{netid}\"\n");
    world.write("bob/config.toml", settings.as_bytes());
    let pinged = world.run("bob", &["ping", "example.org", "-c", "1", "--json"]).ok();
    assert_eq!(pinged.json()["netid"], netid.as_str());
    world.run("bob", &["ping", "example.com", "-c", "1"]).failed(3, "name_offline");
    world.write("bob/config.toml", b"[naming.static]\n\"example.org\" = \"n1x\"\n");
    let mistaken = world.run("bob", &["ping", "example.org", "-c", "1"]);
    mistaken.failed(2, "config");
    assert!(mistaken.stderr.contains("naming.static: example.org"), "{}", mistaken.stderr);
}

#[test]
fn a_machine_that_was_let_in_speaks_for_the_entity_and_a_lost_one_is_named() {
    let world = World::new();
    let alice = world.netid("alice");
    let asked = world.run("server", &["id", "enroll", &alice, "--label", "rack 3"]).ok();
    world.write("request", asked.stdout.as_slice());
    let signed = world.run("alice", &["id", "sign", "request", "--days", "30"]).ok();
    world.run_with("server", &["id", "accept", "-"], &signed.stdout).ok();
    world.run("other", &["id", "enroll"]).ok();
    world.run_with("other", &["id", "accept", "-"], &signed.stdout).failed(1, "proof_refused");
    world.run_with("server", &["id", "accept", "-"], b"n1").failed(2, "bad_text");

    let (node, _) = world.listen("server", &[]);
    let pinged = world.run("bob", &["ping", &alice, "-c", "1", "--json"]).ok().json();
    assert_eq!(pinged["netid"], alice.as_str());
    assert_eq!(node.terminate(), Some(0));

    let devices = world.run("alice", &["id", "devices", "--json"]).ok().json();
    let [device] = devices["devices"].as_array().unwrap().as_slice() else { panic!("{devices}") };
    assert_eq!(device["label"], "rack 3");
    let peer = device["peer_id"].as_str().unwrap();
    world.run("alice", &["id", "revoke", peer]).ok();
    let nobody = world.run("alice", &["id", "devices"]).ok();
    assert!(nobody.text().is_empty() && nobody.stderr.contains("netcom id sign"));
    let gone = world.run("alice", &["id", "revoke", peer]);
    gone.failed(1, "unknown_device");
    assert!(gone.stderr.contains("try: netcom id devices"));
}

#[test]
fn what_a_machine_calls_itself_does_nothing_to_a_terminal() {
    let world = World::new();
    world.netid("alice");
    let label = "\u{202e}yltsenoh";
    let request = world.run("server", &["id", "enroll", "--label", label]).ok();
    let signed = world.run_with("alice", &["id", "sign", "-"], &request.stdout).ok();
    let listed = world.run("alice", &["id", "devices"]).ok();
    assert!(listed.text().contains("\\u{202e}yltsenoh"), "{}", listed.text());
    assert!(!listed.text().contains(label) && !signed.stderr.contains(label));
}

#[test]
fn what_is_left_out_for_want_of_permissions_is_told_with_the_remedy() {
    let world = World::new();
    let alice = world.netid("alice");
    fs::create_dir(world.path("registry")).unwrap();
    fs::set_permissions(world.path("registry"), fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["ping", &alice, "--timeout", "0.2"];
    let told = world.run("bob", &arguments);
    assert!(told.stderr.contains("chmod 700"), "{}", told.stderr);
    let quiet = world.run("bob", &[&arguments[..], &["--quiet"]].concat());
    assert!(!quiet.stderr.contains("chmod 700"), "{}", quiet.stderr);

    let request = world.run("server", &["id", "enroll"]).ok();
    let signed = ["id", "sign", "-", "--delegations", "0"];
    let proof = world.run_with("alice", &signed, &request.stdout).ok();
    world.run_with("server", &["id", "accept", "-"], &proof.stdout).ok();
    let second = world.run("server", &arguments);
    assert!(second.stderr.contains("speaks for nobody"), "{}", second.stderr);
    assert!(second.stderr.contains("--delegations 1"), "{}", second.stderr);
}

#[test]
fn what_the_network_or_the_host_cannot_do_is_told_to_who_asks_for_a_log_alone() {
    let world = World::new();
    world.netid("alice");
    fs::create_dir(world.path("registry")).unwrap();
    fs::set_permissions(world.path("registry"), fs::Permissions::from_mode(0o700)).unwrap();
    // Where the file is that orders writers, so that no record is published.
    fs::create_dir(world.path("registry/.lock")).unwrap();
    for (flags, is_told) in [(&["-v"][..], true), (&[], false)] {
        let mut command = world.command("alice", &[&["listen"], flags].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut listening = command.spawn().unwrap();
        let mut ticket = String::new();
        // It publishes before it tells where it is.
        BufReader::new(listening.stdout.take().unwrap()).read_line(&mut ticket).unwrap();
        listening.kill().unwrap();
        let ended = listening.wait_with_output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(told.contains("not published"), is_told, "{told}");
    }
}

#[test]
fn a_code_is_drawn_where_it_is_asked_for() {
    let world = World::new();
    world.netid("alice");
    for (flags, is_drawn) in [(&["--qr"][..], true), (&[], false), (&["--qr", "--json"], false)] {
        let mut command = world.command("alice", &[&["id", "invite"], flags].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut inviting = command.spawn().unwrap();
        let mut code = String::new();
        BufReader::new(inviting.stdout.take().unwrap()).read_line(&mut code).unwrap();
        // The code comes last, so what is drawn is there by now.
        inviting.kill().unwrap();
        let ended = inviting.wait_with_output().unwrap();
        let drawn = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(drawn.contains('\u{2588}'), is_drawn, "{drawn}");
    }
}

#[test]
fn a_second_device_joins_by_a_code_that_is_good_for_one() {
    let world = World::new();
    let alice = world.netid("alice");
    let inviting = world.start("alice", &["id", "invite"]);
    let code = inviting.line();
    world.run_with("phone", &["id", "join"], b"AAAA").failed(2, "bad_code");
    world.run("phone", &["id", "join", &code]).failed(2, "usage");
    world.run_with("alice", &["id", "join"], code.as_bytes()).failed(1, "identity_exists");
    let joined = world.run_with("phone", &["id", "join", "--label", "phone"], code.as_bytes());
    assert!(joined.stderr.contains("netcom id show"), "{}", joined.stderr);
    assert_eq!(joined.ok().text(), format!("this machine speaks for {alice}"));
    assert!(inviting.line().ends_with("\"phone\" joined"));
    world.run_with("tablet", &["id", "join"], code.as_bytes()).failed(3, "no_other_node");
    world.run("nobody", &["id", "invite"]).failed(1, "no_identity");

    let (_node, _) = world.listen("phone", &[]);
    let pinged = world.run("bob", &["ping", &alice, "-c", "1", "--json"]).ok().json();
    assert_eq!(pinged["netid"], alice.as_str());
}

#[test]
fn who_is_not_known_is_not_found_and_who_is_gone_is_unreachable() {
    let world = World::new();
    let nobody = world.netid("carol");
    world.run("bob", &["ping", "alice"]).failed(3, "unknown_petname");
    let missing = world.run("bob", &["ping", &nobody, "--timeout", "0.5"]);
    missing.failed(3, "not_found");
    assert!(missing.stderr.contains("try: "));
    world.run("bob", &["request", &nobody, "x", "--timeout", "0.5"]).failed(3, "not_found");
    let (node, ticket) = world.listen("alice", &[]);
    node.kill();
    for arguments in [
        &["ping", &ticket, "--timeout", "0.5"][..],
        &["request", &ticket, "x", "--timeout", "0.5"],
        &["pipe", &ticket, "--timeout", "0.5"],
        &["perf", &ticket, "--timeout", "0.5"],
        &["forward", "0", &format!("{ticket}:80"), "--timeout", "0.5"],
        &["send", "registry", &ticket, "--timeout", "0.5"],
    ] {
        let ended = world.run("bob", arguments);
        assert_eq!(ended.code, Some(4), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn a_request_is_answered_byte_for_byte_from_an_argument_or_stdin() {
    let world = World::new();
    let (_node, ticket) = world.listen("alice", &[]);
    let answered = world.run("bob", &["request", &ticket, "hello"]).ok();
    assert_eq!(answered.stdout, b"hello");
    let body = crate::support::noise(1 << 20);
    let answered = world.run_with("bob", &["request", &ticket, "-", "--json"], &body).ok();
    assert!(answered.stdout == body);
    let report: Value = serde_json::from_str(&answered.stderr).unwrap();
    assert_eq!(report["bytes_received"], 1 << 20);
}

#[test]
fn a_pipe_joins_two_processes_both_ways_and_ends_with_both() {
    let world = World::new();
    let mut accepting = world.command("alice", &["pipe", "--accept", "--allow-all", "--quiet"]);
    accepting.arg("--ticket-file").arg("ticket");
    let mut accepting = crate::support::Running::of(accepting);
    let ticket = world.await_file("ticket");
    accepting.say(b"from alice\n");
    accepting.end_stdin();
    let connected = world.run_with("bob", &["pipe", ticket.trim()], b"from bob\n").ok();
    assert_eq!(connected.stdout, b"from alice\n");
    assert_eq!(accepting.line(), "from bob");
    assert_eq!(accepting.wait(), Some(0));
}

#[test]
fn a_pipe_for_others_is_denied_before_anything_is_read() {
    let world = World::new();
    let accepting = ["pipe", "--accept", "--quiet", "--ticket-file", "ticket"];
    let accepting = world.command("alice", &accepting);
    let accepting = crate::support::Running::of(accepting);
    let ticket = world.await_file("ticket");
    world.run_with("bob", &["pipe", ticket.trim()], b"secret").failed(5, "denied");
    accepting.terminate();
}

#[test]
fn a_tcp_port_is_reached_over_a_netid() {
    let world = World::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = server.accept().unwrap();
            let mut all = Vec::new();
            socket.read_to_end(&mut all).unwrap();
            all.reverse();
            socket.write_all(&all).unwrap();
        }
    });
    let exposing = world.start("alice", &["expose", &port, "--allow", &world.netid("bob")]);
    exposing.line();
    let target = format!("{}:{port}", world.netid("alice"));
    let forwarding = world.start("bob", &["forward", "0", &target]);
    let local = forwarding.line();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(&local).unwrap();
        socket.write_all(b"hello").unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "olleh");
    }
    serving.join().unwrap();
    assert_eq!(forwarding.terminate(), Some(0));
    assert_eq!(exposing.terminate(), Some(0));
}

#[test]
fn perf_tells_throughput_and_round_trips_over_either_kind_of_link() {
    let world = World::new();
    let (_node, ticket) = world.listen("alice", &[]);
    for link in ["tcp", "quic"] {
        let arguments = ["perf", &ticket, "--seconds", "0.5", "--streams", "2", "--link", link];
        let measured = world.run("bob", &[&arguments[..], &["--json"]].concat()).ok().json();
        assert_eq!((&measured["link"], &measured["path"]), (&link.into(), &"local".into()));
        assert!(measured["bytes_per_second"].as_u64().unwrap() > 0);
        let rtt = &measured["rtt_us"];
        assert!(rtt["p50"].as_u64() <= rtt["p99"].as_u64());
        assert!(rtt["p99"].as_u64() <= rtt["max"].as_u64());
    }
    let latency = ["perf", &ticket, "--seconds", "0.1", "--latency", "--json"];
    let measured = world.run("bob", &latency).ok().json();
    assert!(measured["bytes_per_second"].is_null() && measured["rtt_us"]["p90"].is_u64());
}

#[test]
fn two_nodes_of_one_identity_have_different_peer_ids() {
    let world = World::new();
    let (_first, ticket) = world.listen("alice", &[]);
    let second = world.start("alice", &["recv", "--into", "inbox"]);
    let other = second.line();
    let peer = |ticket: &str| ticket.split(',').next().unwrap().to_owned();
    assert_ne!(peer(&ticket), peer(&other));
    world.run("alice", &["listen"]).failed(1, "data_dir_in_use");
}

#[test]
fn no_secret_is_in_the_log_or_the_output_of_a_node_that_tells_everything() {
    let world = World::new();
    let (_node, ticket) = world.listen("alice", &[]);
    world.netid("bob");
    let told = world.run("bob", &["ping", &ticket, "-c", "1", "-vvv"]).ok();
    assert!(told.stderr.contains("DEBUG"), "{}", told.stderr);
    assert!(!told.stderr.contains('\u{1b}'), "colours are for terminals");
    let info = world.run("bob", &["id", "show", "--json"]).ok().json();
    let public = [info["netid"].as_str().unwrap(), info["peer_id"].as_str().unwrap()];
    let mut secrets = 0;
    for file in ["identity.key", "node.key"] {
        let text = std::fs::read_to_string(world.path("bob").join(file)).unwrap();
        let words = text.split_whitespace().filter(|word| word.len() >= 32);
        for secret in words.filter(|word| !public.contains(word)) {
            assert!(!told.stderr.contains(secret) && !told.text().contains(secret));
            secrets += 1;
        }
    }
    assert!(secrets >= 2);
}
