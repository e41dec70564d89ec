use netcom_identity::{NodeDescription, NodeRecord};

use super::*;
use crate::{
    mdns::cache::{MAX_PEERS, MAX_PIECES},
    testing::{NOW, description, key, record, representing},
};

const LINK: LinkKey = LinkKey(1);

/// Machines on one link, on virtual time. Packets reach everybody at once, the sender too.
struct Wire {
    start: Instant,
    passed: Duration,
    nodes: Vec<State>,
    sent: Vec<(Duration, usize, Vec<u8>)>,
}

impl Wire {
    fn new(nodes: u64) -> Self {
        let start = Instant::now();
        let mut wire = Self { start, passed: Duration::ZERO, nodes: Vec::new(), sent: Vec::new() };
        let spec = LinkSpec { prefixes: vec![(ip(0), 24)], is_loopback: false };
        for seed in 0..nodes {
            let mut state = State::new(seed);
            state.set_links([(LINK, spec.clone())], wire.now());
            wire.nodes.push(state);
        }
        wire
    }

    fn now(&self) -> Now {
        Now { instant: self.start + self.passed, unix: NOW.plus_seconds(self.passed.as_secs()) }
    }

    fn publish(&mut self, node: usize, record: &NodeRecord) {
        let now = self.now();
        let addresses = record.addresses();
        self.nodes[node].publish(*record.peer_id(), addresses, record.encode(), now);
    }

    fn deliver(&mut self) {
        loop {
            let packets: Vec<_> = (0..self.nodes.len())
                .filter_map(|node| Some((node, self.nodes[node].poll_transmit()?.packet)))
                .collect();
            if packets.is_empty() {
                return;
            }
            let now = self.now();
            for (sender, packet) in packets {
                self.sent.push((self.passed, sender, packet.clone()));
                for node in &mut self.nodes {
                    node.handle_packet(LINK, ip(sender as u8 + 1), &packet, now);
                }
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.passed + duration;
        loop {
            self.deliver();
            let next = self.nodes.iter().filter_map(State::poll_timeout).min();
            let next = next.map_or(end, |next| next.saturating_duration_since(self.start));
            if next > end {
                self.passed = end;
                return;
            }
            self.passed = self.passed.max(next);
            let now = self.now();
            for node in &mut self.nodes {
                if node.poll_timeout().is_some_and(|due| due <= now.instant) {
                    node.handle_timeout(now);
                }
            }
        }
    }

    fn found(&mut self, node: usize) -> Vec<Found> {
        std::iter::from_fn(|| self.nodes[node].poll_found()).collect()
    }

    fn answers(&self, node: usize) -> Vec<Duration> {
        let is_answer = |packet: &[u8]| packet[2] & 0x80 != 0;
        let of_node =
            self.sent.iter().filter(|(_, sender, packet)| *sender == node && is_answer(packet));
        of_node.map(|(at, ..)| *at).collect()
    }

    fn queries(&self, node: usize) -> Vec<Duration> {
        let is_query = |packet: &[u8]| packet[2] & 0x80 == 0;
        let of_node =
            self.sent.iter().filter(|(_, sender, packet)| *sender == node && is_query(packet));
        of_node.map(|(at, ..)| *at).collect()
    }
}

fn ip(host: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, host])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The packets in which a node gives `record` to others.
fn packets(record: &[u8], ttl: u32, label: &str) -> Vec<Vec<u8>> {
    let peer = key(1).peer_id();
    codec::encode_answer(&Instance::new(label), ttl, &peer, &[], record)
}

fn hear(wire: &mut Wire, packets: &[Vec<u8>]) -> Vec<Found> {
    let now = wire.now();
    for packet in packets {
        wire.nodes[0].handle_packet(LINK, ip(9), packet, now);
    }
    wire.found(0)
}

fn lookup(wire: &mut Wire, query: Query) -> Vec<Found> {
    let now = wire.now();
    wire.nodes[0].start_lookup(&query, now)
}

#[test]
fn nodes_find_each_other_by_peer_and_by_netid() {
    let mut wire = Wire::new(3);
    wire.publish(0, &record(1, 1, NOW));
    wire.publish(1, &representing(2, 50, 1, NOW));
    wire.run(seconds(2));

    let netid = key(50).net_id();
    let peers = |found: Vec<Found>| found.iter().map(Found::peer).collect::<Vec<_>>();
    for (query, seed) in [
        (Query::NetId(netid), 2),
        (Query::Peer(key(2).peer_id()), 2),
        (Query::NetId(key(2).net_id()), 2),
    ] {
        let found = lookup(&mut wire, query);
        assert!(matches!(found[..], [Found::Record(_)]), "{found:?}");
        assert_eq!(peers(found), [key(seed).peer_id()]);
    }
    assert_eq!(peers(wire.found(1)), [key(1).peer_id()], "a node does not find itself");
    assert_eq!(wire.found(2).len(), 2);
}

#[test]
fn a_node_that_publishes_later_is_heard_without_asking() {
    let mut wire = Wire::new(2);
    wire.run(seconds(100));
    let queries = wire.queries(0).len();
    wire.publish(1, &record(2, 1, NOW.plus_seconds(100)));
    wire.run(Duration::ZERO);
    assert_eq!((wire.found(0).len(), wire.queries(0).len()), (1, queries));
}

#[test]
fn new_data_is_announced_twice_and_under_a_new_name() {
    let mut wire = Wire::new(1);
    wire.publish(0, &record(1, 1, NOW));
    wire.run(seconds(400));
    let first = wire.nodes[0].own.as_ref().unwrap().instance.clone();
    wire.sent.clear();
    wire.publish(0, &record(1, 2, NOW));
    let start = wire.passed;
    wire.run(seconds(20));
    let answers: Vec<_> = wire.answers(0).iter().map(|at| *at - start).collect();
    assert_eq!(answers, [seconds(0), seconds(1)]);
    assert_ne!(wire.nodes[0].own.as_ref().unwrap().instance, first);
}

#[test]
fn a_flood_of_questions_gets_one_answer_a_second() {
    let mut wire = Wire::new(1);
    wire.publish(0, &record(1, 1, NOW));
    wire.run(seconds(5));
    wire.sent.clear();
    let query = codec::encode_query(std::iter::empty());
    for _ in 0..1_000 {
        let now = wire.now();
        wire.nodes[0].handle_packet(LINK, ip(9), &query, now);
        wire.run(Duration::from_millis(10));
    }
    let answers = wire.answers(0);
    assert!((9..=11).contains(&answers.len()), "{answers:?}");
    let gaps: Vec<_> = answers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= ANSWER_INTERVAL), "{gaps:?}");
}

