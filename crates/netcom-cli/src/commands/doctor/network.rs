//! What sockets and nodes can do here.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use netcom::{MdnsConfig, Multiaddr, Node, NodeRole, Scope};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{Finding, State};
use crate::{
    commands::explain::explain,
    context::{Context, target as read_target},
    failure::{Failure, Outcome, sentence},
    naming,
};

/// Whether sockets can be had.
pub(super) fn sockets() -> Vec<Finding> {
    let addresses: [SocketAddr; 2] =
        [(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
    let tcp = addresses.map(|address| TcpListener::bind(address).map(drop));
    let udp = addresses.map(|address| UdpSocket::bind(address).map(drop));
    vec![judge_sockets("tcp_sockets", tcp), judge_sockets("udp_sockets", udp)]
}

fn judge_sockets(check: &'static str, [v4, v6]: [io::Result<()>; 2]) -> Finding {
    match (v4, v6) {
        (Ok(()), Ok(())) => Finding::fine(check, "over IPv4 and IPv6"),
        (Ok(()), Err(error)) => {
            Finding::new(check, State::Weak, format!("over IPv4 only; over IPv6: {error}"))
                .remedy("sysctl net.ipv6.conf.all.disable_ipv6, which is 0 where IPv6 is on")
        }
        (Err(error), Ok(())) => {
            Finding::new(check, State::Weak, format!("over IPv6 only; over IPv4: {error}"))
                .remedy("an IPv4 address, for peers that have no IPv6")
        }
        (Err(error), Err(_)) => Finding::new(check, State::Broken, error.to_string())
            .remedy("leave for this program to open sockets: its sandbox, container or user"),
    }
}

/// Whether two nodes of this process reach each other over either kind of link.
pub(super) async fn exchanges(within: Duration) -> Vec<Finding> {
    let over_tcp = exchange("tcp_exchange", "/ip4/127.0.0.1/tcp/0", within);
    let over_quic = exchange("quic_exchange", "/ip4/127.0.0.1/udp/0/quic-v1", within);
    let (tcp, quic) = tokio::join!(over_tcp, over_quic);
    vec![tcp, quic]
}

async fn exchange(check: &'static str, listen: &str, within: Duration) -> Finding {
    let told = match timeout(within, request_between(listen)).await {
        Ok(Ok(took)) => {
            return Finding::fine(check, format!("a request was answered in {took:.1?}"));
        }
        Ok(Err(failure)) => failure,
        Err(_) => format!("no request was answered within {within:?}"),
    };
    Finding::new(check, State::Broken, told)
        .remedy("let packets pass on loopback: look at the rules of the firewall")
}

/// Makes two nodes and a request, and tells how long connecting and asking took.
async fn request_between(listen: &str) -> Result<Duration, String> {
    let listen: Multiaddr = listen.parse().map_err(|error| format!("{error}"))?;
    let builder = || Node::builder().discovery(Scope::Off);
    let server = builder().listen(listen).build().await.map_err(|error| sentence(&error))?;
    server.on_request(|request| async move { Ok(request.into_body()) });
    let client = builder().role(NodeRole::Client).build().await;
    let client = client.map_err(|error| sentence(&error))?;
    let begun = Instant::now();
    let connection = client.connect(server.ticket()).await.map_err(|error| sentence(&error))?;
    let answer = connection.request("well?").await.map_err(|error| sentence(&error))?;
    let took = begun.elapsed();
    tokio::join!(client.close(), server.close());
    if answer == "well?" { Ok(took) } else { Err("the answer was another one".to_owned()) }
}

/// Whether a node is seen by multicast, where nodes of these settings use it.
pub(super) async fn mdns(context: &Context, within: Duration) -> Outcome<Finding> {
    let scope = context.settings.discovery.value.as_deref().map(naming::scope).transpose()?;
    if scope.unwrap_or_default() < Scope::Lan {
        let told = "the settings look no further than this machine";
        return Ok(Finding::new(MDNS, State::Skipped, told));
    }
    Ok(seen(MdnsConfig::default(), None, within).await)
}

/// Shows a node by multicast alone, and looks for it.
async fn seen(config: MdnsConfig, listen: Option<Multiaddr>, within: Duration) -> Finding {
    let told = match timeout(within, look(config, listen)).await {
        Ok(Ok(())) => return Finding::fine(MDNS, "a node that shows itself is seen"),
        Ok(Err(failure)) => failure,
        Err(_) => format!("nothing was seen within {within:?}"),
    };
    Finding::new(MDNS, State::Weak, told).remedy(
        "let UDP port 5353 through to 224.0.0.251 and ff02::fb; by ticket or address nodes are \
         reached without",
    )
}

async fn look(config: MdnsConfig, listen: Option<Multiaddr>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| sentence(&error))?;
    // Each has a registry of its own, so that multicast is the only way to be seen.
    let builder = |name: &str| {
        let builder = Node::builder().discovery(Scope::Lan).mdns(config.clone());
        builder.registry(folder.path().join(name))
    };
    let mut shown = builder("shown");
    if let Some(address) = listen {
        shown = shown.listen(address);
    }
    let shown = shown.build().await.map_err(|error| sentence(&error))?;
    let looking = builder("looking").role(NodeRole::Client).build().await;
    let looking = looking.map_err(|error| sentence(&error))?;
    let found = looking.discover_peer_id(shown.peer_id()).await;
    tokio::join!(looking.close(), shown.close());
    found.map(drop).map_err(|_| "no node is seen by multicast".to_owned())
}

/// Whether somebody is reached, and over what.
pub(super) async fn target(
    context: &Context,
    text: &str,
    within: Duration,
) -> Outcome<Vec<Finding>> {
    let explained = explain(context, &read_target(context, text)?, within).await?;
    Ok(judge_target(&explained))
}

fn judge_target(explained: &Value) -> Vec<Finding> {
    let check = "target";
    let path = &explained["path"];
    let reached = match Failure::from_json(explained) {
        Some(failure) => {
            let hint = failure.hint.unwrap_or_else(|| "netcom explain with the target".to_owned());
            Finding::new(check, State::Broken, failure.message).remedy(hint)
        }
        None => {
            let text = |name: &str| path[name].as_str().unwrap_or("-");
            Finding::fine(check, format!("reached, {} over {}", text("kind"), text("link")))
        }
    };
    let blocked = explained["is_udp_blocked"] == json!(true);
    let udp = blocked.then(|| {
        let told = "UDP does not get to the target, and TCP does";
        Finding::new("target_udp", State::Weak, told)
            .remedy("let UDP through at both ends; until then links over TCP do")
    });
    std::iter::once(reached).chain(udp).collect()
}

const MDNS: &str = "mdns";

#[cfg(test)]
mod tests {
    use netcom::Interfaces;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn two_nodes_of_this_process_exchange_a_request_over_either_kind_of_link() {
        for finding in exchanges(WITHIN).await {
            assert_eq!(finding.state, State::Fine, "{finding:?}");
        }
    }

    #[tokio::test]
    async fn a_node_is_seen_by_multicast_on_loopback() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let config = MdnsConfig::default().interfaces(Interfaces::Loopback).port(port);
        let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        let finding = seen(config, Some(listen), WITHIN).await;
        assert_eq!(finding.state, State::Fine, "{finding:?}");
    }

    #[test]
    fn a_machine_without_sockets_is_told_apart_from_one_without_ipv6() {
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(judge_sockets("tcp", [Ok(()), Ok(())]).state, State::Fine);
        assert_eq!(judge_sockets("tcp", [Ok(()), denied()]).state, State::Weak);
        assert_eq!(judge_sockets("tcp", [denied(), Ok(())]).state, State::Weak);
        assert_eq!(judge_sockets("tcp", [denied(), denied()]).state, State::Broken);
    }

    #[test]
    fn udp_that_is_blocked_on_the_way_is_told_though_the_target_is_reached() {
        let path = json!({ "kind": "direct", "link": "tcp" });
        let told = judge_target(&json!({ "path": path, "is_udp_blocked": true }));
        assert_eq!((told[0].state, told[1].state), (State::Fine, State::Weak));
        let failed = json!({ "error": { "code": "timeout", "message": "no answer", "exit": 4 } });
        assert_eq!(judge_target(&failed)[0].state, State::Broken);
    }
}
