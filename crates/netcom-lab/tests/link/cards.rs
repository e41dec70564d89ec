//! Ends with several network cards.

use std::{collections::BTreeSet, io::ErrorKind, net::IpAddr, time::Duration};

use netcom_lab::{Condition, LinkSpec, Pair, Side, with_links, with_pair};
use tokio::net::UdpSocket;

use crate::support::{
    datagram_round_trip, datagram_round_trip_from, echo_datagrams, echo_streams, streams,
};

const SPEC: LinkSpec = LinkSpec::new(Duration::from_millis(5));

#[test]
fn each_link_carries_streams_while_another_is_cut() {
    with_links(&[SPEC; 2], |pair| {
        for cut in [0, 1] {
            pair.links()[cut].set(Condition::Down);
            for link in [0, 1] {
                for ip in pair.right().addresses(link) {
                    let (server, _echo) = echo_streams(pair.right(), ip);
                    let passes = pair.left().run(async || streams(server).await);
                    assert_eq!(passes, link != cut, "{ip} with link {cut} cut");
                }
            }
            pair.links()[cut].set(Condition::Up);
        }
    });
}

#[test]
fn the_left_address_says_which_link_both_directions_take() {
    with_links(&[SPEC; 3], |pair| {
        let links = 0..pair.links().len();
        for (from, to) in links.clone().flat_map(|from| links.clone().map(move |to| (from, to))) {
            for (left, right) in
                pair.left().addresses(from).into_iter().zip(pair.right().addresses(to))
            {
                let before = links.clone().map(|link| packets(pair, link)).collect::<Vec<_>>();
                let (server, _echo) = echo_datagrams(pair.right(), right);
                let asked = pair.left().run(async || datagram_round_trip_from(left, server).await);
                assert!(asked.is_some(), "from {left} to {right}");
                let (client, _echo) = echo_datagrams(pair.left(), left);
                let asked =
                    pair.right().run(async || datagram_round_trip_from(right, client).await);
                assert!(asked.is_some(), "from {right} to {left}");
                for link in links.clone() {
                    let [there, back] = packets(pair, link);
                    let carried = [there - before[link][0], back - before[link][1]];
                    let expected = if link == from { [2, 2] } else { [0, 0] };
                    assert_eq!(carried, expected, "link {link} between {left} and {right}");
                }
            }
        }
    });
}

#[test]
fn links_of_a_pair_differ_as_they_were_asked_to() {
    let slow = LinkSpec::new(Duration::from_millis(40));
    with_links(&[SPEC, slow], |pair| {
        for (link, spec) in [SPEC, slow].into_iter().enumerate() {
            let right = pair.right().addresses(link)[0];
            let (server, _echo) = echo_datagrams(pair.right(), right);
            let took = pair.left().run(async || datagram_round_trip(server).await);
            assert!(took.is_some_and(|took| took >= spec.round_trip()), "{took:?}");
        }
    });
}

#[test]
fn a_machine_whose_card_is_down_takes_another_one_to_the_same_address() {
    with_links(&[SPEC; 2], |pair| {
        for address in pair.right().addresses(0) {
            let (server, _echo) = echo_datagrams(pair.right(), address);
            let ask = || pair.left().run(async || datagram_round_trip(server).await);
            assert!(ask().is_some());
            let before = packets(pair, 1);
            pair.left().interface_down(0).unwrap();
            assert!(ask().is_some(), "{address} over the other card");
            assert_eq!(packets(pair, 1), before.map(|packets| packets + 1));
            pair.left().interface_up(0).unwrap();
            assert!(ask().is_some());
            assert_eq!(packets(pair, 1), before.map(|packets| packets + 1), "back on the first");
        }
    });
}

#[test]
fn nothing_reaches_a_card_that_is_down_and_all_of_it_again_when_it_is_up() {
    with_links(&[SPEC; 2], |pair| {
        for (link, ip) in
            [0, 1].into_iter().flat_map(|link| pair.right().addresses(link).map(|ip| (link, ip)))
        {
            let (server, _echo) = echo_streams(pair.right(), ip);
            let passes = || pair.left().run(async || streams(server).await);
            assert!(passes());
            pair.right().interface_down(link).unwrap();
            assert!(!passes(), "{ip}");
            assert!(pair.links()[link].counters(Side::Left).lost_device > 0);
            pair.right().interface_up(link).unwrap();
            assert!(passes(), "{ip} again");
        }
    });
}

#[test]
fn a_card_that_changes_its_addresses_is_found_at_the_new_ones_alone() {
    for links in [1, 2] {
        with_links(&vec![SPEC; links], |pair| {
            for link in 0..links {
                for _ in 0..2 {
                    change_and_check(pair, link);
                }
            }
        });
    }
}

#[test]
fn a_card_that_is_down_has_its_new_addresses_when_it_comes_back() {
    with_pair(SPEC, |pair| {
        let old = pair.left().addresses(0);
        pair.left().interface_down(0).unwrap();
        pair.left().change_address(0).unwrap();
        pair.left().interface_up(0).unwrap();
        for (old, new) in old.into_iter().zip(pair.left().addresses(0)) {
            assert_ne!(old, new);
            let (server, _echo) = echo_datagrams(pair.left(), new);
            assert!(pair.right().run(async || datagram_round_trip(server).await).is_some());
        }
    });
}

fn change_and_check(pair: &Pair, link: usize) {
    let old = pair.left().addresses(link);
    let servers = old.map(|ip| echo_datagrams(pair.left(), ip));
    pair.left().change_address(link).unwrap();
    let new = pair.left().addresses(link);
    let all: BTreeSet<IpAddr> = old.into_iter().chain(new).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    for (server, _echo) in servers {
        let asked = pair.right().run(async || datagram_round_trip(server).await);
        assert!(asked.is_none(), "{server} is nobody's");
        let bound = pair.left().run(async || UdpSocket::bind((server.ip(), 0)).await);
        assert_eq!(bound.map_err(|error| error.kind()).err(), Some(ErrorKind::AddrNotAvailable));
    }
    for (left, right) in new.into_iter().zip(pair.right().addresses(link)) {
        let (server, _echo) = echo_datagrams(pair.left(), left);
        assert!(pair.right().run(async || datagram_round_trip(server).await).is_some());
        let (server, _echo) = echo_datagrams(pair.right(), right);
        let asked = pair.left().run(async || datagram_round_trip_from(left, server).await);
        assert!(asked.is_some(), "{left} asks {right}");
    }
}

/// How many packets arrived over a link from the left and from the right.
fn packets(pair: &Pair, link: usize) -> [u64; 2] {
    Side::BOTH.map(|side| pair.links()[link].counters(side).packets)
}
