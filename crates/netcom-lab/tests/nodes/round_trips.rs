//! How many round trips it takes to know somebody and to be answered.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use netcom::{LinkKind, Node};
use netcom_lab::{LinkSpec, with_pair};

use crate::support::{Server, address, client, finder};

/// Long beside what the ends compute, so that round trips can be told apart.
const DELAY: Duration = Duration::from_millis(40);
/// The part of a further round trip that two ends and a busy machine may take to compute.
const SLACK: f64 = 0.8;
/// How often a busy machine may be too slow.
const TRIES: usize = 10;

/// By what a server is reached.
#[derive(Clone, Copy, Debug)]
enum By {
    PeerId,
    NetId,
    Ticket,
}

#[test]
fn first_answer_comes_after_three_round_trips_over_tcp_and_two_over_quic() {
    let spec = LinkSpec::new(DELAY);
    with_pair(spec, |pair| {
        for (kind, round_trips) in [(LinkKind::Tcp, 3), (LinkKind::Quic, 2)] {
            for socket in pair.right().sockets() {
                let registry = tempfile::tempdir().unwrap();
                // Made by the first node, which lets nobody else look into it.
                let registry = &registry.path().join("registry");
                let listen = [address(socket.ip(), kind)];
                let found = |builder| finder(builder, registry);
                let server = Server::start(pair.right(), listen, found, async |_| ());
                for by in [By::PeerId, By::NetId, By::Ticket] {
                    let least = spec.round_trip() * round_trips;
                    let most = least + spec.round_trip().mul_f64(SLACK);
                    let what = format!("{by:?} over {kind:?} to {}", socket.ip());
                    let took = pair.left().run(async || {
                        for _ in 0..TRIES {
                            let took = first_answer(&server, by, registry).await;
                            assert!(took >= least, "{took:?} by {what} is too good");
                            if took < most {
                                return took;
                            }
                            println!("{took:?} by {what}: once more");
                        }
                        panic!("never before {most:?} by {what}");
                    });
                    let counted = took.as_secs_f64() / spec.round_trip().as_secs_f64();
                    println!("{counted:.2} round trips by {what}");
                }
            }
        }
    });
}

/// The time from the call that connects to the first answer, for a node that is new.
async fn first_answer(server: &Server, by: By, registry: &Path) -> Duration {
    let client = match by {
        By::Ticket => client(),
        By::PeerId | By::NetId => finder(client(), registry),
    };
    let client: Node = client.build().await.expect("a client needs nothing");
    let begun = Instant::now();
    let connection = match by {
        By::PeerId => client.connect_to_peer(*server.ticket.peer_id()).await,
        By::NetId => client.connect_to_netid(server.netid).await,
        By::Ticket => client.connect(server.ticket.clone()).await,
    };
    let connection = connection.expect("the server is there");
    let answer = connection.request("hello").await.expect("it answers");
    let took = begun.elapsed();
    assert_eq!(answer, "hello");
    client.close().await;
    took
}
