//! Tickets: a text that leads to a node.

use netcom_identity::{
    AddressError, MAX_TICKET_CHARACTERS, Multiaddr, NetIdError, PeerIdError, Ticket, TicketError,
};

use crate::support::{hashed_peer_id, key, text, vectors};

const PROOFS: &str = include_str!("../vectors/proofs.json");

fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

fn full() -> Ticket {
    let addresses = [
        address("/ip4/192.0.2.1/tcp/4001"),
        address("/ip6/2001:db8::1/udp/4001/quic-v1"),
        address("/dns4/example.org/tcp/443/x-parity-ws/%2Fa%2Cb%2525"),
    ];
    Ticket::new(key(2).peer_id(), addresses).expect("in bounds").with_netid(key(1).net_id())
}

/// The text with a check value that fits.
fn resealed(body: &str) -> String {
    // A ticket's check value is the hash of what follows the scheme; let a valid one show it.
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&body.as_bytes()["netcom:".len()..]);
    format!("{body},sum={}", data_encoding::HEXLOWER.encode(&digest[..4]))
}

#[test]
fn tickets_are_those_of_the_independent_implementation() {
    let ticket = Ticket::new(key(2).peer_id(), [address("/ip4/192.0.2.1/tcp/4001")])
        .unwrap()
        .with_netid(key(1).net_id());
    assert_eq!(ticket.to_string(), text(&vectors(PROOFS), "ticket"));
    assert_eq!(text(&vectors(PROOFS), "ticket").parse(), Ok(ticket));
}

#[test]
fn tickets_round_trip_with_and_without_each_part() {
    let bare = Ticket::new(hashed_peer_id(), []).unwrap();
    let named = bare.clone().with_netid(key(1).net_id());
    for ticket in [bare, named, full()] {
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
    let ticket = full();
    assert_eq!(ticket.peer_id(), &key(2).peer_id());
    assert_eq!(ticket.netid(), Some(&key(1).net_id()));
    assert_eq!(ticket.addresses().len(), 3);
    let ending = format!("/p2p/{}", key(2).peer_id());
    assert!(ticket.addresses().iter().all(|address| address.to_string().ends_with(&ending)));
}

#[test]
fn tickets_need_no_quotes_in_a_shell() {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:,=.%-_@+".contains(c);
    assert!(full().to_string().chars().all(is_plain), "{}", full());
}

#[test]
fn each_cut_and_each_wrong_character_is_refused() {
    let whole = full().to_string();
    for end in 0..whole.len() {
        assert!(whole[..end].parse::<Ticket>().is_err(), "{end}");
    }
    assert_eq!(whole[..whole.len() - 1].parse::<Ticket>(), Err(TicketError::Cut));
    assert_eq!(whole[..whole.len() - 20].parse::<Ticket>(), Err(TicketError::Cut));
    assert_eq!(whole[1..].parse::<Ticket>(), Err(TicketError::Scheme));
    for place in "netcom:".len()..whole.len() {
        for wrong in ["x", "1", ",", "/"] {
            if whole[place..].starts_with(wrong) {
                continue;
            }
            let text = format!("{}{wrong}{}", &whole[..place], &whole[place + 1..]);
            assert!(text.parse::<Ticket>().is_err(), "{text}");
        }
    }
    let changed = whole.replace("4001", "4002");
    assert_eq!(changed.parse::<Ticket>(), Err(TicketError::Altered));
}

#[test]
fn whole_texts_that_are_no_tickets_are_refused_with_the_reason() {
    let peer = key(2).peer_id();
    let refusal = |body: &str| resealed(body).parse::<Ticket>().unwrap_err();
    assert!(resealed(&format!("NetCom:{peer}")).parse::<Ticket>().is_ok(), "schemes ignore case");
    assert!(resealed(&format!("netcom:{peer},later=1")).parse::<Ticket>().is_ok());
    assert_eq!(refusal("netcom:"), TicketError::PeerId(PeerIdError::Empty));
    assert!(matches!(refusal("netcom:12D3Koo"), TicketError::PeerId(PeerIdError::Damaged)));
    assert_eq!(refusal(&format!("netcom:{peer},")), TicketError::Malformed);
    assert_eq!(refusal(&format!("netcom:{peer},id")), TicketError::Malformed);
    let length = TicketError::NetId(NetIdError::Length { length: 3 });
    assert_eq!(refusal(&format!("netcom:{peer},id=n1q")), length);
    let id = key(1).net_id();
    assert_eq!(refusal(&format!("netcom:{peer},id={id},id={id}")), TicketError::Malformed);
    let address = |text: &str| match refusal(&format!("netcom:{peer},at={text}")) {
        TicketError::Address(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(address("ip4"), AddressError::Malformed { .. }));
    assert_eq!(address(""), AddressError::NoTransport);
    assert_eq!(address("/memory/1,at=/memory/1"), AddressError::Repeated);
    assert_eq!(address(&format!("/memory/1,at=/memory/1/p2p/{peer}")), AddressError::Repeated);
    let other = format!("/memory/1/p2p/{}", key(3).peer_id());
    assert!(matches!(address(&other), AddressError::OtherPeer { .. }));
    assert_eq!(address(&format!("/unix/{}", "x".repeat(1025))), AddressError::TooLong);
}

#[test]
fn addresses_and_characters_are_capped() {
    let many = |count: u64| (0..count).map(|port| address(&format!("/memory/{port}")));
    assert!(Ticket::new(key(2).peer_id(), many(32)).is_ok());
    let error = Ticket::new(key(2).peer_id(), many(33)).unwrap_err();
    assert_eq!(error, TicketError::Address(AddressError::TooMany { count: 33 }));
    let long = format!("netcom:{}", "x".repeat(MAX_TICKET_CHARACTERS));
    assert_eq!(long.parse::<Ticket>(), Err(TicketError::TooLong));
}

#[test]
fn the_longest_ticket_can_be_read_back() {
    let addresses = (100..132)
        .map(|port| address(&format!("/dns4/{}.example.org/tcp/{port}", "x".repeat(180))));
    let ticket = Ticket::new(key(2).peer_id(), addresses).unwrap().with_netid(key(1).net_id());
    assert_eq!(ticket.to_string().parse(), Ok(ticket));
}
