//! What the fuzz targets run. A violated rule panics, which is what a fuzzer looks for; nothing
//! else calls this. Each function tells whether the input was accepted, or that something came
//! of it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::LazyLock,
    time::{Duration, Instant},
};

use netcom_identity::{Multiaddr, NodeDescription, NodeRecord, SecretKey, UnixTime};

use crate::{
    mdns::{
        codec::{self, Announcement, Instance, MAX_SENT, Message},
        state::{LinkKey, LinkSpec, MAX_LINKS, Now, State},
    },
    source::{Found, Query, VerifiedRecord},
};
pub use crate::{names::fuzzing::answer, petnames::fuzzing::book};

/// Reads `input` as a packet of multicast DNS.
///
/// # Panics
///
/// When what it says, written as this side writes it, says something else or is too long.
#[must_use]
pub fn mdns_packet(input: &[u8]) -> bool {
    match codec::decode(input) {
        Ok(Some(Message::Query { known })) => {
            let packet = codec::encode_query(known.iter().map(|instance| (instance, codec::TTL)));
            assert!(packet.len() <= MAX_SENT);
            let Ok(Some(Message::Query { known: again })) = codec::decode(&packet) else {
                panic!("a question is one");
            };
            assert!(known.starts_with(&again));
            true
        }
        Ok(Some(Message::Response(announcements))) => {
            announcements.iter().for_each(check_announcement);
            true
        }
        Ok(None) => false,
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}

/// Runs the machine of multicast DNS over packets, real and made up, and time, as `input` says.
///
/// # Panics
///
/// When it wants to be called again at once, or passes one of its bounds.
#[must_use]
pub fn mdns(input: &[u8]) -> bool {
    let mut world = World::new();
    let mut input = input;
    let mut count = 0;
    while let Some((&operation, rest)) = input.split_first()
        && count < MAX_OPERATIONS
    {
        input = world.step(operation, rest);
        world.check();
        count += 1;
    }
    world.news > 0
}

/// First inputs: the target and what it runs.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let record = &KNOWN[0];
    let peer = record.peer_id();
    let instance = Instance::new("abcdefghijklmnopqrstuvwxyz012345");
    let addresses = record.addresses();
    let mut packets =
        codec::encode_answer(&instance, codec::TTL, peer, addresses, &record.encode());
    packets.extend(codec::encode_answer(&instance, 0, peer, addresses, &[]));
    packets.push(codec::encode_query([(&instance, 90)].into_iter()));
    packets.push(codec::encode_query([].into_iter()));
    let mut seeds: Vec<_> = packets.iter().map(|it| ("mdns_packet", it.clone())).collect();
    for packet in packets {
        let length = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
        seeds.push(("mdns", [&[0][..], &length, &packet, &[2, 9, 5, 3]].concat()));
    }
    seeds.push(("mdns", vec![4, 3, 1, 0, 1, 1, 2, 200, 1, 2, 5, 1, 3, 6, 2, 250, 5, 7, 1, 4]));
    let id = SecretKey::from_bytes(&[1; 32]).net_id();
    let names = format!(
        "version = 1\n\n[names]\nalice = {{ id = \"{id}\" }} # me\nbob = {{ id = \"{peer}\", \
         addresses = [\"/ip4/192.0.2.1/tcp/1\"] }}\n[names.carol]\nid = \"{peer}\"\n"
    );
    seeds.push(("petnames", names.into_bytes()));
    seeds.push(("petnames", b"names = { fuzzing = { id = 1 } }\nversion = 1".to_vec()));
    seeds.extend(crate::names::fuzzing::seeds().map(|input| ("answer", input)));
    seeds
}

/// What an announcement says is said again by packets of our own.
fn check_announcement(said: &Announcement) {
    let Some((peer, addresses)) = &said.hint else { return };
    assert!(addresses.len() <= codec::MAX_ADDRESSES);
    // Pieces of a record need not fit together.
    let record: Vec<u8> = said.chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
    let packets = codec::encode_answer(&said.instance, said.ttl, peer, addresses, &record);
    let mut heard = BTreeSet::new();
    let mut carried = Vec::new();
    for packet in packets {
        assert!(packet.len() <= MAX_SENT);
        let Ok(Some(Message::Response(again))) = codec::decode(&packet) else {
            panic!("an answer is one");
        };
        for again in again {
            assert_eq!((&again.instance, again.ttl), (&said.instance, said.ttl));
            carried.extend(again.chunks.into_iter().flat_map(|chunk| chunk.bytes));
            if let Some((again, addresses)) = again.hint {
                assert_eq!(again, *peer);
                heard.extend(addresses.iter().map(Multiaddr::to_vec));
            }
        }
    }
    assert!(record.len() > codec::MAX_RECORD || carried == record);
    // A text that does not lead back to its address is what anybody may send.
    let exact = |address: &&Multiaddr| {
        address.to_string().parse().is_ok_and(|it: Multiaddr| it == **address)
    };
    let short = |address: &&Multiaddr| address.to_string().len() < 240;
    for address in addresses.iter().filter(exact).filter(short) {
        assert!(heard.contains(&address.to_vec()), "{address} is lost");
    }
}

