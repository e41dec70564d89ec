//! The demonstration.

use std::fs;

use crate::support::World;

#[test]
fn the_demonstration_works_and_leaves_nothing_behind() {
    let world = World::new();
    let place = world.path("tmp");
    fs::create_dir(&place).unwrap();
    let mut command = world.command("nobody", &["demo", "--json", "--size", "64"]);
    let output = command.env("TMPDIR", &place).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["ok"], true);
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["start", "registry", "mdns", "request", "chat", "side_channel", "file"]);
    let file = &steps[6];
    assert_ne!(file["killed"], file["finished_by"]);
    assert!(file["sent_twice"].as_u64().unwrap() <= 1 << 20);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    assert!(!world.path("nobody").exists(), "no data directory is touched");
}

#[test]
fn a_demonstration_without_time_fails_and_cleans_up() {
    let world = World::new();
    let place = world.path("tmp");
    fs::create_dir(&place).unwrap();
    let mut command = world.command("nobody", &["demo", "--timeout", "1", "--size", "2048"]);
    let output = command.env("TMPDIR", &place).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("error: ") && stderr.contains("step"), "{stderr}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}
