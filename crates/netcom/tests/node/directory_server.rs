//! A directory on loopback, over HTTPS with a certificate of its own, that gives what it is told.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use data_encoding::BASE64;
use netcom::{
    DirectoryEntry, EntityDescription, EntityDocument, NetId, SecretKey, UnixTime, generate_key,
    names::{Answer, DirectoryAnswer},
};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// A directory that runs for as long as the test does.
pub(crate) struct DirectoryServer {
    key: SecretKey,
    /// Where it is.
    pub(crate) url: String,
    /// Its certificate, in PEM.
    pub(crate) authority: String,
    pages: Pages,
}

/// Answers by their paths.
type Pages = Arc<Mutex<BTreeMap<String, String>>>;

impl DirectoryServer {
    pub(crate) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let secret = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let text = BASE64.encode(&certificate);
        let authority = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], secret)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let pages = Pages::default();
        let served = Arc::clone(&pages);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                // Who hangs up in the middle has what it wanted.
                drop(answer(socket, &config, &served));
            }
        });
        Self { key: generate_key(), url, authority, pages }
    }

    pub(crate) fn key(&self) -> NetId {
        self.key.net_id()
    }

    /// Lets a name lead to the entity of a key, in its entry and document number `sequence`.
    pub(crate) fn list(&self, name: &str, entity: &SecretKey, sequence: u64) {
        let mut description = EntityDescription::new(sequence, now().plus_seconds(3600));
        description.names.push(name.to_owned());
        let document = EntityDocument::sign(entity, description).unwrap();
        self.put(name, Answer { document, earlier: Vec::new() }, sequence);
    }

    /// Takes a document as its entity gives it.
    pub(crate) fn take(&self, name: &str, page: &str) {
        self.put(name, Answer::from_json(page.as_bytes(), now()).unwrap(), 1);
    }

    fn put(&self, name: &str, answer: Answer, sequence: u64) {
        let Answer { document, earlier } = answer;
        let (issued, expires) = (now(), now().plus_seconds(3600));
        let entry = DirectoryEntry::sign(&self.key, name, document, sequence, issued, expires);
        let answer = DirectoryAnswer { entry: entry.unwrap(), earlier };
        self.pages.lock().unwrap().insert(format!("/v1/names/{name}"), answer.to_json());
    }
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn answer(mut socket: TcpStream, config: &Arc<ServerConfig>, pages: &Pages) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(Arc::clone(config));
    let mut connection = connection.map_err(std::io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let page = pages.lock().unwrap().get(path).cloned();
    let status = if page.is_some() { "200 OK" } else { "404 Not Found" };
    let page = page.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", page.len());
    stream.write_all((head + &page).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}
