//! Files between processes, which may be killed.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::support::{Ended, Running, World, noise, read};

const WINDOW: u64 = 1 << 20;

fn receiver(world: &World, more: &[&str]) -> (Running, String) {
    let arguments = [&["recv", "--into", "inbox", "--json"][..], more].concat();
    let running = world.start("alice", &arguments);
    let ticket = running.json_line()["ticket"].as_str().unwrap().to_owned();
    (running, ticket)
}

fn send(world: &World, user: &str, name: &str, target: &str) -> Ended {
    world.run(user, &["send", name, target, "--json", "--timeout", "10"])
}

#[test]
fn files_and_folders_arrive_verified_under_their_names() {
    let world = World::new();
    let bob = world.netid("bob");
    let (receiving, _) = receiver(&world, &["--allow", &bob]);
    let alice = world.netid("alice");
    world.write("film", &noise(5 << 20));
    world.write("tree/a/b/c", b"deep");
    world.write("tree/empty", b"");
    let sent = send(&world, "bob", "film", &alice).ok().json();
    assert_eq!((&sent["name"], &sent["sent_twice"]), (&"film".into(), &0.into()));
    assert!(read(&world.path("inbox/film")) == noise(5 << 20));
    let event = receiving.json_line();
    assert_eq!((&event["event"], &event["sender"]), (&"received".into(), &bob.as_str().into()));
    send(&world, "bob", "tree", &alice).ok();
    assert_eq!(read(&world.path("inbox/tree/a/b/c")), b"deep");
    assert_eq!(send(&world, "bob", "film", &alice).ok().json()["name"], "film (1)");
    let stdin = ["send", "-", &alice, "--name", "notes.txt", "--json"];
    world.run_with("bob", &stdin, b"from stdin").ok();
    assert_eq!(read(&world.path("inbox/notes.txt")), b"from stdin");
    assert_eq!(fs::read_dir(world.path("inbox/.netcom-partial")).unwrap().count(), 0);
}

#[test]
fn a_limited_transfer_goes_no_faster_and_arrives_whole() {
    let world = World::new();
    let bob = world.netid("bob");
    let (_receiving, ticket) = receiver(&world, &["--allow", &bob]);
    world.write("film", &noise(3 << 20));
    let limited = ["send", "film", &ticket, "--limit", "2M", "--json"];
    let sent = world.run("bob", &limited).ok().json();
    assert!(read(&world.path("inbox/film")) == noise(3 << 20));
    // Slower is always possible, faster is not.
    let rate = sent["bytes_per_second"].as_u64().unwrap();
    assert!(rate <= 2_200_000, "{rate}");
    let bad = world.run("bob", &["send", "film", &ticket, "--limit", "fast"]);
    bad.failed(2, "bad_rate");
    assert!(bad.stderr.contains("try: "));
}

#[test]
fn one_transfer_to_stdout_and_no_more() {
    let world = World::new();
    let bob = world.netid("bob");
    let mut receiving = world.command("alice", &["recv", "-", "--quiet", "--allow", &bob]);
    receiving.args(["--ticket-file", "ticket"]);
    receiving.stdout(std::process::Stdio::piped());
    let child = receiving.spawn().unwrap();
    let reading = std::thread::spawn(move || child.wait_with_output().unwrap());
    let ticket = world.await_file("ticket");
    world.write("film", &noise(2 << 20));
    send(&world, "bob", "film", ticket.trim()).ok();
    let output = reading.join().unwrap();
    assert!(output.status.success() && output.stdout == noise(2 << 20));
}

#[test]
fn strangers_are_denied_and_their_own_entity_and_friends_are_not() {
    let world = World::new();
    let bob = world.netid("bob");
    world.run("alice", &["names", "add", "bob", &bob]).ok();
    let (_node, ticket) = world.listen("alice", &["--receive", "inbox", "--allow", "bob"]);
    world.write("film", &noise(1000));
    let denied = world.run("carol", &["send", "film", &ticket, "--timeout", "10"]);
    denied.failed(5, "denied");
    assert!(denied.stderr.contains("try: "));
    assert!(!world.path("inbox/film").exists());
    send(&world, "bob", "film", &ticket).ok();
    // Another node of the own entity.
    let phone = world.path("phone");
    fs::create_dir(&phone).unwrap();
    for file in ["version", "identity.key"] {
        fs::copy(world.path("alice").join(file), phone.join(file)).unwrap();
    }
    fs::set_permissions(&phone, fs::Permissions::from_mode(0o700)).unwrap();
    send(&world, "phone", "film", &ticket).ok();
    let json = send(&world, "carol", "film", &ticket);
    assert_eq!((json.code, json.json()["error"]["code"].as_str()), (Some(5), Some("denied")));
}

