use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use netcom::{Access, DataDir, DataDirUse, IdentityStore, Passphrase, Scope, Target, generate_key};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{World, alone, answer_as, ask, is_alone, within};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// In a process of its own, because whoever logs first decides for all what is logged.
#[tokio::test]
async fn no_secret_is_logged_or_shown_by_debug() {
    if is_alone() {
        return log_everything().await;
    }
    let output = alone("secrets::no_secret_is_logged_or_shown_by_debug").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn log_everything() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let world = World::new();
    let words = "an uncommon passphrase";
    let store = IdentityStore::new(DataDir::open(world.path("data")).unwrap());
    let passphrase = Passphrase::new(words).unwrap();
    let me = store.create(Some(&passphrase)).unwrap();
    let builder = world.within(Scope::Lan).data_dir(world.path("data"));
    let builder = builder.passphrase(passphrase.clone()).data_dir_use(DataDirUse::Exclusive);
    let mut shown = format!("{builder:?} {store:?} {passphrase:?}");
    let server = builder.build().await.unwrap();
    answer_as(&server, "hello");
    let guest_key = generate_key();
    let node = world.within(Scope::Lan).identity(guest_key.clone()).build().await.unwrap();
    let connection = within(node.connect_to_netid(me)).await.unwrap();
    ask(&connection).await;
    server.allow(Access::nobody());
    drop(within(connection.request("denied")).await.unwrap_err());
    let wrong = format!("{}/p2p/{}", "/ip4/127.0.0.1/tcp/1", generate_key().peer_id());
    drop(within(node.connect(wrong.parse::<Target>().unwrap())).await.unwrap_err());
    shown += &format!("{server:?} {connection:?} {:?}", server.commander());
    shown += &server.ticket().to_string();
    server.close().await;
    node.close().await;

    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.lines().count() > 5, "something is logged: {logged}");
    let node_key = std::fs::read_to_string(world.path("data").join("node.key")).unwrap();
    let stored = node_key.lines().find_map(|line| line.strip_prefix("secret: ed25519 "));
    let mut secrets = vec![words.to_owned(), stored.unwrap().to_owned()];
    for key in [store.load(Some(&passphrase)).unwrap(), guest_key] {
        let secret = key.export_secret();
        secrets.push(secret.iter().map(|byte| format!("{byte:02x}")).collect());
        secrets.push(format!("{:?}", secret.as_ref() as &[u8]));
    }
    for secret in secrets {
        assert!(!logged.contains(&secret) && !shown.contains(&secret));
    }
}