struct World {
    state: State,
    now: Now,
    news: usize,
}

impl World {
    fn new() -> Self {
        let now = Now { instant: *START, unix: NOW };
        let mut state = State::new(7);
        let link = LinkSpec { prefixes: vec![(SOURCE, 24)], is_loopback: false };
        state.set_links([(LinkKey(0), link)], now);
        Self { state, now, news: 0 }
    }

    /// Does one thing and returns what is left of the input.
    fn step<'a>(&mut self, operation: u8, input: &'a [u8]) -> &'a [u8] {
        let (&argument, rest) = input.split_first().unwrap_or((&0, &[]));
        let known = &KNOWN[usize::from(argument) % KNOWN.len()];
        match operation % 8 {
            0 => {
                let (length, rest) = input.split_at(input.len().min(2));
                let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let (packet, rest) = rest.split_at(length.min(rest.len()));
                self.state.handle_packet(LinkKey(0), SOURCE, packet, self.now);
                return rest;
            }
            1 => self.hear(known, argument),
            2 => self.pass(argument),
            3 => {
                let record = known.encode();
                self.state.publish(*known.peer_id(), known.addresses(), record, self.now);
            }
            4 => self.state.withdraw(),
            5 => {
                let query = Query::Peer(*known.peer_id());
                let found = self.state.start_lookup(&query, self.now);
                assert!(found.iter().all(|found| found.answers(&query, self.now.unix)));
            }
            6 => self.change_links(argument),
            _ => self.drain(),
        }
        rest
    }

    /// A node announces itself as it should, or in part, or says goodbye.
    fn hear(&mut self, known: &NodeRecord, argument: u8) {
        let instance = Instance::new(&format!("instance{}", argument % 5));
        let ttl = [0, 1, codec::TTL, u32::MAX][usize::from(argument >> 4) % 4];
        let (peer, addresses) = (known.peer_id(), known.addresses());
        let packets = codec::encode_answer(&instance, ttl, peer, addresses, &known.encode());
        let skipped = usize::from(argument & 8 == 0);
        for packet in packets.iter().skip(skipped * (packets.len() - 1)) {
            self.state.handle_packet(LinkKey(0), SOURCE, packet, self.now);
        }
    }

    fn pass(&mut self, argument: u8) {
        let span = [1, 30, 1_000, 60_000][usize::from(argument) % 4];
        self.now.instant += Duration::from_millis(span * (1 + u64::from(argument) / 4));
        self.state.handle_timeout(self.now);
        let next = self.state.poll_timeout();
        assert!(next.is_none_or(|due| due > self.now.instant), "it asks to be called at once");
    }

    fn change_links(&mut self, argument: u8) {
        let spec = |number: u128| LinkSpec {
            prefixes: vec![(SOURCE, if number == 0 { 24 } else { argument % 33 })],
            is_loopback: argument & 1 == 1,
        };
        let links = (0..u128::from(argument % 70)).map(|number| (LinkKey(number), spec(number)));
        self.state.set_links(links, self.now);
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.state.poll_transmit() {
            assert!(transmit.packet.len() <= MAX_SENT);
            assert!(transmit.link.0 < MAX_LINKS as u128);
            assert!(matches!(codec::decode(&transmit.packet), Ok(Some(_))));
        }
        while let Some(found) = self.state.poll_found() {
            self.news += 1;
            if let Found::Record(record) = found {
                assert!(VerifiedRecord::check((*record).clone(), self.now.unix).is_ok());
            }
        }
    }

    fn check(&self) {
        let stats = self.state.stats();
        assert!(stats.peers <= 2 * 1_024 && stats.records <= stats.checked, "{stats:?}");
    }
}

/// An input does at most this much.
const MAX_OPERATIONS: usize = 400;
const NOW: UnixTime = UnixTime(1_800_000_000);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// Any moment does, as long as it stays the same one.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Signed records: two nodes, an older and a newer one each, and one too long to be carried whole.
static KNOWN: LazyLock<Vec<NodeRecord>> = LazyLock::new(|| {
    let record = |node: u8, sequence: u64| {
        let mut description = NodeDescription::new(sequence, NOW.plus_seconds(3_600));
        let address = |port: u64| format!("/ip4/192.0.2.{node}/tcp/{port}");
        let count = if node == 3 { 32 } else { sequence };
        let addresses = (1..=count).map(|port| address(port).parse().expect("an address"));
        description.addresses.extend(addresses);
        let key = SecretKey::from_bytes(&[node; 32]);
        NodeRecord::sign(&key, description).expect("within its bounds")
    };
    vec![record(1, 1), record(1, 2), record(2, 1), record(2, 2), record(3, 1)]
});
