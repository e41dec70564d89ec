//! Commands that need no node.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::World;

#[test]
fn an_identity_is_made_once_and_shown() {
    let world = World::new();
    world.run("alice", &["id", "show"]).failed(1, "no_identity");
    let new = world.run("alice", &["id", "new", "--json"]).ok().json();
    let netid = new["netid"].as_str().unwrap();
    assert!(netid.starts_with("n1") && netid.len() == 61);
    assert!(new["peer_id"].as_str().unwrap().starts_with("12D3Koo"));
    assert_eq!(world.run("alice", &["id", "show", "--json"]).ok().json(), new);
    assert!(world.run("alice", &["id", "show"]).ok().text().contains(netid));
    world.run("alice", &["id", "new"]).failed(1, "identity_exists");
    let bob = world.run("bob", &["id", "new", "--json"]).ok().json();
    assert_ne!(bob["netid"], new["netid"]);
}

#[test]
fn an_identity_goes_from_one_folder_to_another_under_a_passphrase() {
    let world = World::new();
    let netid = world.netid("alice");
    let secret = "correct horse battery staple";
    let phrase = world.write("phrase", format!("{secret}\n").as_bytes());
    fs::set_permissions(&phrase, fs::Permissions::from_mode(0o600)).unwrap();
    let with = ["--passphrase-file", phrase.to_str().unwrap()];
    let export = [&["id", "export", "backup"][..], &with].concat();
    let exported = world.run("alice", &export).ok();
    assert!(!exported.text().contains(secret) && !exported.stderr.contains(secret));
    let mode = fs::metadata(world.path("backup")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.run("alice", &export).failed(1, "file_exists");

    let wrong = world.write("wrong", b"something else\n");
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let import = ["id", "import", "backup", "--passphrase-file"];
    let refused = world.run("phone", &[&import[..], &[wrong.to_str().unwrap()]].concat());
    refused.failed(1, "passphrase_wrong");
    let imported = [&import[..], &[phrase.to_str().unwrap(), "--json"]].concat();
    assert_eq!(world.run("phone", &imported).ok().json()["netid"], netid.as_str());
    world.run("phone", &imported[..5]).failed(1, "file_exists");

    fs::set_permissions(&phrase, fs::Permissions::from_mode(0o644)).unwrap();
    let open = world.run("tablet", &imported[..5]);
    open.failed(1, "passphrase_open_to_others");
    assert!(open.stderr.contains("try: chmod 600"));
    world.run("tablet", &["id", "import", "backup"]).failed(2, "usage");
}

#[test]
fn names_are_added_listed_resolved_and_removed() {
    let world = World::new();
    let (alice, bob) = (world.netid("alice"), world.netid("bob"));
    assert_eq!(
        world.run("me", &["names", "ls", "--json"]).ok().json()["names"],
        serde_json::json!([])
    );
    world.run("me", &["names", "add", "alice", &alice]).ok();
    world.run("me", &["names", "add", "alice", &bob]).failed(1, "name_taken");
    assert_eq!(world.run("me", &["names", "resolve", "alice"]).ok().text(), alice);
    world.run("me", &["names", "add", "alice", &bob, "--replace"]).ok();
    assert_eq!(world.run("me", &["names", "resolve", "alice"]).ok().text(), bob);
    let listed = world.run("me", &["names", "ls", "--json"]).ok().json();
    assert_eq!(listed["names"][0]["netid"], bob.as_str());
    let unknown = world.run("me", &["names", "resolve", "alise"]);
    unknown.failed(3, "unknown_petname");
    assert!(unknown.stderr.contains("alice"), "a similar name is told: {}", unknown.stderr);
    world.run("me", &["names", "add", "n1x", &bob]).failed(2, "bad_name");
    world.run("me", &["names", "add", "bob", "n1damaged"]).failed(2, "bad_target");
    world.run("me", &["names", "rm", "alice"]).ok();
    world.run("me", &["names", "rm", "alice"]).failed(3, "unknown_petname");
}

#[test]
fn a_domain_leads_to_the_key_that_the_user_vouches_for() {
    let world = World::new();
    let alice = world.netid("alice");
    let trusted = world.run("me", &["names", "trust", "Example.org.", &alice, "--json"]).ok();
    assert_eq!(trusted.json()["name"], "example.org");
    let pin = std::fs::read_to_string(world.path("me/pins/example.org")).unwrap();
    assert_eq!(pin.trim_end(), alice);
    world.run("me", &["names", "trust", "alice", &alice]).failed(2, "bad_name");
    let trusted = world.run("me", &["names", "trust", "Alice.netcom", &alice, "--json"]).ok();
    assert_eq!(trusted.json()["name"], "alice.netcom");
    world.run("me", &["names", "trust", "../example.org", &alice]).failed(2, "bad_name");
    world.run("me", &["names", "trust", "example.org", &alice[..60]]).failed(2, "bad_netid");
}

#[test]
fn what_makes_a_domain_lead_here_is_signed_for_the_web_server_and_the_dns() {
    let world = World::new();
    let alice = world.netid("alice");
    let published = world.run("alice", &["id", "publish", "Example.org", "--json"]).ok().json();
    assert_eq!((&published["domain"], &published["netid"]), (&"example.org".into(), &alice.into()));
    let page: serde_json::Value =
        serde_json::from_str(published["page"].as_str().unwrap()).unwrap();
    assert_eq!(page["version"], 1);
    let strings = published["txt"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    assert!(strings.clone().all(|string| string.len() <= 255));
    let record: String = strings.collect();
    assert_eq!(record, format!("netid1 {}", page["document"].as_str().unwrap()));
    let text = world.run("alice", &["id", "publish", "example.org", "--days", "365"]).ok();
    assert!(text.text().lines().nth(1).unwrap().starts_with("TXT \"netid1 "), "{}", text.text());
    world.run("alice", &["id", "publish", "alice"]).failed(2, "bad_name");
    world.run("alice", &["id", "publish", "example.org", "--days", "366"]).failed(2, "usage");
    let homeless = ["id", "publish", "example.org", "--hint", "/ip4/192.0.2.1/tcp/1"];
    world.run("alice", &homeless).failed(2, "bad_document");
    world.run("nobody", &["id", "publish", "example.org"]).failed(1, "no_identity");
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one_which_names_it() {
    let world = World::new();
    let before = world.netid("alice");
    world.run("alice", &["id", "publish", "example.org"]).ok();
    let rotated = world.run("alice", &["id", "rotate", "--json"]).ok().json();
    assert_eq!(rotated["before"], before.as_str());
    assert_eq!(rotated["netid"], world.netid("alice").as_str());
    let also = ["id", "publish", "example.org", "alice.netcom", "--json"];
    let published = world.run("alice", &also).ok().json();
    let page: serde_json::Value =
        serde_json::from_str(published["page"].as_str().unwrap()).unwrap();
    assert_eq!(page["earlier"].as_array().unwrap().len(), 1);
    world.run("nobody", &["id", "rotate"]).failed(1, "no_identity");
}

#[test]
fn settings_tell_their_origin() {
    let world = World::new();
    world.write("alice/config.toml", b"discovery = \"lan\"\nallow = [\"bob\"]\n");
    let shown = world.run("alice", &["config", "show", "--origin", "--json"]).ok().json();
    let settings = &shown["settings"];
    assert_eq!(settings["discovery"]["value"], "host");
    assert_eq!(settings["discovery"]["origin"], "NETCOM_DISCOVERY");
    assert!(settings["allow"]["origin"].as_str().unwrap().ends_with("config.toml"));
    assert_eq!(settings["listen"]["origin"], "default");
    let flagged = ["config", "show", "--origin", "--discovery", "off"];
    let text = world.run("alice", &flagged).ok();
    assert!(text.text().contains("discovery = \"off\"  # --discovery"), "{}", text.text());
    world.write("alice/config.toml", b"discovry = \"lan\"\n");
    let mistaken = world.run("alice", &["config", "show"]);
    mistaken.failed(2, "config");
    assert!(mistaken.stderr.contains("line 1"));
}

#[test]
fn mistakes_on_the_command_line_are_usage_errors_in_text_and_json() {
    let world = World::new();
    for arguments in [
        &["ping"][..],
        &["no-such-command"],
        &["ping", "n1damaged"],
        &["ping", "x", "-c", "0"],
        &["send", "/dev/null"],
        &["perf", "x", "--link", "smoke"],
        &["listen", "--allow", "a", "--allow-all"],
        &["forward", "8080", "alice"],
        &["forward", "nowhere", "alice:80"],
        &["expose", "0"],
        &["ping", "alice", "--discovery", "everywhere"],
        &["listen", "--listen", "localhost:80"],
        &["listen", "--allow", "n1damaged"],
    ] {
        let ended = world.run("alice", arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().filter(|it| it.starts_with("error: ")).count(), 1);
        assert!(ended.stdout.is_empty());
    }
    let json = world.run("alice", &["ping", "--json"]);
    assert_eq!((json.code, json.json()["error"]["code"].as_str()), (Some(2), Some("usage")));
    assert_eq!(json.json()["error"]["exit"], 2);
    assert!(json.stderr.is_empty());
    let payload = world.run("alice", &["request", "n1damaged", "x", "--json"]);
    assert!(payload.stdout.is_empty(), "stdout is payload");
    assert!(payload.stderr.contains("\"bad_target\""));
}

#[test]
fn help_version_completions_and_man_pages_are_answers() {
    let world = World::new();
    assert!(world.run("alice", &["--help"]).ok().text().contains("Exit codes"));
    assert!(world.run("alice", &["--version"]).ok().text().starts_with("netcom "));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = world.run("alice", &["completions", shell]).ok();
        assert!(script.text().contains("forward"), "{shell}");
        assert!(!script.text().contains("--mdns-port\n"), "{shell}");
    }
    let pages = world.run("alice", &["man", "pages"]).ok();
    assert!(pages.text().lines().any(|page| page == "netcom-send.1"));
    let page = fs::read_to_string(world.path("pages/netcom-send.1")).unwrap();
    assert!(page.contains("skip\\-special"));
    assert!(!world.path("alice").exists(), "answers write no data directory");
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_left_alone() {
    let world = World::new();
    world.netid("alice");
    world.write("alice/version", b"999\n");
    for arguments in [&["id", "show"][..], &["listen"], &["names", "add", "x", "n1"]] {
        let ended = world.run("alice", arguments);
        assert_ne!(ended.code, Some(0), "{ended:?}");
    }
    world.run("alice", &["listen"]).failed(1, "data_dir_newer");
    assert_eq!(fs::read(world.path("alice/version")).unwrap(), b"999\n");
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let world = World::new();
    world.netid("alice");
    let key = world.path("alice/identity.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = world.run("alice", &["listen"]);
    ended.failed(1, "file_open_to_others");
    assert!(ended.stderr.contains("try: chmod 600"), "{}", ended.stderr);
}
