//! Holds what ARCHITECTURE.md promises about the crates: who depends on whom, what stays pure, and
//! that each crate says what it is for.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Each crate and the crates of ours that it may use. Nothing may use the laboratory.
const DIRECTION: [(&str, &[&str]); 9] = [
    ("netcom-identity", &[]),
    ("netcom-session", &["netcom-identity"]),
    ("netcom-transport", &["netcom-identity", "netcom-session"]),
    ("netcom-discovery", &["netcom-identity"]),
    ("netcom", &["netcom-discovery", "netcom-identity", "netcom-session", "netcom-transport"]),
    ("netcom-cli", &["netcom"]),
    ("netcom-python", &["netcom"]),
    (
        "netcom-lab",
        &[
            "netcom",
            "netcom-cli",
            "netcom-discovery",
            "netcom-identity",
            "netcom-session",
            "netcom-transport",
        ],
    ),
    ("xtask", &[]),
];

/// The crates whose every input is an argument.
const PURE: [&str; 2] = ["netcom-identity", "netcom-session"];

/// What reaches the outside world: none of it may be in a pure crate's graph.
const IMPURE: [&str; 13] = [
    "async-std",
    "crossbeam-channel",
    "fastrand",
    "getrandom",
    "mio",
    "parking_lot",
    "polling",
    "rand",
    "rand_core",
    "rustix",
    "socket2",
    "tokio",
    "web-time",
];

#[test]
fn crates_depend_only_downwards() {
    let metadata = metadata();
    let direction = BTreeMap::from(DIRECTION);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some(allowed) = direction.get(name) else {
            wrong.push(format!("{name} has no place yet: give it one in DIRECTION"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|it| it.path.is_some()) {
            let itself = dependency.name == name && dependency.kind == DependencyKind::Development;
            if !itself && !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{name} may not use {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_direction_has_no_crate_that_is_gone() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let present: BTreeSet<&str> = packages.iter().map(|it| it.name.as_str()).collect();
    let named: BTreeSet<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, present);
}

#[test]
fn pure_crates_pull_in_no_outside_world() {
    let mut wrong = Vec::new();
    for name in PURE {
        for dependency in graph_of(name) {
            if IMPURE.contains(&dependency.as_str()) {
                wrong.push(format!("{name} pulls in {dependency}: see `cargo tree -p {name}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_graph_of_a_crate_that_is_not_pure_shows_it() {
    // Shows that the test above can fail.
    assert!(graph_of("netcom-transport").contains("tokio"));
}

#[test]
fn every_crate_says_what_it_is_for() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        if package.description.as_deref().unwrap_or_default().is_empty() {
            wrong.push(format!("{} has no description", package.name));
        }
        for entry in entries(package) {
            let text = fs::read_to_string(entry).expect("cargo names files that exist");
            if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!(") {
                wrong.push(format!("{entry} does not begin with the crate's documentation"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_of_crates_is_named_like_its_crate() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        assert_eq!(folder, Some(package.name.as_str()));
    }
}

/// The files in which a crate's libraries and programs begin.
fn entries(package: &Package) -> impl Iterator<Item = &cargo_metadata::camino::Utf8Path> {
    package
        .targets
        .iter()
        .filter(|target| target.is_lib() || target.is_bin())
        .map(|target| target.src_path.as_path())
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo knows its workspace")
}

/// Every crate that `name`, built alone, links on any platform with the features it asks for.
fn graph_of(name: &str) -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", name, "--edges", "normal,no-proc-macro"])
        .args(["--target", "all", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("names of crates are ASCII");
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}
