use netcom_identity::SecretKey;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE,
    rdata::{PTR, RData, TXT},
};

use super::*;

const SERVICE_NAME: &str = "_p2p._udp.local";

fn peer(seed: u8) -> PeerId {
    SecretKey::from_bytes(&[seed; 32]).peer_id()
}

fn addresses(count: u16) -> Vec<Multiaddr> {
    let text = |number| format!("/ip4/192.0.2.{number}/udp/4001/quic-v1");
    (1..=count).map(|number| text(number).parse().unwrap()).collect()
}

fn answers(packet: &[u8]) -> Vec<Announcement> {
    match decode(packet) {
        Ok(Some(Message::Response(announcements))) => announcements,
        other => panic!("{other:?}"),
    }
}

/// A response as other implementations write it, without compression.
fn foreign_response(instance: &str, strings: &[&str]) -> Vec<u8> {
    let instance = format!("{instance}.{SERVICE_NAME}");
    let service = Name::new(SERVICE_NAME).unwrap();
    let instance = Name::new(&instance).unwrap();
    let mut packet = Packet::new_reply(7);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    let pointer = RData::PTR(PTR(instance.clone()));
    packet.answers.push(ResourceRecord::new(service, CLASS::IN, 360, pointer));
    for string in strings {
        let text = RData::TXT(TXT::new().with_string(string).unwrap());
        let record = ResourceRecord::new(instance.clone(), CLASS::IN, 360, text);
        packet.additional_records.push(record.with_cache_flush(true));
    }
    packet.build_bytes_vec().unwrap()
}

#[test]
fn a_question_is_the_one_libp2p_asks() {
    let packet = encode_query(std::iter::empty());
    let parsed = Packet::parse(&packet).unwrap();
    let [question] = &parsed.questions[..] else { panic!("{parsed:?}") };
    assert_eq!(question.qname.to_string(), SERVICE_NAME);
    assert_eq!((question.qtype, question.qclass), (TYPE::PTR.into(), CLASS::IN.into()));
    assert!(!question.unicast_response && !parsed.has_flags(PacketFlag::RESPONSE));
    assert_eq!(decode(&packet), Ok(Some(Message::Query { known: Vec::new() })));
}

