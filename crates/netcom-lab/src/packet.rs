//! The little that the link has to know of IP packets: which protocol they carry, and what a
//! reset of their TCP connection looks like.

/// UDP, as IP numbers its protocols.
pub(crate) const UDP: u8 = 17;
/// TCP.
pub(crate) const TCP: u8 = 6;

/// The parts of an IP packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) protocol: u8,
    source: &'a [u8],
    destination: &'a [u8],
    payload: &'a [u8],
}

/// A TCP connection that ends by force.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Resets {
    /// For who sent the segment.
    pub(crate) back: Vec<u8>,
    /// For whom the segment was meant, unless nothing can have begun there.
    pub(crate) on: Option<Vec<u8>>,
}

impl<'a> Packet<'a> {
    /// Takes a packet apart, `None` if it is not whole.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let header = usize::from(bytes.first()? & 0xf) * 4;
                Some(Self {
                    protocol: *bytes.get(9)?,
                    source: bytes.get(12..16)?,
                    destination: bytes.get(16..20)?,
                    payload: bytes.get(header..)?,
                })
            }
            6 => {
                let next = *bytes.get(6)?;
                // RFC 8200, section 4.5: what a fragment is of stands in its own header.
                let is_fragment = next == 44;
                let (protocol, header) =
                    if is_fragment { (*bytes.get(40)?, 48) } else { (next, 40) };
                Some(Self {
                    protocol,
                    source: bytes.get(8..24)?,
                    destination: bytes.get(24..40)?,
                    payload: bytes.get(header..)?,
                })
            }
            _ => None,
        }
    }

    /// What ends the connection of this segment at both sides (RFC 9293, section 3.10.7.1).
    /// `None` for what is no TCP segment, and for a reset.
    pub(crate) fn resets(&self) -> Option<Resets> {
        if self.protocol != TCP {
            return None;
        }
        let number = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
        };
        let (sequence, acknowledged) = (number(4)?, number(8)?);
        let (offset, flags) = (*self.payload.get(12)? >> 4, *self.payload.get(13)?);
        if flags & RST != 0 {
            return None;
        }
        let data = self.payload.len().checked_sub(usize::from(offset) * 4)?;
        let is_numbered = |flag| u32::from(flags & flag != 0);
        let length = u32::try_from(data).ok()? + is_numbered(SYN) + is_numbered(FIN);
        let back = match flags & ACK {
            0 => self.answer(0, sequence.wrapping_add(length), RST | ACK),
            _ => self.answer(acknowledged, 0, RST),
        };
        let on = (flags & ACK != 0).then(|| self.instead(sequence, acknowledged, RST | ACK));
        Some(Resets { back: back?, on: on.flatten() })
    }

    /// A segment without data from the destination of this one to its source.
    fn answer(&self, sequence: u32, acknowledged: u32, flags: u8) -> Option<Vec<u8>> {
        let ports = [self.payload.get(2..4)?, self.payload.get(..2)?];
        Some(segment([self.destination, self.source], ports, sequence, acknowledged, flags))
    }

    /// A segment without data in place of this one.
    fn instead(&self, sequence: u32, acknowledged: u32, flags: u8) -> Option<Vec<u8>> {
        let ports = [self.payload.get(..2)?, self.payload.get(2..4)?];
        Some(segment([self.source, self.destination], ports, sequence, acknowledged, flags))
    }
}

/// A whole packet with a TCP segment without data, from the first of each pair to the second.
fn segment(
    addresses: [&[u8]; 2],
    ports: [&[u8]; 2],
    sequence: u32,
    acknowledged: u32,
    flags: u8,
) -> Vec<u8> {
    let mut tcp = ports.concat();
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    // Five words of header, no window, checksum and urgent pointer to come and none.
    tcp.extend([5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    let length = [0, tcp.len() as u8];
    let checksum = checksum(&[&addresses.concat()[..], &[0, TCP], &length, &tcp].concat());
    tcp.splice(16..18, checksum);
    let mut packet = match addresses[0].len() {
        4 => {
            let length = (20 + tcp.len()) as u8;
            // Not to be fragmented, 64 hops.
            vec![0x45, 0, 0, length, 0, 0, 0x40, 0, 64, TCP, 0, 0]
        }
        _ => vec![0x60, 0, 0, 0, 0, tcp.len() as u8, TCP, 64],
    };
    packet.extend(addresses.concat());
    if addresses[0].len() == 4 {
        let checksum = self::checksum(&packet);
        packet.splice(10..12, checksum);
    }
    packet.extend(tcp);
    packet
}

/// The internet's checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [10, 77, 0, 1];
    const THERE: [u8; 4] = [10, 77, 0, 2];

    fn sent(flags: u8) -> Vec<u8> {
        segment([&HERE, &THERE], [&[0, 1], &[0, 2]], 1000, 2000, flags)
    }

    #[test]
    fn a_segment_has_checksums_that_come_out_even() {
        let packet = sent(ACK);
        assert_eq!(checksum(&packet[..20]), [0, 0]);
        let pseudo = [&packet[12..20], &[0, TCP, 0, 20], &packet[20..]].concat();
        assert_eq!(checksum(&pseudo), [0, 0]);
    }

    #[test]
    fn a_reset_continues_what_each_end_has_seen() {
        let packet = sent(ACK);
        let resets = Packet::parse(&packet).unwrap().resets().unwrap();
        let back = segment([&THERE, &HERE], [&[0, 2], &[0, 1]], 2000, 0, RST);
        let on = segment([&HERE, &THERE], [&[0, 1], &[0, 2]], 1000, 2000, RST | ACK);
        assert_eq!(resets, Resets { back, on: Some(on) });
    }

    #[test]
    fn a_connection_that_begins_is_refused_to_who_begins_it_alone() {
        let packet = sent(SYN);
        let resets = Packet::parse(&packet).unwrap().resets().unwrap();
        let back = segment([&THERE, &HERE], [&[0, 2], &[0, 1]], 0, 1001, RST | ACK);
        assert_eq!(resets, Resets { back, on: None });
    }

    #[test]
    fn resets_and_broken_packets_are_answered_by_nothing() {
        let packet = sent(RST);
        assert_eq!(Packet::parse(&packet).unwrap().resets(), None);
        let packet = sent(ACK);
        for length in 0..packet.len() {
            let resets = Packet::parse(&packet[..length]).and_then(|packet| packet.resets());
            assert_eq!(resets, None, "{length}");
        }
    }
}
