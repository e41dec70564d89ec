//! What can be seen of a node: its links and why they are used, events, figures, explanations.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use netcom::{
    Connection, EventLogConfig, Events, LinkRole, LinkSummary, Links, MetricsConfig, MetricsError,
    Node, NodeEvent, Scope, generate_key,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{World, answer_as, ask, within};

/// A node with two kinds of links.
async fn server(world: &World) -> Node {
    let server = world.node().listen("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap());
    let server = server.build().await.unwrap();
    answer_as(&server, "here");
    server
}

/// A connection with a standby, made by a node that logs its events here.
async fn with_standby(node: &Node, events: &mut Events, server: &Node) -> Connection {
    let connecting = node.connect_with(server.ticket()).links(Links::Standby);
    let connection = within(connecting.connect()).await.unwrap();
    for _ in 0..2 {
        event(events, |event| matches!(event, NodeEvent::LinkUp { .. })).await;
    }
    connection
}

/// The next event of a kind.
async fn event(events: &mut Events, is_it: impl Fn(&NodeEvent) -> bool) -> NodeEvent {
    let coming = async {
        loop {
            match events.next().await {
                Some(event) if is_it(&event) => return event,
                Some(_) => {}
                None => panic!("the node is over"),
            }
        }
    };
    within(coming).await
}

fn of_role(links: &[LinkSummary], role: LinkRole) -> &LinkSummary {
    let mut its = links.iter().filter(|link| link.role == role);
    let only = its.next().unwrap_or_else(|| panic!("none is {role}: {links:?}"));
    assert!(its.next().is_none(), "two are {role}: {links:?}");
    only
}

#[tokio::test]
async fn each_link_is_seen_with_its_role_its_figures_and_why_it_has_that_role() {
    let world = World::new();
    let (server, node) = (server(&world).await, world.node().build().await.unwrap());
    let mut events = node.events();
    let connection = with_standby(&node, &mut events, &server).await;
    assert_eq!(ask(&connection).await, "here");
    let links = connection.links();
    let (active, standby) =
        (of_role(&links, LinkRole::Active).clone(), of_role(&links, LinkRole::Standby));
    assert_ne!(active.kind, standby.kind);
    assert!(active.is_dialer && active.bytes_sent > 0 && active.rtt.is_some(), "{active:?}");
    assert!(active.reason.contains("no other is clearly better"), "{active:?}");
    assert!(standby.reason.starts_with("the link in use works"), "{standby:?}");
    for link in &links {
        let counts_packets = link.kind == netcom::LinkKind::Quic;
        assert_eq!(link.packets_sent.is_some_and(|sent| sent > 0), counts_packets, "{link:?}");
        assert_eq!(link.packets_lost.is_some(), counts_packets, "{link:?}");
    }
    let path = connection.path();
    assert_eq!((path.link, path.remote), (Some(active.kind), active.remote.clone()));

    assert!(node.commander().close_link(active.session, active.id));
    let is_its_end =
        |event: &NodeEvent| matches!(event, NodeEvent::LinkDown { link, .. } if *link == active.id);
    event(&mut events, is_its_end).await;
    assert_eq!(ask(&connection).await, "here");
    assert_eq!(of_role(&connection.links(), LinkRole::Active).id, standby.id);
}

#[tokio::test]
async fn figures_are_given_out_to_this_machine_without_naming_a_peer() {
    let world = World::new();
    let (server, node) = (server(&world).await, world.node().build().await.unwrap());
    let address = node.serve_metrics(MetricsConfig::new(local(0))).await.unwrap();
    let mut events = node.events();
    let connection = with_standby(&node, &mut events, &server).await;
    assert_eq!(ask(&connection).await, "here");

    let page = get(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    let active = |transport| {
        value(&page, &format!("netcom_links{{transport=\"{transport}\",role=\"active\"}}"))
    };
    assert_eq!(active("tcp") + active("quic"), 1.0, "{page}");
    assert_eq!(value(&page, "netcom_sessions{state=\"live\"}"), 1.0);
    assert_eq!(value(&page, "netcom_events_total{event=\"link_up\"}"), 2.0);
    assert!(value(&page, "netcom_sent_bytes_total") > 0.0);
    assert!(value(&page, "netcom_memory_limit_bytes") > 0.0);
    assert!(!page.contains(&server.peer_id().to_string()), "{page}");

    // What sessions sent is not forgotten with them.
    let before = value(&page, "netcom_sent_bytes_total");
    connection.close(0, "").await;
    event(&mut events, |event| matches!(event, NodeEvent::Disconnected { .. })).await;
    let page = get(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(value(&page, "netcom_sessions{state=\"live\"}"), 0.0);
    assert!(value(&page, "netcom_sent_bytes_total") >= before, "{page}");
    within(node.close()).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn readers_of_figures_that_ask_for_something_else_are_refused() {
    let world = World::new();
    let node = world.within(Scope::Off).build().await.unwrap();
    let address = node.serve_metrics(MetricsConfig::new(local(0))).await.unwrap();
    let status =
        async |request: &str| get(address, request).await.lines().next().map(str::to_owned);
    let refused = status("POST /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(refused.as_deref(), Some("HTTP/1.1 405 Method Not Allowed"));
    let unknown = status("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(unknown.as_deref(), Some("HTTP/1.1 404 Not Found"));
    let endless = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let endless = status(&endless).await;
    assert!(endless.is_none_or(|status| status.starts_with("HTTP/1.1 4")));
    drop(get(address, "nonsense\r\n\r\n").await);
    let page = get(address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(page.contains("netcom_info"), "{page}");

    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let error = node.serve_metrics(MetricsConfig::new(everywhere)).await.unwrap_err();
    assert!(matches!(error, MetricsError::Open { .. }), "{error}");
    let taken = node.serve_metrics(MetricsConfig::new(address)).await.unwrap_err();
    assert_eq!(taken.code(), "metrics_socket");
    within(node.close()).await;
    let closed = node.serve_metrics(MetricsConfig::new(local(0))).await.unwrap_err();
    assert!(matches!(closed, MetricsError::Closed));
}

#[tokio::test]
async fn what_happens_is_written_one_object_a_line_for_the_owner_alone() {
    let world = World::new();
    let (server, node) = (server(&world).await, world.node().build().await.unwrap());
    let path = world.path("events");
    let log = node.log_events(EventLogConfig::new(&path)).unwrap();
    let connection = within(node.connect(server.ticket())).await.unwrap();
    ask(&connection).await;
    within(connection.close(0, "")).await;
    within(node.close()).await;
    within(log.ended()).await;
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    for name in ["connected", "link_up", "disconnected", "closed"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let connected = &lines[names.iter().position(|name| *name == "connected").unwrap()];
    assert_eq!(connected["peer_id"], server.peer_id().to_string());
    assert!(connected["schema"] == 1 && connected["unix_ms"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let nowhere = EventLogConfig::new(world.path("no such folder").join("events"));
    let other = world.within(Scope::Off).build().await.unwrap();
    assert_eq!(other.log_events(nowhere).unwrap_err().code(), "event_log");
}

#[tokio::test]
async fn a_target_is_explained_from_its_name_to_the_links_in_use() {
    let world = World::new();
    let alice = generate_key();
    let server = world.node().netid(alice.clone()).build().await.unwrap();
    answer_as(&server, "here");
    let node = world.node().build().await.unwrap();
    let told = within(node.explain(alice.net_id(), PATIENCE)).await;
    assert!(told.error.is_none(), "{told:?}");
    assert_eq!((told.kind, told.netid), ("netid", Some(alice.net_id())));
    assert_eq!(told.peer_id, Some(server.peer_id()));
    let host = told.sources.iter().find(|answer| answer.source == "host").unwrap();
    assert_eq!(host.nodes[0].0, server.peer_id());
    assert!(told.dials.iter().all(|dial| dial.took.is_some() && dial.failure.is_none()));
    assert_eq!(of_role(&told.links, LinkRole::Active).reason, "it is the only link");
    assert_eq!(told.path.unwrap().link, Some(told.links[0].kind));
    assert_eq!(told.dials.len(), server.addresses().len());
}

#[tokio::test]
async fn a_target_that_is_not_reached_is_explained_with_what_was_tried() {
    let world = World::new();
    let node = world.node().build().await.unwrap();
    let nobody = generate_key().net_id();
    let told = within(node.explain(nobody, Duration::from_secs(1))).await;
    assert_eq!(told.error.as_ref().map(netcom::ConnectError::code), Some("not_found"));
    assert!(told.sources.iter().all(|answer| answer.nodes.is_empty()), "{told:?}");
    assert!(told.dials.is_empty() && told.links.is_empty() && told.path.is_none());

    let peer = generate_key().peer_id();
    let address = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse::<netcom::Target>().unwrap();
    let told = within(node.explain(address, PATIENCE)).await;
    assert_eq!(told.error.as_ref().map(netcom::ConnectError::code), Some("unreachable"));
    assert_eq!(told.sources[0].source, "given");
    let [dial] = told.dials.as_slice() else { panic!("{told:?}") };
    assert!(dial.took.is_none() && dial.failure.is_some(), "{dial:?}");
    assert_eq!(told.is_udp_blocked(), None);
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Sends a request and reads to the end; what is refused early may be cut off.
async fn get(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = Vec::new();
    drop(within(stream.read_to_end(&mut answer)).await);
    String::from_utf8(answer).unwrap()
}

/// What a page says of one figure.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().unwrap()
}

const PATIENCE: Duration = Duration::from_secs(10);
