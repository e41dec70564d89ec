//! What people type, and in which order it is understood (R-NET-2, R-NET-9).

use netcom_identity::{
    AddressError, DirectoryName, DirectorySuffixes, DomainError, DomainName, DottedName, Multiaddr,
    NetId, NetIdError, PeerIdError, Petname, PetnameError, Target, TargetError, Ticket,
    TicketError,
};

use crate::support::{hashed_peer_id, key, text, vectors};

fn parse(text: &str) -> Result<Target, TargetError> {
    text.parse()
}

fn domain_error(text: &str) -> DomainError {
    match parse(text) {
        Err(TargetError::Domain(error)) => error,
        other => panic!("{text}: {other:?}"),
    }
}

fn petname_error(text: &str) -> PetnameError {
    match parse(text) {
        Err(TargetError::Petname(error)) => error,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn each_kind_of_target_is_understood_and_written_back() {
    let (netid, peer_id) = (key(1).net_id(), key(2).peer_id());
    let ticket = Ticket::new(peer_id, ["/memory/1".parse::<Multiaddr>().unwrap()]).unwrap();
    let address: Multiaddr = format!("/ip4/192.0.2.1/tcp/4001/p2p/{peer_id}").parse().unwrap();
    let suffixes = DirectorySuffixes::default();
    let directory = DirectoryName::parse("alice.netcom", &suffixes).unwrap().unwrap();
    let domain: DomainName = "example.org".parse().unwrap();
    for (text, target) in [
        (netid.to_string(), Target::NetId(netid)),
        (peer_id.to_string(), Target::PeerId(peer_id)),
        (hashed_peer_id().to_string(), Target::PeerId(hashed_peer_id())),
        (key(7).peer_id().to_string(), Target::PeerId(key(7).peer_id())),
        ("alice".to_owned(), Target::Petname("alice".parse().unwrap())),
        (ticket.to_string(), Target::Ticket(Box::new(ticket))),
        (address.to_string(), Target::Address(peer_id, address)),
        ("alice.netcom".to_owned(), Target::Dotted(directory.into())),
        ("example.org".to_owned(), Target::Dotted(domain.into())),
    ] {
        assert_eq!(parse(&text).as_ref(), Ok(&target), "{text}");
        assert_eq!(parse(&format!(" {text}\n")).as_ref(), Ok(&target), "pasted with space");
        assert_eq!(target.to_string(), text);
    }
    assert_eq!(parse(&format!("/p2p/{peer_id}")), Ok(Target::PeerId(peer_id)));
    assert_eq!(parse(&netid.to_string().to_uppercase()), Ok(Target::NetId(netid)));
}

#[test]
fn nothing_is_an_error_that_lists_what_can_be_typed() {
    for text in ["", " ", "\n\t"] {
        assert_eq!(parse(text), Err(TargetError::Empty));
    }
    assert!(TargetError::Empty.to_string().contains("NetID, PeerId, petname, ticket"));
}

#[test]
fn damaged_keys_are_errors_and_never_names() {
    let netid = key(1).net_id().to_string();
    for end in 2..netid.len() {
        assert!(matches!(parse(&netid[..end]), Err(TargetError::NetId(_))), "{end}");
    }
    assert_eq!(parse("N1x"), Err(TargetError::NetId(NetIdError::MixedCase)));
    let peer_id = key(1).peer_id().to_string();
    for end in 8..peer_id.len() {
        assert_eq!(parse(&peer_id[..end]), Err(TargetError::PeerId(PeerIdError::Damaged)));
    }
    assert!(matches!(parse(&peer_id.to_lowercase()), Err(TargetError::PeerId(_))));
    let hashed = hashed_peer_id().to_string();
    assert_eq!(parse(&hashed[..40]), Err(TargetError::PeerId(PeerIdError::Damaged)));
    assert_eq!(parse("netcom:x"), Err(TargetError::Ticket(TicketError::Cut)));
    assert_eq!(parse("Qmail").unwrap().to_string(), "qmail", "short, so a name");
}

#[test]
fn addresses_must_end_in_the_node_they_lead_to() {
    let address_error = |text: &str| match parse(text) {
        Err(TargetError::Address(error)) => error,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(address_error("/ip4/192.0.2.1/tcp/4001"), AddressError::NoPeer);
    let relay = format!("/memory/1/p2p/{}/p2p-circuit", key(3).peer_id());
    assert_eq!(address_error(&relay), AddressError::NoPeer);
    assert!(matches!(
        parse(&format!("{relay}/p2p/{}", key(2).peer_id())),
        Ok(Target::Address(peer_id, _)) if peer_id == key(2).peer_id()
    ));
    assert!(matches!(address_error("/"), AddressError::Malformed { .. }));
    assert!(matches!(address_error("/etc/passwd"), AddressError::Malformed { .. }));
    assert_eq!(address_error("/dns4/b\u{fc}cher/tcp/1"), AddressError::Ambiguous);
    assert_eq!(address_error(&"/udt".repeat(300)), AddressError::TooLong);
    // libp2p's own parser takes a key of small order as a PeerId.
    let weak =
        netcom_identity::PeerId::from_bytes(&[&[0, 36, 8, 1, 18, 32, 1][..], &[0; 31]].concat());
    let text = format!("/memory/1/p2p/{}", weak.unwrap());
    assert!(matches!(parse(&text), Err(TargetError::PeerId(PeerIdError::Key(_)))));
}

#[test]
fn petnames_are_letters_and_digits_of_any_script_in_small_letters() {
    for (text, name) in [
        ("Alice", "alice"),
        ("laptop-2", "laptop-2"),
        ("my_server", "my_server"),
        ("\u{41c}\u{430}\u{43c}\u{430}", "\u{43c}\u{430}\u{43c}\u{430}"),
        ("4", "4"),
    ] {
        let petname: Petname = text.parse().unwrap();
        assert_eq!(petname.as_str(), name);
        assert_eq!(parse(text), Ok(Target::Petname(petname)));
    }
}

#[test]
fn petnames_that_could_mean_something_else_are_refused() {
    assert_eq!("".parse::<Petname>(), Err(PetnameError::Empty));
    assert_eq!(petname_error("two words"), PetnameError::Character { character: ' ' });
    assert_eq!(petname_error("a@b"), PetnameError::Character { character: '@' });
    assert_eq!("a.b".parse::<Petname>(), Err(PetnameError::Character { character: '.' }));
    assert_eq!(petname_error("-v"), PetnameError::Dash);
    assert_eq!(petname_error(&"x".repeat(65)), PetnameError::TooLong);
    // A combining mark, and a letter that grows by one in lower case.
    assert!(matches!(petname_error("e\u{301}"), PetnameError::Character { .. }));
    assert!(matches!(petname_error("\u{130}"), PetnameError::Character { .. }));
    assert_eq!(petname_error(&"\u{23a}".repeat(32)), PetnameError::TooLong);
    for key_like in ["n1", "N1-server", "12D3KooX", "16uiu2", "Qmaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(key_like.parse::<Petname>(), Err(PetnameError::Key));
    }
}

#[test]
fn domains_are_ascii_host_names_with_a_dot() {
    let long = |label: usize| format!("{}.org", "x".repeat(label));
    for (text, name) in [
        ("example.org", "example.org"),
        ("Example.ORG.", "example.org"),
        ("a-b.c1.example.org", "a-b.c1.example.org"),
        ("xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("n1.example.org", "n1.example.org"),
        (&long(63), &long(63)),
    ] {
        assert_eq!(text.parse::<DomainName>().unwrap().as_str(), name);
        assert_eq!(parse(text).unwrap().to_string(), name);
    }
    assert_eq!(domain_error(&long(64)), DomainError::TooLong);
    assert_eq!(domain_error(&format!("{}org", "x.".repeat(130))), DomainError::TooLong);
    for empty in ["a..org", ".org", ".", "a..", "..", "..."] {
        assert_eq!(domain_error(empty), DomainError::EmptyLabel, "{empty}");
    }
    for dash in ["-a.org", "a-.org", "a.-org", "a.org-"] {
        assert_eq!(domain_error(dash), DomainError::Dash, "{dash}");
    }
    let character = |character| DomainError::Character { character };
    assert_eq!(domain_error("https://example.org"), character(':'));
    assert_eq!(domain_error("example.org:443"), character(':'));
    assert_eq!(domain_error("example.org/path"), character('/'));
    assert_eq!(domain_error("alice@example.org"), character('@'));
    assert_eq!(domain_error("_dns.example.org"), character('_'));
    assert_eq!(domain_error("b\u{fc}cher.example.org"), DomainError::NotAscii);
    assert_eq!("alone".parse::<DomainName>(), Err(DomainError::SingleLabel));
    assert_eq!("alone.".parse::<DomainName>(), Err(DomainError::SingleLabel));
}

#[test]
fn ip_addresses_in_any_spelling_are_no_names() {
    for text in ["192.0.2.1", "192.0.2.1.", "127.1", "0.0x7f", "1.2.3.0X7F", "example.0x", "a.1"] {
        assert_eq!(domain_error(text), DomainError::IpAddress, "{text}");
    }
    assert!(matches!(parse("::1"), Err(TargetError::Petname(_))));
    assert_eq!(domain_error("::ffff:1.2.3.4"), DomainError::IpAddress);
}

#[test]
fn reserved_top_level_names_are_refused() {
    for top in [
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "invalid",
        "lan",
        "local",
        "localhost",
        "mail",
        "onion",
        "test",
    ] {
        let error = DomainError::Reserved { top: top.to_owned() };
        assert_eq!(domain_error(&format!("alice.{top}")), error);
        assert_eq!(domain_error(&format!("Alice.{}.", top.to_uppercase())), error);
    }
    assert!(parse("example.com").is_ok() && parse("local.org").is_ok());
}

#[test]
fn names_under_a_directory_suffix_are_never_domains() {
    let suffixes = DirectorySuffixes::default().with(".Corp").unwrap().with("lab.example").unwrap();
    assert_eq!(suffixes.iter().collect::<Vec<_>>(), ["netcom", "corp", "lab.example"]);
    for (text, label, suffix) in [
        ("alice.netcom", "alice", "netcom"),
        ("Alice.NetCom.", "alice", "netcom"),
        ("a.b.netcom", "a.b", "netcom"),
        ("bob.corp", "bob", "corp"),
        ("carol.lab.example", "carol", "lab.example"),
    ] {
        let Ok(Target::Dotted(name)) = Target::parse(text, &suffixes) else { panic!("{text}") };
        let DottedName::Directory(name) = name else { panic!("{text}") };
        assert_eq!((name.label(), name.suffix()), (label, suffix));
        assert_eq!(name.as_str(), format!("{label}.{suffix}"));
        let refused = DomainError::Directory { suffix: suffix.to_owned() };
        assert_eq!(DomainName::parse(text, &suffixes), Err(refused));
    }
    let alone = DomainError::SuffixAlone { suffix: "lab.example".to_owned() };
    assert_eq!(Target::parse("lab.example", &suffixes), Err(TargetError::Domain(alone)));
    // A suffix ends at a dot: this one is a domain, or reserved.
    let outside = DottedName::parse("alice.notnetcom", &suffixes);
    assert!(matches!(outside, Ok(DottedName::Domain(_))));
    let reserved = DomainError::Reserved { top: "example".to_owned() };
    let result = Target::parse("prelab.example", &suffixes);
    assert_eq!(result, Err(TargetError::Domain(reserved)));
}

#[test]
fn the_longest_suffix_decides() {
    let suffixes = DirectorySuffixes::default().with("inner.netcom").unwrap();
    let name = DirectoryName::parse("alice.inner.netcom", &suffixes).unwrap().unwrap();
    assert_eq!((name.label(), name.suffix()), ("alice", "inner.netcom"));
}

#[test]
fn suffixes_are_names_and_their_number_is_capped() {
    let mut suffixes = DirectorySuffixes::default();
    assert!(suffixes.clone().with("a b").is_err());
    assert_eq!(suffixes.clone().with(""), Err(DomainError::EmptyLabel));
    for index in 0..15 {
        suffixes = suffixes.with(&format!("s{index}")).unwrap();
    }
    suffixes = suffixes.with("netcom").unwrap(); // there already
    assert_eq!(suffixes.with("one-more"), Err(DomainError::TooManySuffixes));
}

#[test]
fn a_name_with_dots_is_neither_a_key_nor_a_petname() {
    let suffixes = DirectorySuffixes::default();
    let parse = |text: &str| DottedName::parse(text, &suffixes);
    assert!(matches!(parse("alice.netcom"), Ok(DottedName::Directory(_))));
    assert!(matches!(parse("example.org"), Ok(DottedName::Domain(_))));
    for text in ["alice", &key(1).net_id().to_string(), &key(1).peer_id().to_string()] {
        assert_eq!(parse(text), Err(DomainError::SingleLabel));
    }
    assert!(parse("/memory/1").is_err());
}

#[test]
fn a_domain_knows_what_it_is_under() {
    let name: DomainName = "a.example.org".parse().unwrap();
    assert!(name.is_under("example.org") && name.is_under("a.example.org"));
    assert!(!name.is_under("ample.org") && !name.is_under("b.a.example.org"));
}

/// What an entity's name is for the Python package too, which runs the same file.
fn entity(text: &str) -> Result<(&'static str, String), String> {
    let target = parse(text).map_err(|error| error.to_string())?;
    let kind = match &target {
        Target::NetId(_) => "netid",
        Target::PeerId(peer) => {
            let netid = NetId::try_from(peer).map_err(|error| error.to_string())?;
            return Ok(("netid", netid.to_string()));
        }
        Target::Petname(_) => "petname",
        Target::Dotted(DottedName::Directory(_)) => "directory",
        Target::Dotted(DottedName::Domain(_)) => "domain",
        other => return Err(format!("{other} names no entity")),
    };
    Ok((kind, target.to_string()))
}

#[test]
fn names_mean_what_the_vectors_say() {
    let rows = vectors(include_str!("../../../../docs/protocol/vectors/names.json"));
    let (understood, refused) = (&rows["understood"], &rows["refused"]);
    let (understood, refused) = (understood.as_array().unwrap(), refused.as_array().unwrap());
    assert!(understood.len() + refused.len() >= 60);
    for row in understood {
        let expected = (text(row, "kind"), self::text(row, "name").to_owned());
        assert_eq!(entity(text(row, "text")), Ok(expected), "{row}");
    }
    for row in refused {
        let error = entity(text(row, "text")).expect_err(&row.to_string());
        let why = text(row, "why");
        assert!(!why.is_empty() && error.contains(why), "{row}: {error}");
    }
}
