use super::*;

const MS: Duration = Duration::from_millis(1);
const PACKET: u64 = 1200;

/// A path that answers one packet a millisecond, and what is told of it.
struct Path {
    signs: Signs,
    now: Instant,
    round_trip: Duration,
}

impl Path {
    fn new(round_trip: Duration) -> Self {
        let now = Instant::now();
        let mut path = Self { signs: Signs::new(now, PACKET as u16), now, round_trip };
        path.answer(500);
        path
    }

    fn answer(&mut self, packets: usize) {
        for _ in 0..packets {
            self.now += MS;
            self.signs.acknowledge(self.now, self.now - self.round_trip, PACKET);
        }
    }

    fn lose(&mut self) -> bool {
        self.signs.lose(PACKET)
    }
}

#[test]
fn one_of_a_thousand_lost_on_a_far_path_without_a_queue_is_no_congestion() {
    let mut path = Path::new(100 * MS);
    for _ in 0..20 {
        path.answer(1000);
        assert!(!path.lose());
    }
}

#[test]
fn a_loss_while_packets_wait_in_a_queue_is_congestion_until_that_is_gone() {
    let mut path = Path::new(100 * MS);
    path.round_trip += 20 * MS;
    path.answer(100);
    assert!(path.lose());
    path.round_trip -= 20 * MS;
    path.answer(1000);
    assert!(!path.lose());
}

#[test]
fn a_single_packet_that_came_late_is_no_queue() {
    let mut path = Path::new(100 * MS);
    path.round_trip += 200 * MS;
    path.answer(1);
    path.round_trip -= 200 * MS;
    path.answer(1);
    assert!(!path.lose());
}

#[test]
fn many_losses_are_congestion_with_or_without_a_queue() {
    let mut path = Path::new(100 * MS);
    path.answer(1000);
    let taken = (0..20).filter(|_| path.lose()).count();
    // Two rounds are two hundred packets: seven of those are three, and one of fifty.
    assert!((10..=15).contains(&taken), "{taken} of 20");
    path.answer(300);
    assert!(!path.lose(), "two rounds later they are forgotten");
}

#[test]
fn on_a_near_path_and_before_any_answer_every_loss_is_congestion() {
    let mut near = Path::new(2 * MS);
    assert!(near.lose());
    let mut new = Signs::new(Instant::now(), PACKET as u16);
    assert!(new.lose(PACKET));
}

#[test]
fn a_clock_that_stands_still_and_numbers_at_their_edges_are_survived() {
    let now = Instant::now();
    let mut signs = Signs::new(now, u16::MAX);
    for _ in 0..4 {
        signs.acknowledge(now, now + MS, u64::MAX / 16);
        signs.lose(u64::MAX / 16);
    }
}