#[test]
fn a_single_question_is_answered_within_120_milliseconds() {
    let mut wire = Wire::new(1);
    wire.publish(0, &record(1, 1, NOW));
    wire.run(seconds(200));
    for _ in 0..50 {
        wire.sent.clear();
        let (now, start) = (wire.now(), wire.passed);
        let query = codec::encode_query(std::iter::empty());
        wire.nodes[0].handle_packet(LINK, ip(9), &query, now);
        wire.run(Duration::from_millis(1_500));
        let waited = wire.answers(0)[0] - start;
        assert!((20..120).contains(&waited.as_millis()), "{waited:?}");
    }
}

#[test]
fn whoever_knows_the_answer_already_gets_none() {
    let mut wire = Wire::new(2);
    wire.publish(1, &record(2, 1, NOW));
    wire.run(seconds(50));
    let answers = wire.answers(1).len();
    lookup(&mut wire, Query::Peer(key(9).peer_id()));
    wire.run(seconds(5));
    assert_eq!(wire.answers(1).len(), answers);
    wire.run(seconds(20)); // by now less than half of the lifetime is left
    lookup(&mut wire, Query::Peer(key(9).peer_id()));
    wire.run(seconds(5));
    assert_eq!(wire.answers(1).len(), answers + 1);
}

#[test]
fn questions_become_rarer_until_a_lookup_starts() {
    let mut wire = Wire::new(1);
    wire.run(seconds(2_000));
    let queries = wire.queries(0);
    let gaps: Vec<_> = queries.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert_eq!(gaps[..5], [500, 1_000, 2_000, 4_000, 8_000]);
    assert_eq!(gaps[9..12], [256_000, 300_000, 300_000]);

    wire.sent.clear();
    let start = wire.passed;
    lookup(&mut wire, Query::Peer(key(9).peer_id()));
    lookup(&mut wire, Query::Peer(key(8).peer_id()));
    wire.run(seconds(1));
    let after: Vec<_> = wire.queries(0).iter().map(|at| (*at - start).as_millis()).collect();
    assert_eq!(after, [0, 500]);
}

