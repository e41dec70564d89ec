//! T-10 and T-16: what somebody between two nodes can see, change and offer.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use netcom::{Connection, Node, PeerId, RequestOptions, Target, generate_key};

use crate::support::{
    Attacker, Direction, PATIENCE, QUIC, TCP, Victim, Wiretap, measured, quiet_node, within,
};

/// Crates that compress. None may be in what people run.
const COMPRESSORS: [&str; 14] = [
    "async-compression",
    "brotli",
    "brotli-decompressor",
    "bzip2",
    "deflate",
    "flate2",
    "libz-sys",
    "lz4",
    "lz4_flex",
    "lzma-rs",
    "snap",
    "zlib-rs",
    "zopfli",
    "zstd",
];

#[test]
fn t_10_nothing_that_compresses_is_part_of_the_product() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", "netcom-cli", "--edges", "normal", "--locked", "--offline"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"rustls"), "the tree shows what there is");
    let found: Vec<&&str> = names.iter().filter(|name| COMPRESSORS.contains(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// A compressed certificate that would grow a thousandfold.
#[derive(Debug)]
struct Bomb(Arc<AtomicBool>);

impl rustls::compress::CertCompressor for Bomb {
    fn compress(
        &self,
        _input: Vec<u8>,
        _level: rustls::compress::CompressionLevel,
    ) -> Result<Vec<u8>, rustls::compress::CompressionFailed> {
        self.0.store(true, Ordering::Relaxed);
        Ok(vec![0; 1000])
    }

    fn algorithm(&self) -> rustls::CertificateCompressionAlgorithm {
        rustls::CertificateCompressionAlgorithm::Zlib
    }
}

impl rustls::compress::CertDecompressor for Bomb {
    fn decompress(
        &self,
        _input: &[u8],
        _output: &mut [u8],
    ) -> Result<(), rustls::compress::DecompressionFailed> {
        self.0.store(true, Ordering::Relaxed);
        Err(rustls::compress::DecompressionFailed)
    }

    fn algorithm(&self) -> rustls::CertificateCompressionAlgorithm {
        rustls::CertificateCompressionAlgorithm::Zlib
    }
}

#[test]
fn t_10_a_peer_that_offers_compression_gets_none() {
    let Some(mut victim) = Victim::of(t_10_a_peer_that_offers_compression_gets_none) else {
        return;
    };
    let used = Arc::new(AtomicBool::new(false));
    // Once for the process; rustls wants references that last.
    let bomb: &'static Bomb = Box::leak(Box::new(Bomb(Arc::clone(&used))));
    let attacker = Attacker::new().configured(move |config| {
        config.cert_compressors = vec![bomb];
        config.cert_decompressors = vec![bomb];
    });
    let mut peer = attacker.join(victim.peer, victim.tcp);
    assert!(!used.load(Ordering::Relaxed), "a certificate was compressed");
    peer.send(&netcom_session::wire::Frame::Ping { nonce: 1 });
    assert!(peer.next_frame().is_some());
    victim.is_well();
}

/// A node that answers, and where it listens over one transport.
async fn server(listen: &str) -> (Node, SocketAddr) {
    let node = quiet_node(&[listen]).netid(generate_key()).build().await.unwrap();
    node.on_request(|request| async move { Ok(request.into_body()) });
    let address = node.listen_addresses()[0].to_string();
    let parts: Vec<&str> = address.split('/').collect();
    let socket = format!("{}:{}", parts[2], parts[4]).parse().unwrap();
    (node, socket)
}

async fn through(
    tap: &Wiretap,
    kind: &str,
    peer: PeerId,
    patience: Duration,
) -> Option<(Node, Connection)> {
    let (ip, port) = (tap.address.ip(), tap.address.port());
    let address = match kind {
        TCP => format!("/ip4/{ip}/tcp/{port}/p2p/{peer}"),
        _ => format!("/ip4/{ip}/udp/{port}/quic-v1/p2p/{peer}"),
    };
    let node = quiet_node(&[]).build().await.unwrap();
    let target: Target = address.parse().unwrap();
    let connecting = node.connect_with(target).timeout(patience).connect();
    connecting.await.ok().map(|connection| (node, connection))
}

/// What no observer may see: long enough that chance does not make it.
const SECRET: &[u8] = b"no observer sees these words";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_16_no_byte_of_the_application_and_no_name_travels_in_clear() {
    for kind in [TCP, QUIC] {
        let (server, socket) = server(kind).await;
        let tap = match kind {
            TCP => Wiretap::tcp(socket, |_, _, _| {}).await,
            _ => Wiretap::udp(socket, ()).await,
        };
        let through = through(&tap, kind, server.peer_id(), PATIENCE).await;
        let (node, connection) = through.expect("honest");
        for _ in 0..10 {
            assert_eq!(within(connection.request(SECRET)).await.unwrap(), SECRET);
        }
        let wire = tap.wire.lock();
        let carried = (wire.to_listener.len(), wire.to_dialer.len());
        measured(format_args!("T-16 {kind}: {carried:?} B carried"));
        assert!(carried.0 > 1000 && carried.1 > 1000, "all went through here: {carried:?}");
        let names = [server.peer_id(), node.peer_id()];
        let netid = server.netid().expect("one");
        let [one, other, entity] =
            [names[0], names[1], netid.peer_id()].map(|peer| peer.to_bytes()[6..].to_vec());
        let text = netid.to_string().into_bytes();
        for secret in [SECRET, b"netcom/request/1", &one, &other, &entity, &text] {
            assert!(!wire.contains(secret), "{kind}: {}", String::from_utf8_lossy(secret));
        }
        // The tap sees what is there to see.
        assert!(kind != TCP || wire.contains(b"netcom/1"), "the offered protocol is public");
    }
}

/// How long the handshake is in a recorded direction: up to the first encrypted record's end.
fn handshake_length(wire: &[u8]) -> u64 {
    let mut at = 0;
    loop {
        let record = wire[at..].first_chunk::<5>().expect("a record");
        at += 5 + usize::from(u16::from_be_bytes([record[3], record[4]]));
        if record[0] == ENCRYPTED {
            return at as u64;
        }
    }
}

/// Where the records of a handshake have their versions, which mean nothing.
fn versions(wire: &[u8]) -> Vec<u64> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(&[_, _, _, high, low]) = wire.get(at..).and_then(|it| it.first_chunk::<5>()) {
        found.extend([at as u64 + 1, at as u64 + 2]);
        at += 5 + usize::from(u16::from_be_bytes([high, low]));
    }
    found
}

const ENCRYPTED: u8 = 23;

/// Where a byte is changed on its way.
type Change = (Direction, u64);

/// Whether a node gets an answer in time through a wire that changes one byte of each connection,
/// or none.
async fn is_answered(
    socket: SocketAddr,
    server: PeerId,
    change: Option<Change>,
    patience: Duration,
) -> bool {
    let tap = Wiretap::tcp(socket, move |its, before, bytes| {
        let Some((_, at)) = change.filter(|(way, _)| *way == its) else { return };
        let index = at.checked_sub(before).map(|index| index as usize);
        if let Some(byte) = index.and_then(|at| bytes.get_mut(at)) {
            *byte ^= 0x55;
        }
    })
    .await;
    let Some((_node, connection)) = through(&tap, TCP, server, patience).await else {
        return false;
    };
    let options = RequestOptions::new().timeout(patience);
    connection.request_with("hello?", &options).await.is_ok()
}

/// Those of some changes that went unnoticed. Since silence shows that a change was noticed only
/// where there was time for an answer, an honest exchange has to be answered among them, at the
/// same time and in the same time: else all of them have twice as long.
async fn unnoticed(socket: SocketAddr, server: PeerId, changes: &[Change]) -> Vec<Change> {
    let mut patience = Duration::from_millis(500);
    while patience < PATIENCE {
        let mut cases = tokio::task::JoinSet::new();
        for change in changes.iter().copied().map(Some).chain([None]) {
            cases.spawn(
                async move { (change, is_answered(socket, server, change, patience).await) },
            );
        }
        let cases = cases.join_all().await;
        let answered: Vec<Option<Change>> =
            cases.into_iter().filter(|(_, is)| *is).map(|(change, _)| change).collect();
        if answered.contains(&None) {
            return answered.into_iter().flatten().collect();
        }
        patience *= 2;
    }
    panic!("an honest exchange beside {} others is not answered", changes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_16_a_changed_byte_of_a_handshake_ends_it() {
    let (server, socket) = server(TCP).await;
    let honest = Wiretap::tcp(socket, |_, _, _| {}).await;
    let through = through(&honest, TCP, server.peer_id(), PATIENCE).await;
    let (node, connection) = through.expect("honest");
    assert_eq!(within(connection.request("hello?")).await.unwrap(), "hello?");
    let ways = {
        let wire = honest.wire.lock();
        [
            (Direction::ToListener, wire.to_listener.clone()),
            (Direction::ToDialer, wire.to_dialer.clone()),
        ]
    };
    drop((node, connection));
    let mut changes: Vec<Change> = Vec::new();
    for (way, wire) in &ways {
        let free = versions(wire);
        let places = (0..handshake_length(wire)).step_by(31).filter(|at| !free.contains(at));
        changes.extend(places.map(|at| (*way, at)));
    }
    let lengths = ways.map(|it| handshake_length(&it.1));
    measured(format_args!("T-16 {} changed bytes of {lengths:?}", changes.len()));
    assert!(changes.len() > 100, "{}", changes.len());
    for batch in changes.chunks(15) {
        assert_eq!(unnoticed(socket, server.peer_id(), batch).await, [] as [Change; 0]);
    }
}
