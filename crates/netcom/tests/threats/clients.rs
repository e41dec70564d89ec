//! T-22 and T-34: clients that come in crowds, and clients that take their time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use netcom::Limits;

use crate::support::{Attacker, MIB, PATIENCE, Tables, Victim, measured, within};

/// Handshakes a victim of these tests lets begin at once, in place of 1,024.
const HALF_OPEN: usize = 64;

fn narrow(handshake: Duration) -> Limits {
    let mut limits = Limits::default();
    limits.handshakes.half_open = HALF_OPEN;
    limits.handshakes.retry_above = HALF_OPEN / 4;
    limits.handshakes.handshake = handshake;
    limits
}

/// How the longest ClientHello begins that fits into a record.
const CLIENT_HELLO_BEGINS: &[u8] = &[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];

#[test]
fn t_22_a_crowd_of_half_open_handshakes_pushes_out_itself() {
    let victim = Victim::with(t_22_a_crowd_of_half_open_handshakes_pushes_out_itself, |it| {
        it.limits(narrow(PATIENCE))
    });
    let Some(mut victim) = victim else { return };
    victim.is_well();
    victim.forget_peak();
    let (before, descriptors) = (victim.resident(), victim.descriptors());
    let mut crowd = Vec::new();
    for _ in 0..10 * HALF_OPEN {
        let mut stranger = TcpStream::connect(victim.tcp).unwrap();
        stranger.write_all(CLIENT_HELLO_BEGINS).unwrap();
        crowd.push(stranger);
    }
    let tables = victim.settles(|tables| tables.half_open == HALF_OPEN as u64);
    assert_eq!(tables.panics, 0);
    // Each place is one descriptor; those that made room are closed as soon as they are told.
    let began = Instant::now();
    while victim.descriptors() > descriptors + HALF_OPEN {
        assert!(began.elapsed() < PATIENCE, "{} descriptors", victim.descriptors());
    }
    victim.is_well();
    let grown = victim.peak().saturating_sub(before);
    measured(format_args!("T-22 {} strangers: {} KiB", crowd.len(), grown >> 10));
    // Debug builds on busy machines had 8.6 MiB.
    assert!(grown <= 12 * MIB, "{grown}");
}

#[tokio::test]
async fn t_22_a_crowd_of_quic_initials_is_asked_for_its_addresses() {
    let victim = Victim::with(t_22_a_crowd_of_quic_initials_is_asked_for_its_addresses, |it| {
        it.limits(narrow(PATIENCE))
    });
    let Some(mut victim) = victim else { return };
    victim.serves().await;
    let initials = initials(500).await;
    let sockets = victim.descriptors();
    victim.forget_peak();
    let before = victim.resident();
    let spoofed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 0;
    for initial in &initials {
        spoofed.send_to(initial, victim.quic).unwrap();
        sent += initial.len();
        // What is not read would be lost, and is not the victim's doing.
        if victim.tables().half_open > HALF_OPEN as u64 {
            panic!("more than may begin");
        }
    }
    victim.serves().await;
    assert!(victim.tables().half_open <= HALF_OPEN as u64);
    assert!(victim.descriptors() <= sockets + 8, "a socket for each Initial");
    spoofed.set_nonblocking(true).unwrap();
    let (mut answered, mut packet) = (0, [0; 2048]);
    while let Ok(count) = spoofed.recv(&mut packet) {
        answered += count;
    }
    let grown = victim.peak().saturating_sub(before);
    measured(format_args!(
        "T-22 {} Initials of {sent} B: {answered} B back, {} KiB",
        initials.len(),
        grown >> 10
    ));
    assert!(answered <= 3 * sent, "amplified: {answered} for {sent}");
    // 1 to 4 MiB as a rule; a debug build on a busy machine had 8.03.
    assert!(grown <= 12 * MIB, "{grown}");
}

/// First packets of as many connections, taken where nobody answers.
async fn initials(count: usize) -> Vec<Vec<u8>> {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = nobody.local_addr().unwrap();
    let attacker = Attacker::new();
    let mut packets = Vec::new();
    let mut packet = [0; 2048];
    for _ in 0..count {
        let connecting = attacker.begin_quic(to);
        let length = within(nobody.recv(&mut packet)).await.unwrap();
        packets.push(packet[..length].to_vec());
        drop(connecting);
        // What is left of this one: its goodbye and its second packet.
        while nobody.try_recv(&mut packet).is_ok() {}
    }
    packets
}