#[test]
fn a_large_record_is_put_together_in_any_order() {
    let mut description = description(1, 1, NOW);
    for (key, length) in [("a", 200), ("b", 200), ("c", 200)] {
        description.metadata.insert(key, &"x".repeat(length)).unwrap();
    }
    for host in 2..32 {
        let address = format!("/ip4/192.0.2.{host}/udp/4001/quic-v1").parse().unwrap();
        description.addresses.push(address);
    }
    let record = NodeRecord::sign(&key(1), description).unwrap();
    let mut pieces = packets(&record.encode(), 120, "x");
    assert!(pieces.len() >= 3, "{}", pieces.len());
    pieces.reverse();
    let mut wire = Wire::new(1);
    let (last, others) = pieces.split_last().unwrap();
    assert!(hear(&mut wire, others).is_empty());
    assert!(matches!(hear(&mut wire, std::slice::from_ref(last))[..], [Found::Record(_)]));
}

#[test]
fn pieces_that_come_seconds_apart_do_not_add_up() {
    let mut description = description(1, 1, NOW);
    for host in 2..32 {
        let address = format!("/ip4/192.0.2.{host}/udp/4001/quic-v1").parse().unwrap();
        description.addresses.push(address);
    }
    let record = NodeRecord::sign(&key(1), description).unwrap();
    let pieces = packets(&record.encode(), 120, "x");
    let (first, others) = pieces.split_first().unwrap();
    assert!(!others.is_empty());
    let mut wire = Wire::new(1);
    hear(&mut wire, std::slice::from_ref(first));
    wire.run(seconds(6));
    assert!(hear(&mut wire, others).is_empty());
    assert_eq!(hear(&mut wire, std::slice::from_ref(first)).len(), 1);
}

#[test]
fn no_altered_bit_of_a_record_comes_through() {
    let mut wire = Wire::new(1);
    let encoded = representing(1, 50, 1, NOW).encode();
    let mut accepted = 0;
    for bit in 0..encoded.len() * 8 {
        let mut altered = encoded.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        wire.passed += Duration::from_millis(10); // lest the budget of checks runs out
        accepted += hear(&mut wire, &packets(&altered, 120, &format!("x{bit}"))).len();
    }
    assert_eq!(accepted, 0);
    assert_eq!(wire.nodes[0].stats().rejected, encoded.len() as u64 * 8);
    assert_eq!(hear(&mut wire, &packets(&encoded, 120, "good")).len(), 1);
}

#[test]
fn expired_early_foreign_and_older_records_are_refused() {
    let mut wire = Wire::new(1);
    let expired = record(1, 1, NOW.minus_seconds(3_600));
    let endless =
        NodeRecord::sign(&key(1), NodeDescription::new(1, NOW.plus_seconds(8 * 86_400))).unwrap();
    for refused in [expired, endless] {
        assert!(hear(&mut wire, &packets(&refused.encode(), 120, "x")).is_empty());
    }
    assert_eq!(wire.nodes[0].stats().rejected, 2);
    assert_eq!(hear(&mut wire, &packets(&record(1, 5, NOW).encode(), 120, "x")).len(), 1);
    assert!(hear(&mut wire, &packets(&record(1, 4, NOW).encode(), 120, "y")).is_empty());
    let query = Query::Peer(key(1).peer_id());
    let Found::Record(known) = lookup(&mut wire, query).remove(0) else { panic!() };
    assert_eq!(known.sequence(), 5);
    assert_eq!(hear(&mut wire, &packets(&record(1, 6, NOW).encode(), 120, "z")).len(), 1);
}

