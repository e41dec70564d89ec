//! A handshake in memory, for the fuzz target of records.

use netcom_identity::SecretKey;

use super::{
    Arc, Connection, Opener, Sealer, Step, TlsSettings, UnbufferedClientConnection,
    UnbufferedServerConnection, tls,
};

/// What a handshake leaves behind at the dialer and at the listener.
pub(crate) fn joined() -> [(Sealer, Opener); 2] {
    let [dialer, listener] = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]));
    let settings = |key| TlsSettings::new(key, &[]).expect("a certificate");
    let (mut config, _) = settings(&dialer).client(listener.peer_id());
    config.enable_secret_extraction = true;
    let client = UnbufferedClientConnection::new(Arc::new(config), tls::server_name());
    let (mut config, _) = settings(&listener).server();
    config.enable_secret_extraction = true;
    let server = UnbufferedServerConnection::new(Arc::new(config));
    let (mut client, mut server) = (client.expect("settings"), server.expect("settings"));
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    loop {
        let is_done = advance(&mut client, &mut to_client, &mut to_server);
        if advance(&mut server, &mut to_server, &mut to_client) && is_done {
            break;
        }
    }
    [client.into_records().expect("keys"), server.into_records().expect("keys")]
}

/// Goes on until more has to be received, or all is done.
fn advance(connection: &mut impl Connection, incoming: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    loop {
        let (taken, step) = connection.step(incoming, out);
        incoming.drain(..taken);
        match step {
            Step::Again | Step::Send => {}
            Step::Receive => return false,
            Step::Done => return true,
            Step::Failed(error) => panic!("two of us do not understand each other: {error}"),
        }
    }
}