/// A client that says something and then too little.
struct Slow {
    stream: TcpStream,
    /// Bytes said, of those it says one by one.
    said: Option<usize>,
}

impl Slow {
    fn new(kind: usize, to: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(to).unwrap();
        let said = [None, Some(1), Some(CLIENT_HELLO_BEGINS.len())][kind % 3];
        stream.write_all(&CLIENT_HELLO_BEGINS[..said.unwrap_or(0)]).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, said }
    }

    /// Says one byte more, if it is one that drips, and tells whether it was cut.
    fn drip(&mut self) -> bool {
        if let Some(said) = &mut self.said {
            let byte = CLIENT_HELLO_BEGINS.get(*said).copied().unwrap_or(0);
            *said += 1;
            if self.stream.write_all(&[byte]).is_err() {
                return true;
            }
        }
        match self.stream.read(&mut [0; 8]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn t_34_slow_clients_are_cut_at_the_deadline_however_much_they_drip() {
    let deadline = Duration::from_millis(500);
    let victim =
        Victim::with(t_34_slow_clients_are_cut_at_the_deadline_however_much_they_drip, |it| {
            it.limits(narrow(deadline))
        });
    let Some(mut victim) = victim else { return };
    victim.is_well();
    let descriptors = victim.descriptors();
    let began = Instant::now();
    let mut clients: Vec<Slow> = (0..48).map(|kind| Slow::new(kind, victim.tcp)).collect();
    // They drip for as long as they are let, which a limit on silence alone would allow for ever.
    let mut cut_after = Vec::new();
    while !clients.is_empty() {
        clients.retain_mut(|client| {
            let is_cut = client.drip();
            if is_cut {
                cut_after.push(began.elapsed());
            }
            !is_cut
        });
        assert!(began.elapsed() < PATIENCE, "{} clients go on", clients.len());
        // The pace of the dripping; what is waited for is the cut.
        std::thread::sleep(Duration::from_millis(5));
    }
    let last = cut_after.last().unwrap();
    assert!(*last >= deadline / 2, "{last:?}: for another reason than the deadline");
    assert!(*last <= deadline + Duration::from_secs(2), "{last:?}: long after the deadline");
    measured(format_args!("T-34 48 slow clients were cut within {last:?} at {deadline:?}"));
    let none = |tables: Tables| tables.half_open == 0;
    victim.settles(none);
    while victim.descriptors() > descriptors {
        assert!(began.elapsed() < PATIENCE, "{} descriptors", victim.descriptors());
    }
    victim.is_well();
}

#[test]
fn t_34_peers_that_never_say_hello_or_never_read_hold_up_nobody() {
    let victim = Victim::of(t_34_peers_that_never_say_hello_or_never_read_hold_up_nobody);
    let Some(mut victim) = victim else { return };
    victim.is_well();
    let began = Instant::now();
    let mut mute: Vec<_> = (0..8).map(|_| Attacker::new().link(victim.peer, victim.tcp)).collect();
    // The longest request there may be, whose answer of the same length is never read.
    victim.forget_peak();
    let before = victim.resident();
    let mut deaf = Attacker::new().join(victim.peer, victim.tcp);
    for index in 0..60 {
        let mut request = deaf.data(index, "netcom/request/1", 0, &[1; 16_000]);
        if let netcom_session::wire::Frame::Data(data) = &mut request {
            (data.fin, data.fin_errors) = (true, true);
        }
        deaf.send(&request);
    }
    victim.is_well();
    let grown = victim.peak().saturating_sub(before);
    measured(format_args!("T-34 a peer that reads nothing: {} KiB", grown >> 10));
    assert!(grown <= 16 * MIB, "{grown}");
    // Without a HELLO a link lives for five seconds.
    for link in &mut mute {
        assert_eq!(link.next_frame(), None);
    }
    let took = began.elapsed();
    measured(format_args!("T-34 links without a HELLO were cut within {took:?}"));
    assert!(took < Duration::from_secs(10), "{took:?}");
    victim.is_well();
}