#[test]
fn an_answer_is_read_alike_by_another_decoder() {
    let instance = Instance::new("abc123");
    let packets = encode_answer(&instance, TTL, &peer(1), &addresses(2), b"signed");
    let [packet] = &packets[..] else { panic!("{}", packets.len()) };
    let parsed = Packet::parse(packet).unwrap();
    assert!(parsed.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
    let [answer] = &parsed.answers[..] else { panic!("{parsed:?}") };
    assert_eq!((answer.name.to_string().as_str(), answer.ttl), (SERVICE_NAME, 120));
    let RData::PTR(PTR(target)) = &answer.rdata else { panic!("{answer:?}") };
    assert_eq!(target.to_string(), "abc123._p2p._udp.local");
    let [text] = &parsed.additional_records[..] else { panic!("{parsed:?}") };
    assert!(text.cache_flush && text.name == *target);
    let RData::TXT(strings) = &text.rdata else { panic!("{text:?}") };
    let strings: Vec<_> = strings.iter_raw().collect();
    let first = format!("/ip4/192.0.2.1/udp/4001/quic-v1/p2p/{}", peer(1));
    assert_eq!(strings[0], (&b"dnsaddr"[..], Some(first.as_bytes())));
    assert_eq!(strings[2], (&b"netcom"[..], Some(&b"\x00\x01signed"[..])));
}

#[test]
fn the_vector_of_the_specification_holds() {
    let instance = Instance::new("abc123");
    let packets = encode_answer(&instance, TTL, &peer(1), &[], b"\x01\x02");
    let expected = b"\0\0\x84\0\0\0\0\x01\0\0\0\x01\
        \x04_p2p\x04_udp\x05local\0\0\x0c\0\x01\0\0\0\x78\0\x09\x06abc123\xc0\x0c\
        \x06abc123\xc0\x0c\0\x10\x80\x01\0\0\0\x78\0\x0c\x0bnetcom=\0\x01\x01\x02";
    assert_eq!(packets, [expected.to_vec()]);
    let query = encode_query([(&instance, 100)].into_iter());
    let expected = b"\0\0\0\0\0\x01\0\x01\0\0\0\0\
        \x04_p2p\x04_udp\x05local\0\0\x0c\0\x01\
        \xc0\x0c\0\x0c\0\x01\0\0\0\x64\0\x09\x06abc123\xc0\x0c";
    assert_eq!(query, expected);
}

#[test]
fn what_the_libp2p_specification_asks_for_is_read() {
    let text = format!("dnsaddr=/ip4/192.0.2.1/tcp/4001/p2p/{}", peer(1));
    let packet = foreign_response("PeerName", &[&text, "other=1", "dnsaddr=/ip4/192.0.2.1/tcp/1"]);
    let [announcement] = &answers(&packet)[..] else { panic!() };
    assert_eq!(announcement.instance, Instance::new("peername"));
    assert_eq!(announcement.ttl, 360);
    let address: Multiaddr = text["dnsaddr=".len()..].parse().unwrap();
    assert_eq!(announcement.hint, Some((peer(1), vec![address])));
}

#[test]
fn a_packet_sent_by_rust_libp2p_is_read() {
    let packet = include_bytes!("rust-libp2p-0.57-answer.bin");
    let [announcement] = &answers(packet)[..] else { panic!() };
    let (peer, addresses) = announcement.hint.clone().unwrap();
    let expected = "12D3KooWKpU8y52eE5hWKTgTj2WQJjKi7XoTNoBnHfcTk3SaimL6";
    assert_eq!(peer.to_string(), expected);
    let [address] = &addresses[..] else { panic!() };
    assert_eq!(address.to_string(), format!("/ip4/10.99.0.1/tcp/36045/p2p/{expected}"));
    assert_eq!(announcement.ttl, 360);
}

#[test]
fn an_announcement_is_about_one_peer() {
    let texts = [1, 2].map(|n| format!("dnsaddr=/ip4/192.0.2.1/tcp/{n}/p2p/{}", peer(n)));
    let packet = foreign_response("x", &[&texts[0], &texts[1]]);
    let (first, addresses) = answers(&packet)[0].hint.clone().unwrap();
    assert_eq!((first, addresses.len()), (peer(1), 1));
}

#[test]
fn records_of_any_size_up_to_the_limit_come_through() {
    let instance = Instance::new("x");
    for size in [0, 1, CHUNK, CHUNK + 1, 1_000, 4_000, MAX_RECORD] {
        let record: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
        let packets = encode_answer(&instance, TTL, &peer(1), &addresses(16), &record);
        assert!(packets.iter().all(|packet| packet.len() <= MAX_SENT));
        let mut chunks: Vec<_> =
            packets.iter().flat_map(|packet| answers(packet).remove(0).chunks).collect();
        chunks.sort_by_key(|chunk| chunk.index);
        assert!(chunks.iter().all(|chunk| usize::from(chunk.count) == chunks.len()));
        assert_eq!(chunks.into_iter().flat_map(|chunk| chunk.bytes).collect::<Vec<_>>(), record);
    }
    let packets = encode_answer(&instance, TTL, &peer(1), &addresses(1), &[0; MAX_RECORD + 1]);
    assert_eq!(packets.iter().map(|packet| answers(packet)[0].chunks.len()).sum::<usize>(), 0);
}

#[test]
fn known_answers_fill_one_packet_at_most() {
    let instances: Vec<_> =
        (0..1_000).map(|number| Instance::new(&format!("{number:032}"))).collect();
    let packet = encode_query(instances.iter().map(|instance| (instance, 100)));
    assert!(packet.len() <= MAX_SENT && Packet::parse(&packet).is_ok());
    let Ok(Some(Message::Query { known })) = decode(&packet) else { panic!() };
    assert!(known.len() >= 15 && known[..] == instances[..known.len()]);
    let packet = encode_query(instances.iter().map(|instance| (instance, TTL / 2 - 1)));
    assert_eq!(decode(&packet), Ok(Some(Message::Query { known: Vec::new() })));
}

#[test]
fn other_services_and_other_kinds_of_packet_say_nothing() {
    let mut other = Packet::new_query(0);
    let name = Name::new("_ipp._tcp.local").unwrap();
    other.questions.push(Question::new(name, QTYPE::ANY, QCLASS::ANY, false));
    assert_eq!(decode(&other.build_bytes_vec().unwrap()), Ok(None));
    let mut packet = encode_query(std::iter::empty());
    packet[3] = 0x05;
    assert_eq!(decode(&packet), Err(DecodeError::Unsupported));
}

#[test]
fn claimed_counts_reserve_nothing_and_end_with_the_packet() {
    let mut packet =
        encode_answer(&Instance::new("x"), TTL, &peer(1), &addresses(1), b"").remove(0);
    packet[6..12].fill(0xff);
    assert_eq!(decode(&packet), Err(DecodeError::Truncated));
}

#[test]
fn compression_that_loops_or_goes_on_too_long_is_refused() {
    let header = b"\0\0\0\0\0\x01\0\0\0\0\0\0";
    let to_itself = [&header[..], b"\xc0\x0c\0\x0c\0\x01"].concat();
    assert_eq!(decode(&to_itself), Err(DecodeError::Name));
    let forward = [&header[..], b"\xc0\x0e\0\x0c\0\x01"].concat();
    assert_eq!(decode(&forward), Err(DecodeError::Name));
    // Each question's name is a pointer to the one before it.
    let mut chain = [&header[..], b"\0\0\x0c\0\x01"].concat();
    let count = 20_u16;
    for number in 0..count {
        let before = if number == 0 { 12 } else { chain.len() as u16 - 6 };
        chain.extend((0xc000 | before).to_be_bytes());
        chain.extend(*b"\0\x0c\0\x01");
    }
    chain[4..6].copy_from_slice(&(count + 1).to_be_bytes());
    assert_eq!(decode(&chain), Err(DecodeError::Name));
    let long = [&header[..], &[[63; 64]; 5].concat(), b"\0\0\x0c\0\x01"].concat();
    assert_eq!(decode(&long), Err(DecodeError::Name));
}

#[test]
fn one_packet_makes_a_bounded_number_of_announcements() {
    let service = Name::new(SERVICE_NAME).unwrap();
    let names: Vec<_> = (0..400).map(|number| format!("n{number}.{SERVICE_NAME}")).collect();
    let mut packet = Packet::new_reply(0);
    for name in &names {
        let pointer = RData::PTR(PTR(Name::new(name).unwrap()));
        packet.answers.push(ResourceRecord::new(service.clone(), CLASS::IN, 1, pointer));
    }
    let packet = packet.build_bytes_vec_compressed().unwrap();
    assert_eq!(answers(&packet).len(), MAX_ANNOUNCEMENTS);
}

#[test]
fn no_cut_or_altered_packet_panics() {
    let query = encode_query([(&Instance::new("abc"), 100)].into_iter());
    let answer = encode_answer(&Instance::new("abc"), TTL, &peer(1), &addresses(2), &[7; 300]);
    for packet in answer.iter().chain([&query]) {
        for length in 0..packet.len() {
            assert_ne!(decode(&packet[..length]), decode(packet), "cut at {length}");
        }
        for position in 0..packet.len() {
            for value in [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff] {
                let mut altered = packet.clone();
                altered[position] = value;
                let _ = decode(&altered);
            }
        }
    }
}
