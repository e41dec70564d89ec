//! What can be seen of nodes: explain, doctor, figures, events, logs, keys for packet analysers.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde_json::Value;

use crate::support::World;

#[test]
fn a_target_is_explained_by_a_fresh_node_and_by_the_running_one() {
    let world = World::new();
    let (_alice, ticket) = world.listen("alice", &[]);
    let netid = world.netid("alice");
    let explained = world.run("bob", &["explain", &netid, "--json"]).ok().json();
    assert_eq!((&explained["by"], &explained["kind"]), (&"own".into(), &"netid".into()));
    assert_eq!(explained["sources"][0]["source"], "host");
    assert!(!explained["dials"].as_array().unwrap().is_empty());
    assert_eq!(explained["links"][0]["role"], "active");
    assert_eq!(explained["path"]["kind"], "local");
    let text = world.run("bob", &["explain", &netid]).ok();
    for part in ["the key of an entity", "host: 1 node", "it answered in", "it is the only link"] {
        assert!(text.text().contains(part), "{part}: {text:?}");
    }

    let (_bob, _) = world.listen("bob", &[]);
    let explained = world.run("bob", &["explain", &ticket, "--json"]).ok().json();
    assert_eq!((&explained["by"], &explained["kind"]), (&"running".into(), &"ticket".into()));
    assert_eq!(explained["sources"][0]["source"], "given");
}

#[test]
fn a_target_that_is_not_reached_is_explained_and_the_exit_code_says_so() {
    let world = World::new();
    let nobody = world.netid("nobody");
    let told = world.run("bob", &["explain", &nobody, "--timeout", "1", "--json"]);
    assert_eq!(told.code, Some(3), "{told:?}");
    let told = told.json();
    assert_eq!(told["error"]["code"], "not_found");
    assert!(
        told["sources"].as_array().unwrap().iter().all(|it| it["nodes"] == Value::Array(vec![]))
    );
    let text = world.run("bob", &["explain", &nobody, "--timeout", "1"]);
    assert_eq!(text.code, Some(3));
    assert!(text.text().contains("host: no answer"), "{text:?}");
    assert!(text.stderr.contains("[not_found]"), "{text:?}");
    world.run("bob", &["explain", "no such petname!"]).failed(2, "bad_target");
}

#[test]
fn the_doctor_finds_this_machine_fit_and_tells_what_is_wrong_with_a_data_directory() {
    let world = World::new();
    let (_alice, ticket) = world.listen("alice", &[]);
    let told = world.run("bob", &["doctor", &ticket, "--json"]).ok().json();
    assert_eq!(told["is_healthy"], true);
    let state = |told: &Value, check: &str| {
        let checks = told["checks"].as_array().unwrap();
        let found = checks.iter().find(|it| it["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {told}"))["state"].clone()
    };
    for check in ["clock", "clock_steady", "tcp_exchange", "quic_exchange", "target"] {
        assert_eq!(state(&told, check), "ok", "{told}");
    }
    assert_eq!(state(&told, "mdns"), "skipped", "the scope is this host");
    assert_eq!(state(&told, "running_node"), "skipped");
    assert!(!world.path("carol").exists());
    let text = world.run("alice", &["doctor"]).ok();
    assert!(text.text().contains("ok       running_node: it answers"), "{text:?}");

    world.netid("dave");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(world.path("dave"), open).unwrap();
    let sick = world.run("dave", &["doctor"]);
    assert_eq!(sick.code, Some(1), "{sick:?}");
    assert!(sick.text().contains("failed   data_dir") && sick.text().contains("try: chmod 700"));
    assert!(sick.stderr.contains("[unhealthy]"), "{sick:?}");
    let sick = world.run("dave", &["doctor", "--json"]);
    assert_eq!((sick.code, &sick.json()["is_healthy"]), (Some(1), &false.into()));
}

