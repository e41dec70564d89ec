//! Records what peers send, to make something worse of it.

use std::{
    io::{ErrorKind, Read as _},
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::forge::Dice;

/// Sees all packets of the namespace it was made in.
pub(crate) struct Tap(Socket);

/// A datagram and who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) source: SocketAddrV4,
    pub(crate) payload: Vec<u8>,
}

impl Tap {
    /// Begins to record, inside the namespace of the calling thread.
    pub(crate) fn new() -> Self {
        // packet(7): packets without the header of the link, of all protocols, sent ones included.
        let all = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(all)).unwrap();
        socket.set_recv_buffer_size(16 << 20).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self(socket)
    }

    /// Up to `most` of the first datagrams that were sent to an address over UDP.
    pub(crate) fn recorded(mut self, target: SocketAddrV4, most: usize) -> Vec<Recorded> {
        let mut recorded = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        let begun = Instant::now();
        while recorded.len() < most && begun.elapsed() < Duration::from_secs(10) {
            match self.0.read(&mut buffer) {
                Ok(length) => recorded.extend(Recorded::of(&buffer[..length], target)),
                // Nothing more is there.
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        recorded
    }
}

impl Recorded {
    fn of(packet: &[u8], target: SocketAddrV4) -> Option<Self> {
        let is_udp = packet.first()? >> 4 == 4 && *packet.get(9)? == UDP;
        let header = usize::from(packet.first()? & 0xf) * 4;
        let address = |at: usize| -> Option<Ipv4Addr> {
            Some(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?.into())
        };
        let port = |at: usize| -> Option<u16> {
            let bytes = packet.get(header + at..header + at + 2)?;
            Some(u16::from_be_bytes(bytes.try_into().ok()?))
        };
        let is_meant = is_udp && SocketAddrV4::new(address(16)?, port(2)?) == target;
        let source = SocketAddrV4::new(address(12)?, port(0)?);
        let payload = packet.get(header + 8..)?.to_vec();
        is_meant.then_some(Self { source, payload })
    }
}

/// Bytes made worse: some bits the other way, cut, longer, or exactly what they were.
pub(crate) fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    match dice.below(8) {
        0 => {} // a repetition
        1 => bytes.truncate(dice.below(bytes.len())),
        2 => {
            let before = bytes.len();
            bytes.resize(before + 1 + dice.below(100), 0);
            dice.fill(&mut bytes[before..]);
        }
        3 => {
            // What is sent looks new, for nobody has seen its end.
            let from = dice.below(bytes.len());
            dice.fill(&mut bytes[from..]);
        }
        _ => {
            for _ in 0..1 + dice.below(8) {
                let at = dice.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
}

const ETH_P_ALL: u16 = 3;
const UDP: u8 = 17;
