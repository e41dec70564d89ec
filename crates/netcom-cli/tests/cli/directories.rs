//! Names of directories, by the settings.

use netcom::generate_key;

use crate::{directory_server::DirectoryServer, support::World};

fn configure(world: &World, server: &DirectoryServer) {
    world.write("bob/ca.pem", server.authority.as_bytes());
    let entry =
        format!("{{ url = \"{}\", key = \"{}\", ca = \"ca.pem\" }}", server.url, server.key());
    let settings = format!("[naming.directories]\nnetcom = {entry}\ncorp = {entry}\n");
    world.write("bob/config.toml", settings.as_bytes());
}

#[test]
fn a_name_of_a_directory_in_the_settings_is_resolved_and_remembered() {
    let (world, server) = (World::new(), DirectoryServer::start());
    let (alice, mallory) = (generate_key(), generate_key());
    server.list("alice.netcom", &alice, 1);
    server.list("alice.corp", &alice, 1);
    configure(&world, &server);
    let netid = alice.net_id().to_string();
    for name in ["alice.netcom", "Alice.Corp."] {
        let resolved = world.run("bob", &["names", "resolve", name, "--json"]).ok();
        assert_eq!(resolved.json()["netid"], netid.as_str());
    }
    let text = world.run("bob", &["names", "resolve", "alice.netcom"]).ok();
    assert_eq!(text.text().trim_end(), netid);
    assert!(text.stderr.contains("its directory says so"), "{}", text.stderr);
    world.run("bob", &["names", "resolve", "carol.netcom"]).failed(3, "name_not_in_directory");
    server.list("alice.netcom", &mallory, 2);
    let changed = world.run("bob", &["names", "resolve", "alice.netcom"]);
    changed.failed(3, "name_changed");
    let other = mallory.net_id().to_string();
    assert!(changed.stderr.contains(&format!("names trust alice.netcom {other}")));
    world.run("bob", &["names", "trust", "alice.netcom", &other]).ok();
    world.run("bob", &["names", "resolve", "alice.netcom"]).ok();
}

#[test]
fn a_node_whose_name_a_directory_has_is_pinged_by_it() {
    let (world, server) = (World::new(), DirectoryServer::start());
    let (_node, _) = world.listen("alice", &[]);
    let published = world.run("alice", &["id", "publish", "alice.netcom", "--json"]).ok().json();
    server.take("alice.netcom", published["page"].as_str().unwrap());
    configure(&world, &server);
    let pinged = world.run("bob", &["ping", "alice.netcom", "-c", "1", "--json"]).ok();
    assert_eq!(pinged.json()["netid"], published["netid"]);
}

#[test]
fn what_is_wrong_with_a_directory_in_the_settings_is_told_with_how_to_write_it() {
    let world = World::new();
    let missing = world.run("bob", &["names", "resolve", "alice.netcom"]);
    missing.failed(3, "name_no_directory");
    assert!(missing.stderr.contains("[naming.directories] netcom = { url"), "{}", missing.stderr);
    let key = generate_key().net_id();
    for (entry, word) in [
        (format!("{{ url = \"http://127.0.0.1\", key = \"{key}\" }}"), "https://"),
        ("{ url = \"https://127.0.0.1\", key = \"n1\" }".to_owned(), "netcom: "),
        (format!("{{ url = \"https://alice.netcom\", key = \"{key}\" }}"), "IP address"),
        ("{ url = \"https://127.0.0.1\" }".to_owned(), "key"),
    ] {
        let settings = format!("[naming.directories]\nnetcom = {entry}\n");
        world.write("bob/config.toml", settings.as_bytes());
        let mistaken = world.run("bob", &["names", "resolve", "alice.netcom"]);
        mistaken.failed(2, "config");
        assert!(mistaken.stderr.contains(word), "{}", mistaken.stderr);
    }
    // One beyond this machine is not asked by whoever looks no further.
    let far = format!(
        "[naming.directories]\nnetcom = {{ url = \"https://192.0.2.1\", key = \"{key}\" }}\n"
    );
    world.write("bob/config.toml", far.as_bytes());
    world.run("bob", &["names", "resolve", "alice.netcom"]).failed(3, "name_offline");
}

#[test]
fn a_document_lists_one_domain_first_and_names_of_directories() {
    let world = World::new();
    world.netid("alice");
    let published = ["id", "publish", "example.org", "Alice.NetCom", "--json"];
    let published = world.run("alice", &published).ok().json();
    assert_eq!(published["names"], serde_json::json!(["example.org", "alice.netcom"]));
    assert_eq!(published["domain"], "example.org");
    let alone = world.run("alice", &["id", "publish", "alice.netcom"]).ok();
    assert!(alone.text().lines().count() == 1 && alone.stderr.contains("/v1/names/alice.netcom"));
    for wrong in [&["alice.netcom", "example.org"][..], &["example.org", "example.com"]] {
        let arguments: Vec<_> = ["id", "publish"].iter().chain(wrong).copied().collect();
        world.run("alice", &arguments).failed(2, "usage");
    }
}