#[test]
fn a_running_node_gives_figures_out_and_writes_what_happens() {
    let world = World::new();
    let arguments = ["listen", "--metrics", "127.0.0.1:0", "--event-log", "events", "--json"];
    let alice = world.start("alice", &arguments);
    let told = alice.json_line();
    let address = told["metrics"].as_str().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("netcom_sessions{state=\"live\"} 0"), "{page}");

    world.run("bob", &["ping", &world.netid("alice"), "-c", "1"]).ok();
    world.await_files(|| {
        let text = fs::read_to_string(world.path("events")).unwrap_or_default();
        text.contains("\"event\":\"link_up\"")
    });
    assert_eq!(alice.terminate(), Some(0));
    let text = fs::read_to_string(world.path("events")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["schema"]), (&"closed".into(), &1.into()));

    let open = world.run("alice", &["listen", "--metrics", "0.0.0.0:0"]);
    open.failed(1, "metrics_open");
    assert!(open.stderr.contains("--metrics-open"), "{open:?}");
    world.run("alice", &["listen", "--metrics", "here"]).failed(2, "bad_metrics");
    world.run("alice", &["listen", "--event-log", "no/such/folder"]).failed(1, "event_log");
}

#[test]
fn a_log_goes_to_the_file_that_is_named_and_keys_only_where_that_is_asked_for() {
    let world = World::new();
    let (_alice, ticket) = world.listen("alice", &[]);
    let ping = ["ping", ticket.as_str(), "-c", "1"];
    let with = |more: &[&'static str]| [&ping[..], more].concat();
    let logged = world.run("bob", &with(&["-vv", "--log-file", "log"])).ok();
    let log = fs::read_to_string(world.path("log")).unwrap();
    assert!(log.contains("Link started") && !logged.stderr.contains("Link started"), "{logged:?}");
    assert_eq!(mode(&world.path("log")), 0o600);
    world.run("bob", &with(&["--log-file", "no/such/folder"])).failed(1, "file_not_found");

    let run = |arguments: &[&str]| {
        let mut command = world.command("bob", arguments);
        let output = command.env("SSLKEYLOGFILE", world.path("keys")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    run(&with(&[]));
    assert!(!world.path("keys").exists(), "the variable alone changes nothing");
    let told = run(&with(&["--key-log"]));
    assert!(told.contains("whoever reads the file can read all they carry"), "{told}");
    let keys = fs::read_to_string(world.path("keys")).unwrap();
    assert!(keys.contains("CLIENT_TRAFFIC_SECRET_0 "), "secrets are there");
    assert_eq!(mode(&world.path("keys")), 0o600);
    world.run("bob", &with(&["--key-log"])).failed(1, "key_log");
}

#[test]
fn how_many_links_to_use_is_said_at_the_command_in_the_environment_or_the_settings() {
    let world = World::new();
    let (_alice, ticket) = world.listen("alice", &[]);
    let shown = |arguments: &[&str]| {
        let all = [&["config", "show", "--origin", "--json"], arguments].concat();
        world.run("bob", &all).ok().json()["settings"]["links"].clone()
    };
    assert_eq!(shown(&[])["value"], Value::Null);
    world.write("bob/config.toml", b"links = \"standby\"\n");
    assert_eq!(shown(&[])["value"], "standby");
    assert_eq!(shown(&["--links", "single"])["origin"], "--links");
    world.run("bob", &["ping", &ticket, "-c", "1"]).ok();
    let wrong = world.run("bob", &["ping", &ticket, "-c", "1", "--links", "many"]);
    wrong.failed(2, "bad_links");
    assert!(wrong.stderr.contains("auto, single"), "{wrong:?}");
}

#[test]
fn a_standby_that_is_asked_for_at_the_command_is_seen_with_its_role() {
    let world = World::new();
    let (_alice, ticket) = world.listen("alice", &[]);
    let (_bob, _) = world.listen("bob", &["--event-log", "events"]);
    let ping = ["ping", ticket.as_str(), "-c", "100000", "-i", "0.01", "--links", "standby"];
    let pinging = world.start("bob", &ping);
    pinging.line();
    world.await_files(|| {
        let text = fs::read_to_string(world.path("events")).unwrap_or_default();
        text.matches("\"event\":\"link_up\"").count() >= 2
    });
    let status = world.run("bob", &["status", "--json"]).ok().json();
    let mut roles: Vec<&str> =
        status["links"].as_array().unwrap().iter().map(|it| it["role"].as_str().unwrap()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["active", "standby"], "{status}");
    for command in [&["status"][..], &["sessions", "ls"]] {
        let text = world.run("bob", command).ok();
        assert!(text.text().contains(": standby, "), "{text:?}");
        assert!(text.text().contains("; the link in use works"), "{text:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