#[test]
fn a_node_that_takes_no_files_says_so() {
    let world = World::new();
    let (_node, ticket) = world.listen("alice", &[]);
    world.write("film", &noise(1000));
    let ended = world.run("bob", &["send", "film", &ticket, "--timeout", "10"]);
    ended.failed(1, "unknown_protocol");
    assert!(ended.stderr.contains("--receive"));
}

#[test]
fn what_cannot_be_sent_is_named_before_anybody_is_asked() {
    let world = World::new();
    world.write("film", b"x");
    world.write("tree/file", b"x");
    std::os::unix::fs::symlink("/etc/passwd", world.path("tree/link")).unwrap();
    let target = world.netid("alice");
    let run = |arguments: &[&str]| world.run("bob", arguments);
    run(&["send", "missing", &target]).failed(1, "file_not_found");
    run(&["send", "tree", &target]).failed(1, "not_a_file");
    run(&["send", "/dev/null", &target]).failed(1, "not_a_file");
    for name in ["../evil", "/etc/evil", "..", "NUL", "a/b", ".netcom-partial"] {
        run(&["send", "film", &target, "--name", name]).failed(1, "name_refused");
    }
}

/// Sends with a receiver that is killed on the way and starts again.
#[test]
fn a_transfer_survives_the_death_of_the_receiver() {
    let world = World::new();
    let bob = world.netid("bob");
    let alice = world.netid("alice");
    let size = 128 << 20;
    world.write("film", &noise(size));
    let (receiving, _) = receiver(&world, &["--allow", &bob]);
    let mut sending = world.command("bob", &["send", "film", &alice, "--json", "--timeout", "30"]);
    sending.stdout(std::process::Stdio::piped());
    let sending = sending.spawn().unwrap();
    world.await_part(8 << 20);
    receiving.kill();
    let (_again, _) = receiver(&world, &["--allow", &bob]);
    let output = sending.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let sent: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(sent["attempts"].as_u64().unwrap() > 1, "{sent}");
    assert!(sent["sent_twice"].as_u64().unwrap() <= WINDOW, "{sent}");
    assert!(read(&world.path("inbox/film")) == noise(size));
}

/// Sends with a sender that is killed on the way and starts again.
#[test]
fn a_transfer_survives_the_death_of_the_sender() {
    let world = World::new();
    let bob = world.netid("bob");
    let alice = world.netid("alice");
    let size = 128 << 20;
    world.write("film", &noise(size));
    let (receiving, _) = receiver(&world, &["--allow", &bob]);
    let sending = world.start("bob", &["send", "film", &alice, "--json"]);
    world.await_part(8 << 20);
    sending.kill();
    assert!(!world.path("inbox/film").exists(), "nothing half has the final name");
    let sent = send(&world, "bob", "film", &alice).ok().json();
    assert!(sent["resumed"].as_u64().unwrap() >= 8 << 20, "{sent}");
    assert!(sent["sent_twice"].as_u64().unwrap() <= WINDOW, "{sent}");
    assert!(sent["sent"].as_u64().unwrap() < size as u64, "{sent}");
    assert!(read(&world.path("inbox/film")) == noise(size));
    let mut events = std::iter::from_fn(|| Some(receiving.json_line()));
    let received = events.find(|event| event["event"] == "received").unwrap();
    assert_eq!(received["resumed"], sent["resumed"]);
    assert_eq!(fs::read_dir(world.path("inbox/.netcom-partial")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(world.path("bob/transfers")).unwrap().count(), 0);
}

impl World {
    /// Waits until so many bytes of a file arrived.
    fn await_part(&self, bytes: u64) {
        self.await_files(|| self.part() >= bytes);
    }

    fn part(&self) -> u64 {
        let partial = self.path("inbox/.netcom-partial");
        let homes = fs::read_dir(partial).into_iter().flatten().flatten();
        homes
            .filter_map(|home| fs::metadata(home.path().join("files/0.part")).ok())
            .map(|part| part.len())
            .max()
            .unwrap_or(0)
    }
}