#[test]
fn a_hint_answers_for_its_peer_and_never_for_a_netid() {
    let mut wire = Wire::new(1);
    let (peer, netid) = (key(1).peer_id(), key(1).net_id());
    let address = "/ip4/192.0.2.9/tcp/1".parse().unwrap();
    let packets = codec::encode_answer(&Instance::new("x"), 360, &peer, &[address], &[]);
    assert!(matches!(hear(&mut wire, &packets)[..], [Found::Hint { .. }]));
    assert!(hear(&mut wire, &packets).is_empty(), "only news are told");
    assert!(lookup(&mut wire, Query::NetId(netid)).is_empty());
    let Found::Hint { addresses, .. } = lookup(&mut wire, Query::Peer(peer)).remove(0) else {
        panic!()
    };
    assert_eq!(addresses[0].to_string(), format!("/ip4/192.0.2.9/tcp/1/p2p/{peer}"));
    wire.run(seconds(361));
    assert!(lookup(&mut wire, Query::Peer(peer)).is_empty());
}

#[test]
fn hinted_names_and_loopback_addresses_are_not_believed() {
    let mut wire = Wire::new(1);
    let addresses = ["/dns4/example.org/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"];
    let addresses = addresses.map(|address| address.parse().unwrap());
    let peer = key(1).peer_id();
    let packets = codec::encode_answer(&Instance::new("x"), 360, &peer, &addresses, &[]);
    assert!(hear(&mut wire, &packets).is_empty());
}

#[test]
fn packets_from_other_networks_are_not_read() {
    let mut wire = Wire::new(1);
    wire.publish(0, &record(9, 1, NOW));
    wire.run(seconds(2));
    let answers = wire.answers(0).len();
    let mut foreign = packets(&record(1, 1, NOW).encode(), 120, "x");
    foreign.push(codec::encode_query(std::iter::empty()));
    let now = wire.now();
    for packet in &foreign {
        wire.nodes[0].handle_packet(LINK, "203.0.113.1".parse().unwrap(), packet, now);
    }
    wire.run(seconds(1));
    assert_eq!(wire.found(0).len(), 0);
    assert_eq!(wire.answers(0).len(), answers);
    assert_eq!(wire.nodes[0].stats().off_link, 2);
}

#[test]
fn what_was_heard_ends_with_its_lifetime_or_a_goodbye_from_the_same_place() {
    let mut wire = Wire::new(1);
    let encoded = record(1, 1, NOW).encode();
    let query = Query::Peer(key(1).peer_id());
    hear(&mut wire, &packets(&encoded, 120, "x"));
    wire.run(seconds(119));
    assert_eq!(lookup(&mut wire, query).len(), 1);
    wire.run(seconds(2));
    assert_eq!(lookup(&mut wire, query).len(), 0);

    hear(&mut wire, &packets(&encoded, 120, "x"));
    let goodbye = packets(&encoded, 0, "x").remove(0);
    let now = wire.now();
    wire.nodes[0].handle_packet(LINK, ip(8), &goodbye, now);
    assert_eq!(lookup(&mut wire, query).len(), 1);
    wire.nodes[0].handle_packet(LINK, ip(9), &goodbye, now);
    assert_eq!(lookup(&mut wire, query).len(), 0);
}

#[test]
fn a_node_that_withdraws_says_goodbye_and_answers_no_more() {
    let mut wire = Wire::new(2);
    wire.publish(1, &record(2, 1, NOW));
    wire.run(seconds(3));
    let query = Query::Peer(key(2).peer_id());
    assert_eq!(lookup(&mut wire, query).len(), 1);
    wire.nodes[1].withdraw();
    wire.deliver();
    assert_eq!(lookup(&mut wire, query).len(), 0);
    let answers = wire.answers(1).len();
    wire.run(seconds(10));
    assert_eq!(wire.answers(1).len(), answers);
}

#[test]
fn a_new_link_is_asked_and_told_at_once() {
    let mut wire = Wire::new(1);
    wire.publish(0, &record(1, 1, NOW));
    wire.run(seconds(1_000));
    let spec = LinkSpec { prefixes: vec![(ip(0), 24)], is_loopback: false };
    let now = wire.now();
    let state = &mut wire.nodes[0];
    state.set_links([(LINK, spec.clone()), (LinkKey(2), spec)], now);
    state.handle_timeout(now);
    let sent: Vec<_> = std::iter::from_fn(|| state.poll_transmit()).collect();
    assert_eq!(sent.iter().filter(|sent| sent.link == LinkKey(2)).count(), 2);
    state.set_links([], now);
    state.handle_timeout(Now { instant: now.instant + seconds(9), ..now });
    assert!(state.poll_transmit().is_none());
}

