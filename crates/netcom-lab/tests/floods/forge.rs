//! Packets of nobody: valid first packets of QUIC, sent from addresses that are not the sender's.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Side, Tls13CipherSuite,
    crypto::aws_lc_rs::{self, cipher_suite::TLS13_AES_128_GCM_SHA256, kx_group::X25519},
    pki_types::ServerName,
    quic::{self, Keys, Version},
    version::TLS13,
};
use socket2::{Domain, Protocol, Socket, Type};

/// A source of numbers that look random, the same in each run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

/// Makes first packets of QUIC clients that do not exist.
pub(crate) struct Initials {
    hello: Vec<u8>,
    dice: Dice,
}

/// Sends UDP packets with any source address.
pub(crate) struct Spoofer {
    socket: Socket,
    target: SocketAddrV4,
    packet: Vec<u8>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Vigna's splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// An address of somebody in the internet.
    pub(crate) fn address(&mut self) -> SocketAddrV4 {
        let [first, rest @ ..] = (self.next() as u32).to_be_bytes();
        // From 11 to 126: neither private as 10 nor loopback.
        let address = Ipv4Addr::new(11 + first % 116, rest[0], rest[1], rest[2]);
        SocketAddrV4::new(address, 1024 + (self.next() % 60_000) as u16)
    }
}

impl Initials {
    pub(crate) fn new(seed: u64) -> Self {
        let (name, config) = client();
        // RFC 9000, section 18.2: initial_source_connection_id, which a server insists on.
        let parameters = [&[0x0f, SOURCE.len() as u8], &SOURCE[..]].concat();
        let mut hello = Vec::new();
        quic::ClientConnection::new(config, Version::V1, name, parameters)
            .unwrap()
            .write_hs(&mut hello);
        Self { hello, dice: Dice::new(seed) }
    }

    /// A packet that asks for another connection (RFC 9000, section 17.2.2).
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut destination = [0; 8];
        self.dice.fill(&mut destination);
        let length = DATAGRAM - HEADER;
        let mut packet = vec![0xc3, 0, 0, 0, 1, destination.len() as u8];
        packet.extend(destination);
        packet.push(SOURCE.len() as u8);
        packet.extend(SOURCE);
        // No token; a length of two bytes, which counts the packet number too; the number 0.
        packet.push(0);
        packet.extend((0x4000 | (length + NUMBER) as u16).to_be_bytes());
        packet.extend([0; NUMBER]);
        let mut payload = vec![0x06, 0];
        payload.extend((0x4000 | self.hello.len() as u16).to_be_bytes());
        payload.extend(&self.hello);
        // The rest is padding.
        payload.resize(length - TAG, 0);
        let suite =
            TLS13_AES_128_GCM_SHA256.tls13().and_then(Tls13CipherSuite::quic_suite).unwrap();
        let (suite, keys) = (suite.suite, suite.quic);
        let keys = Keys::initial(Version::V1, suite, keys, &destination, Side::Client);
        let tag = keys.local.packet.encrypt_in_place(0, &packet, &mut payload).unwrap();
        packet.extend(&payload);
        packet.extend(tag.as_ref());
        // RFC 9001, section 5.4.2: the sample begins where a number of four bytes would end.
        let (header, body) = packet.split_at_mut(HEADER);
        let (first, number) = header.split_at_mut(HEADER - NUMBER);
        keys.local.header.encrypt_in_place(&body[..SAMPLE], &mut first[0], number).unwrap();
        packet
    }
}

impl Spoofer {
    /// Opens one inside the namespace of the calling thread.
    pub(crate) fn new(target: SocketAddrV4) -> Self {
        let raw = Some(Protocol::from(IPPROTO_RAW));
        let socket = Socket::new(Domain::IPV4, Type::RAW, raw).unwrap();
        Self { socket, target, packet: Vec::new() }
    }

    /// Sends a datagram; false if the kernel had no room for it.
    pub(crate) fn send(&mut self, source: SocketAddrV4, datagram: &[u8]) -> bool {
        let length = (8 + datagram.len()) as u16;
        self.packet.clear();
        // RFC 791, section 3.1; the kernel fills in the length, the identification and the
        // checksum.
        self.packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0]);
        self.packet.extend(source.ip().octets());
        self.packet.extend(self.target.ip().octets());
        self.packet.extend(source.port().to_be_bytes());
        self.packet.extend(self.target.port().to_be_bytes());
        self.packet.extend(length.to_be_bytes());
        // RFC 768: no checksum.
        self.packet.extend([0, 0]);
        self.packet.extend(datagram);
        match self.socket.send_to(&self.packet, &self.target.into()) {
            Ok(_) => true,
            Err(error) => {
                let is_full = error.kind() == io::ErrorKind::WouldBlock
                    || error.raw_os_error() == Some(ENOBUFS);
                assert!(is_full, "{error}");
                false
            }
        }
    }
}

/// The first flight of a client over TCP.
pub(crate) fn client_hello() -> Vec<u8> {
    let (name, config) = client();
    let mut flight = Vec::new();
    ClientConnection::new(config, name).unwrap().write_tls(&mut flight).unwrap();
    flight
}

fn client() -> (ServerName<'static>, Arc<ClientConfig>) {
    // One small group, so that the hello fits into one packet.
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"netcom/1".to_vec()];
    config.enable_sni = false;
    (ServerName::try_from("netcom.invalid").unwrap(), Arc::new(config))
}

const SOURCE: [u8; 8] = *b"stranger";
const NUMBER: usize = 4;
const HEADER: usize = 6 + 8 + 1 + SOURCE.len() + 1 + 2 + NUMBER;
const TAG: usize = 16;
const SAMPLE: usize = 16;
/// RFC 9000, section 14.1: the least a first datagram may have.
const DATAGRAM: usize = 1200;
const UDP: u8 = 17;
const IPPROTO_RAW: i32 = 255;
const ENOBUFS: i32 = 105;
