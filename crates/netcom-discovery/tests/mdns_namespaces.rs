//! mDNS between two network namespaces joined by a virtual cable. Needs root and iproute2; no
//! packet leaves the namespaces.

mod common;
mod process;

use std::{
    env,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use common::{PATIENCE, find, key, record};
use netcom_discovery::{Discovery, Mdns, MdnsConfig, Query};
use process::{Process, ready, role};
use tokio::runtime::Runtime;

/// Two namespaces with one end of the cable each; removed when dropped.
struct Cable {
    test: &'static str,
    names: [String; 2],
}

impl Cable {
    /// Lays the cable, with an address for each end, or tells why that cannot be done.
    fn lay(test: &'static str, addresses: [&str; 2]) -> Result<Self, String> {
        static CABLES: AtomicUsize = AtomicUsize::new(0);
        let number = CABLES.fetch_add(1, Ordering::Relaxed);
        let names = ["a", "b"].map(|end| format!("netcom-{end}-{}-{number}", std::process::id()));
        let cable = Self { test, names };
        let [a, b] = &cable.names;
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        let ends = ["type", "veth", "peer", "name", "cable", "netns", b];
        ip(&[&["-n", a, "link", "add", "cable"][..], &ends].concat())?;
        for (name, address) in cable.names.iter().zip(addresses) {
            let on = |words: &[&str]| ip(&[&["-n", name], words].concat());
            // Only the address given here, so that each test has one address family.
            on(&["link", "set", "cable", "addrgenmode", "none"])?;
            match address.contains(':') {
                true => on(&["address", "add", address, "dev", "cable", "nodad"])?,
                false => on(&["address", "add", address, "dev", "cable"])?,
            }
            on(&["link", "set", "cable", "up"])?;
        }
        Ok(cable)
    }

    fn start(&self, end: usize, role: &str) -> Process {
        Process::start(&["ip", "netns", "exec", &self.names[end]], (self.test, role), &[])
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    match Command::new("ip").args(words).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("ip: {error}")),
    }
}

/// Runs a test of this name between namespaces, or says loudly that it cannot run here, which
/// fails where skipping is forbidden.
#[expect(clippy::print_stdout, reason = "skipping has to be seen")]
fn between_namespaces(name: &'static str, addresses: [&str; 2], test: impl FnOnce(&Cable)) {
    if let Some(role) = role() {
        return Runtime::new().expect("a runtime").block_on(play(&role));
    }
    match Cable::lay(name, addresses) {
        Ok(cable) => test(&cable),
        Err(reason) => {
            println!(
                "SKIP: no network namespaces with a cable, as root and with iproute2: {reason}"
            );
            let is_forbidden = env::var("NETCOM_NO_SKIP").is_ok_and(|value| value == "1");
            assert!(!is_forbidden, "{reason}");
        }
    }
}

/// The standard port and interfaces: the namespace is a world of its own.
fn discovery() -> Discovery {
    let mut discovery = Discovery::default();
    discovery.add(std::sync::Arc::new(Mdns::start(MdnsConfig::default()).expect("interfaces")));
    discovery
}

/// What the test does in a process that it started inside a namespace.
async fn play(role: &str) {
    let discovery = discovery();
    let queries = [Query::NetId(key(50).net_id()), Query::Peer(key(1).peer_id())];
    match role {
        "publisher" => discovery.publish(record(1, 50)).await.expect("it is published"),
        "seeker" => {
            for query in queries {
                assert_eq!(find(&discovery, query, PATIENCE).await, Some(key(1).peer_id()));
            }
        }
        "seeker in vain" => {
            let found = find(&discovery, queries[1], Duration::from_secs(2)).await;
            assert_eq!(found, None);
        }
        _ => panic!("no role {role}"),
    }
    ready().await;
}

#[test]
fn a_node_is_found_over_ipv4() {
    between_namespaces("a_node_is_found_over_ipv4", ["10.99.0.1/24", "10.99.0.2/24"], |cable| {
        let _publisher = cable.start(0, "publisher");
        cable.start(1, "seeker");
    });
}

#[test]
fn a_node_is_found_over_ipv6() {
    between_namespaces("a_node_is_found_over_ipv6", ["fe80::1/64", "fe80::2/64"], |cable| {
        let _publisher = cable.start(0, "publisher");
        cable.start(1, "seeker");
    });
}

#[test]
fn a_node_with_an_address_of_another_network_is_not_believed() {
    between_namespaces(
        "a_node_with_an_address_of_another_network_is_not_believed",
        ["10.98.0.1/24", "10.97.0.1/24"],
        |cable| {
            let _publisher = cable.start(0, "publisher");
            cable.start(1, "seeker in vain");
        },
    );
}