#[test]
fn a_flood_of_100_000_packets_stays_within_bounds() {
    let mut wire = Wire::new(1);
    wire.publish(0, &record(9_999, 1, NOW));
    let honest = record(1, 1, NOW);
    assert_eq!(hear(&mut wire, &packets(&honest.encode(), 600, "honest")).len(), 1);
    let forged = {
        let mut encoded = honest.encode();
        *encoded.last_mut().unwrap() ^= 1;
        encoded
    };
    let query = codec::encode_query(std::iter::empty());
    let hashed = |number: u32| {
        let mut bytes = vec![0x12, 32];
        bytes.extend([0; 28]);
        bytes.extend(number.to_be_bytes());
        PeerId::from_bytes(&bytes).unwrap()
    };
    for number in 0..100_000_u32 {
        let label = Instance::new(&format!("n{number}"));
        let packet = match number % 4 {
            0 => {
                let address = format!("/ip4/192.0.2.7/tcp/{}", number % 60_000);
                let address = [address.parse().unwrap()];
                codec::encode_answer(&label, 600, &hashed(number), &address, &[]).remove(0)
            }
            1 => codec::encode_answer(&label, 600, &hashed(1), &[], &forged).remove(0),
            2 => codec::encode_answer(&label, 600, &hashed(1), &[], &[0; 4_000]).remove(0),
            _ => query.clone(),
        };
        let now = wire.now();
        wire.nodes[0].handle_packet(LINK, ip(9), &packet, now);
        wire.passed += Duration::from_micros(10); // a second in all
    }
    let state = &mut wire.nodes[0];
    let (records, hints, pieces) = state.cache.sizes();
    assert_eq!((records, hints, pieces), (1, MAX_PEERS, MAX_PIECES));
    assert!(state.found.len() <= MAX_FOUND && state.transmits.len() <= MAX_TRANSMITS);
    let checked = state.stats().checked;
    assert!(checked < 1_024 + 512, "{checked} signatures were checked");
    assert_eq!(lookup(&mut wire, Query::Peer(key(1).peer_id())).len(), 1, "the honest one stays");
    wire.run(seconds(1));
    assert!(wire.answers(0).len() <= 2);
}

#[test]
fn peers_beyond_the_bound_push_out_the_oldest() {
    let mut wire = Wire::new(1);
    for seed in 0..1_100 {
        wire.passed += Duration::from_millis(10);
        let label = format!("n{seed}");
        let packets = packets(&record(seed, 1, NOW).encode(), 600, &label);
        assert_eq!(hear(&mut wire, &packets).len(), 1);
    }
    assert_eq!(wire.nodes[0].cache.sizes().0, MAX_PEERS);
    assert!(lookup(&mut wire, Query::Peer(key(0).peer_id())).is_empty());
    assert_eq!(lookup(&mut wire, Query::Peer(key(1_099).peer_id())).len(), 1);
}

#[test]
fn packets_of_random_bytes_and_random_changes_are_survived() {
    let mut wire = Wire::new(1);
    let mut random = Random(1);
    let address = "/ip4/192.0.2.9/tcp/1".parse().unwrap();
    let encoded = record(1, 1, NOW).encode();
    let peer = key(1).peer_id();
    let good = codec::encode_answer(&Instance::new("x"), 120, &peer, &[address], &encoded);
    let query = codec::encode_query([(&Instance::new("x"), 100)].into_iter());
    let known = codec::encode_answer(&Instance::new("y"), 0, &peer, &[], &encoded);
    let samples = [&good[0], &query, &known[0]];
    for round in 0..30_000 {
        let mut packet = samples[round % samples.len()].clone();
        for _ in 0..random.within(1..8) {
            let position = random.within(0..packet.len() as u64) as usize;
            match random.within(0..4) {
                0 => packet.truncate(position.max(1)),
                1 => packet.insert(position, random.next() as u8),
                2 => drop(packet.remove(position)),
                _ => packet[position] = random.next() as u8,
            }
            packet.push(random.next() as u8);
        }
        wire.passed += Duration::from_micros(100);
        for found in hear(&mut wire, &[packet]) {
            if let Found::Record(found) = found {
                assert_eq!(found.peer_id(), &peer, "only what was signed comes out");
            }
        }
    }
    let stats = wire.nodes[0].stats();
    assert!(stats.malformed > 1_000 && stats.records >= 1, "{stats:?}");
}
