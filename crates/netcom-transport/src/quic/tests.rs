use std::net::Ipv4Addr;

use netcom_identity::SecretKey;
use rustls::crypto::aws_lc_rs::kx_group;

use super::*;
use crate::{DialError, DialOptions, Transport, TransportConfig};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

/// A QUIC server whose TLS a test changes, and what dialling it leads to.
async fn dial_server(change: impl FnOnce(&mut rustls::ServerConfig)) -> Result<Link, DialError> {
    let tls = TlsSettings::new(&key(2), &[]).unwrap();
    let (mut config, _) = tls.server();
    change(&mut config);
    let crypto = QuicServerConfig::try_from(config).unwrap();
    let server = ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = Address::Quic(endpoint.local_addr().unwrap()).to_multiaddr();
    let accepting = tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await;
        if let Ok(connection) = connection {
            connection.closed().await;
        }
    });
    let (dialer, _accepted) = Transport::new(TransportConfig::new(key(1))).unwrap();
    let result = dialer.dial(&key(2).peer_id(), &[address], DialOptions::default()).await;
    if result.is_err() {
        accepting.await.unwrap();
    }
    result
}

#[tokio::test]
async fn a_server_of_another_protocol_denies_us_by_name() {
    let result = dial_server(|config| config.alpn_protocols = vec![b"libp2p".to_vec()]).await;
    match result.unwrap_err() {
        DialError::Denied { alert, .. } => assert_eq!(alert, "no application protocol"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_hybrid_group_is_spoken_over_quic_too() {
    let result = dial_server(|config| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
        let resolver = Arc::clone(&config.cert_resolver);
        *config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
    });
    assert_eq!(result.await.unwrap().peer(), key(2).peer_id());
}

#[tokio::test]
async fn a_client_of_another_protocol_is_counted_and_turned_away() {
    let (listener, _accepted) = Transport::new(TransportConfig::new(key(2))).unwrap();
    let address = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
    let address = listener.listen(&address).await.unwrap();
    let socket = Address::parse(&address).unwrap().0.socket().unwrap();
    let (mut config, _) = TlsSettings::new(&key(1), &[]).unwrap().client(key(2).peer_id());
    config.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = Arc::new(QuicClientConfig::try_from(config).unwrap());
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = quinn::ClientConfig::new(crypto);
    let connecting = endpoint.connect_with(config, socket, SERVER_NAME).unwrap();
    assert!(connecting.await.is_err());
    while listener.stats().failed_handshakes == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn closing_frees_the_socket() {
    let (listener, _accepted) = Transport::new(TransportConfig::new(key(2))).unwrap();
    let any = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
    let address = listener.listen(&any).await.unwrap();
    listener.close().await;
    assert!(listener.listen_addresses().is_empty());
    // quinn's task gives the socket up at its next turn.
    let again = async {
        while listener.listen(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    time::timeout(Duration::from_secs(30), again).await.unwrap();
}

#[test]
fn a_socket_dials_where_its_packets_get_to() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert!(reaches(at("0.0.0.0:1"), at("192.0.2.1:2")));
    assert!(reaches(at("127.0.0.1:1"), at("127.0.0.2:2")));
    assert!(!reaches(at("127.0.0.1:1"), at("192.0.2.1:2")));
    assert!(!reaches(at("192.0.2.9:1"), at("127.0.0.1:2")));
    assert!(!reaches(at("[::]:1"), at("192.0.2.1:2")));
}
