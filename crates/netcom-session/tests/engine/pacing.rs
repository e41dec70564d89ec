//! Limits of rate.

use std::time::Duration;

use netcom_session::{Event, Rate};

use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

fn rate(text: &str) -> Option<Rate> {
    Some(text.parse().expect("a rate"))
}

/// A stream that A writes to without end, and how many bytes of it have come to B.
struct Flood(Transfer);

impl Flood {
    fn new(pair: &mut Pair, handle: Handle) -> Self {
        let stream = open(pair, A, handle);
        Self(Transfer::new(A, [handle, 0], stream, pattern(64 << 20, 1)))
    }

    fn bytes_in(&mut self, pair: &mut Pair, time: Duration) -> usize {
        let before = self.0.received.len();
        let is_over = pair.run_until(time, |pair| self.0.advance(pair));
        assert!(!is_over, "there is always more");
        self.0.received.len() - before
    }
}

#[test]
fn data_goes_at_the_rate_that_was_set_and_at_full_speed_without() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let now = pair.now;
    pair.session(A, handle).limit_rate(rate("2M"), now);
    let mut flood = Flood::new(&mut pair, handle);
    flood.bytes_in(&mut pair, SECOND);
    for _ in 0..3 {
        let bytes = flood.bytes_in(&mut pair, SECOND);
        assert!((1_900_000..2_100_000).contains(&bytes), "{bytes}");
    }
    let now = pair.now;
    pair.session(A, handle).limit_rate(None, now);
    let bytes = flood.bytes_in(&mut pair, SECOND);
    assert!(bytes > 10_000_000, "{bytes}");
}

#[test]
fn a_limit_holds_back_data_and_neither_answers_nor_the_other_direction() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let now = pair.now;
    pair.session(A, handle).limit_rate(rate("1k"), now);
    let mut slow = Flood::new(&mut pair, handle);
    slow.bytes_in(&mut pair, SECOND);
    let link = pair.session(A, handle).active_link().expect("a link");
    let now = pair.now;
    pair.session(B, 0).ping(link, now).expect("a link");
    let stream = open(&mut pair, B, 0);
    let mut other = Transfer::new(B, [handle, 0], stream, pattern(1 << 20, 2));
    let is_done = pair.run_until(SECOND, |pair| other.advance(pair));
    assert!(is_done, "what B sends is not limited");
    let is_pong = |(_, event): &(Handle, Event)| matches!(event, Event::Pong { .. });
    assert_eq!(pair.hosts[B].events.iter().filter(|event| is_pong(event)).count(), 1);
}

#[test]
fn a_limited_session_sleeps_until_data_may_go_again() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let now = pair.now;
    pair.session(A, handle).limit_rate(rate("100k"), now);
    let mut flood = Flood::new(&mut pair, handle);
    flood.bytes_in(&mut pair, SECOND);
    let looks = std::cell::Cell::new(0);
    pair.run_until(SECOND, |pair| {
        looks.set(looks.get() + 1);
        flood.0.advance(pair)
    });
    // Seven frames a second, each with its acknowledgement and its credit.
    assert!((7..100).contains(&looks.get()), "{}", looks.get());
}
