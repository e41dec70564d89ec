//! The process whose sessions are counted.

use std::fs;

use netcom::{LinkKind, Multiaddr, Node, Role, Scope};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::process::say;

/// Serves until the test ends, and answers its questions.
pub(crate) async fn serve(kind: LinkKind) {
    let address: Multiaddr = match kind {
        LinkKind::Quic => "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap(),
        _ => "/ip4/127.0.0.1/tcp/0".parse().unwrap(),
    };
    let builder = Node::builder().discovery(Scope::Off).role(Role::Server).listen(address);
    let node = builder.build().await.unwrap();
    say("CONTACT", node.ticket());
    let mut incoming = node.incoming();
    let mut connections = Vec::new();
    let mut questions = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            Some(connection) = incoming.next() => connections.push(connection),
            question = questions.next_line() => match question.unwrap().as_deref() {
                Some("MEMORY") => say("MEMORY", resident()),
                Some("SESSIONS") => say("SESSIONS", node.commander().sessions().len()),
                _ => return,
            },
        }
    }
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}
