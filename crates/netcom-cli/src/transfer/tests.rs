//! Transfers over a pair of pipes in memory that can be cut at any byte.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use indicatif::ProgressBar;
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    message::{self, Empty, Entries, Entry, Kind, Message},
    receiver::Progress,
    *,
};

/// One direction of a stream.
struct Pipe {
    from: mpsc::Receiver<Bytes>,
}

struct PipeEnd {
    to: Option<mpsc::Sender<Bytes>>,
    /// After so many bytes the pipe breaks.
    left: Arc<AtomicU64>,
}

fn pipe(left: u64) -> (PipeEnd, Pipe) {
    let (to, from) = mpsc::channel(2);
    (PipeEnd { to: Some(to), left: Arc::new(AtomicU64::new(left)) }, Pipe { from })
}

impl Source for Pipe {
    async fn take(&mut self) -> Result<Option<Bytes>, TransferError> {
        Ok(self.from.recv().await)
    }
}

impl Sink for PipeEnd {
    async fn give(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        let broken = || TransferError::stream(Failure::failed("cut", "the pipe broke"), true);
        let size = bytes.len() as u64;
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(size), Ordering::Relaxed);
        if size > left {
            let arrived = bytes.slice(..usize::try_from(left).unwrap());
            if let Some(to) = self.to.take() {
                let _ = to.send(arrived).await;
            }
            return Err(broken());
        }
        match &self.to {
            Some(to) => to.send(bytes).await.map_err(|_| broken()),
            None => Err(broken()),
        }
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        self.to = None;
        Ok(())
    }
}

#[derive(Default)]
struct Counts {
    resumed: AtomicU64,
    received: AtomicU64,
}

impl Progress for Counts {
    fn started(&self, _: &Manifest, resumed: u64) {
        self.resumed.store(resumed, Ordering::Relaxed);
    }

    fn moved(&self, bytes: u64) {
        self.received.store(bytes, Ordering::Relaxed);
    }
}

const WHOLE: u64 = u64::MAX;
const WINDOW: u64 = 1 << 20;

/// A sender's and a receiver's folder, on which attempts are made.
struct Pair {
    from: TempDir,
    to: TempDir,
    log: TempDir,
    receiver: Arc<Receiver>,
    counts: Arc<Counts>,
}

impl Pair {
    fn new() -> Self {
        let to = tempfile::tempdir().unwrap();
        let receiver = receiver(to.path());
        let counts = Arc::default();
        let folder = || tempfile::tempdir().unwrap();
        Self { from: folder(), to, log: folder(), receiver, counts }
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.from.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// One attempt; the way to the receiver breaks after so many bytes.
    async fn attempt(
        &self,
        name: &str,
        cut: u64,
    ) -> (Result<Sent, TransferError>, Result<Incoming, TransferError>, u64) {
        let (to_receiver, at_receiver) = pipe(cut);
        let (to_sender, at_sender) = pipe(WHOLE);
        let taking = self.take("alice", at_receiver, to_sender);
        let scan = Arc::new(scan(&self.from.path().join(name), None, false).unwrap());
        let id = scan.manifest.id("");
        let mut log = SentLog::open(self.log.path(), &id).unwrap();
        let sent = sender(scan).run(at_sender, to_receiver, &mut log).await;
        let total = log.sent();
        if sent.is_ok() {
            log.remove();
        }
        (sent, taking.await.unwrap(), total)
    }

    fn take(
        &self,
        from: &'static str,
        source: Pipe,
        sink: impl Sink + 'static,
    ) -> JoinHandle<Result<Incoming, TransferError>> {
        let (receiver, counts) = (self.receiver.clone(), self.counts.clone());
        tokio::spawn(async move { receiver.receive(from, source, sink, &*counts).await })
    }

    /// What a sender of our own making is answered, to the end.
    async fn answers(&self, messages: &[Message]) -> Vec<Message> {
        let mut bytes = BytesMut::new();
        for message in messages {
            message.encode(&mut bytes);
        }
        self.answers_to(bytes.freeze()).await
    }

    async fn answers_to(&self, bytes: Bytes) -> Vec<Message> {
        let (mut to_receiver, at_receiver) = pipe(WHOLE);
        let (to_sender, at_sender) = pipe(WHOLE);
        let taking = self.take("mallory", at_receiver, to_sender);
        to_receiver.give(bytes).await.unwrap();
        to_receiver.finish().await.unwrap();
        let mut reader = frames::FrameReader::new(at_sender);
        let mut answers = Vec::new();
        while let Ok(Some(frames::Frame::Message(message))) = reader.next().await {
            answers.push(message);
        }
        assert!(taking.await.unwrap().is_err());
        answers
    }

    fn received(&self) -> Vec<String> {
        let entries = fs::read_dir(self.to.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".netcom-partial")
            .collect();
        names.sort();
        names
    }

    fn partial(&self) -> usize {
        fs::read_dir(self.to.path().join(".netcom-partial")).unwrap().count()
    }
}

fn receiver(to: &Path) -> Arc<Receiver> {
    Arc::new(Receiver::new(Place::Folder(Folder::open(to).unwrap())))
}

fn sender(scan: Arc<Scan>) -> Sender {
    let patience = Duration::from_secs(20);
    Sender { scan, window: WINDOW, limit: None, patience, bar: ProgressBar::hidden() }
}

/// Bytes that repeat nowhere.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn a_file_arrives_whole_with_its_name_and_mode() {
    use std::os::unix::fs::PermissionsExt;
    let pair = Pair::new();
    for (size, name) in [(0, "empty"), (1, "one"), (5 << 20, "large.bin")] {
        pair.write(name, &noise(size));
        let mode = fs::Permissions::from_mode(0o740);
        fs::set_permissions(pair.from.path().join(name), mode).unwrap();
        let (sent, incoming, count) = pair.attempt(name, WHOLE).await;
        let sent = sent.unwrap();
        assert_eq!(sent, Sent { name: name.to_owned(), bytes: size as u64, resumed: 0 });
        assert_eq!(count, size as u64);
        assert_eq!(incoming.unwrap().received, size as u64);
        assert!(fs::read(pair.to.path().join(name)).unwrap() == noise(size));
        let mode = fs::metadata(pair.to.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o700, 0o700);
    }
    assert_eq!(pair.partial(), 0);
}

#[tokio::test]
async fn a_folder_arrives_with_all_that_is_in_it_and_nothing_before_the_end() {
    let pair = Pair::new();
    for index in 0..150 {
        pair.write(&format!("top/a/{index}/file"), &noise(index * 997));
    }
    fs::create_dir_all(pair.from.path().join("top/empty/inside")).unwrap();
    let (sent, _, _) = pair.attempt("top", 2 << 20).await;
    assert!(sent.unwrap_err().is_retryable);
    assert_eq!(pair.received(), [""; 0]);
    let (sent, incoming, count) = pair.attempt("top", WHOLE).await;
    let (sent, incoming) = (sent.unwrap(), incoming.unwrap());
    assert!(incoming.resumed > 0 && incoming.resumed == sent.resumed);
    assert!(count - sent.bytes <= WINDOW);
    assert_eq!(pair.received(), ["top"]);
    for index in 0..150 {
        let file = pair.to.path().join(format!("top/a/{index}/file"));
        assert!(fs::read(file).unwrap() == noise(index * 997));
    }
    assert!(pair.to.path().join("top/empty/inside").is_dir());
    assert_eq!(pair.partial(), 0);
}

#[tokio::test]
async fn a_file_cut_off_anywhere_goes_on_and_at_most_the_window_is_sent_twice() {
    let size = 6_u64 << 20;
    for cut in [0, 3, 60, 200, 1 << 20, (3 << 20) + 77, size, size + 120, size + 300] {
        let pair = Pair::new();
        pair.write("film", &noise(6 << 20));
        let (first, _, _) = pair.attempt("film", cut).await;
        let (sent, incoming, count) = match first {
            Ok(_) => continue,
            Err(_) => pair.attempt("film", WHOLE).await,
        };
        let sent = sent.unwrap();
        assert_eq!(incoming.unwrap().name, "film");
        assert_eq!(sent.bytes, size);
        assert!(count - size <= WINDOW, "cut at {cut}: {} were sent twice", count - size);
        assert!(fs::read(pair.to.path().join("film")).unwrap() == noise(6 << 20));
        assert_eq!(pair.received(), ["film"], "cut at {cut}");
    }
}

#[tokio::test]
async fn many_cuts_together_cost_at_most_a_window_each() {
    let pair = Pair::new();
    pair.write("film", &noise(8 << 20));
    let mut cuts = 0;
    let count = loop {
        let (sent, _, count) = pair.attempt("film", 1_500_000).await;
        if sent.is_ok() {
            break count;
        }
        cuts += 1;
        assert!(cuts < 30, "no progress");
    };
    assert!(cuts >= 3 && count - (8 << 20) <= cuts * WINDOW);
    assert!(fs::read(pair.to.path().join("film")).unwrap() == noise(8 << 20));
}

#[tokio::test]
async fn a_source_that_changed_is_sent_anew_and_never_mixed() {
    let pair = Pair::new();
    pair.write("film", &noise(4 << 20));
    assert!(pair.attempt("film", 2 << 20).await.0.is_err());
    let mut other = noise(4 << 20);
    other[5] ^= 1;
    pair.write("film", &other);
    let (sent, incoming, _) = pair.attempt("film", WHOLE).await;
    assert_eq!(sent.unwrap().name, "film");
    assert!(incoming.unwrap().received == 4 << 20);
    assert!(fs::read(pair.to.path().join("film")).unwrap() == other);
}

#[tokio::test]
async fn a_damaged_part_is_found_and_replaced() {
    let pair = Pair::new();
    pair.write("film", &noise(4 << 20));
    assert!(pair.attempt("film", 3 << 20).await.0.is_err());
    let partial = pair.to.path().join(".netcom-partial");
    let home = fs::read_dir(partial).unwrap().next().unwrap().unwrap().path();
    let part = home.join("files/0.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes[100] ^= 1;
    fs::write(&part, bytes).unwrap();
    assert!(pair.attempt("film", WHOLE).await.0.is_ok());
    assert!(fs::read(pair.to.path().join("film")).unwrap() == noise(4 << 20));
}

#[tokio::test]
async fn a_taken_name_is_left_alone_and_a_free_one_is_found() {
    let pair = Pair::new();
    fs::write(pair.to.path().join("a.txt"), "mine").unwrap();
    std::os::unix::fs::symlink("/nowhere", pair.to.path().join("a (1).txt")).unwrap();
    pair.write("a.txt", b"yours");
    assert_eq!(pair.attempt("a.txt", WHOLE).await.0.unwrap().name, "a (2).txt");
    assert_eq!(fs::read(pair.to.path().join("a.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(pair.to.path().join("a (2).txt")).unwrap(), b"yours");
}

#[tokio::test]
async fn a_receiver_that_died_after_the_rename_is_not_sent_everything_again() {
    let pair = Pair::new();
    pair.write("film", &noise(3 << 20));
    // Everything but the farewells arrives.
    assert!(pair.attempt_cut_at_the_end(false).await.is_err());
    assert_eq!(pair.received(), ["film"]);
    let (sent, incoming, count) = pair.attempt("film", WHOLE).await;
    let sent = sent.unwrap();
    assert_eq!((sent.name.as_str(), sent.resumed, count), ("film", 3 << 20, 0));
    assert_eq!(incoming.unwrap().received, 0);
    assert_eq!(pair.received(), ["film"]);
    assert_eq!(pair.partial(), 0);
}

#[tokio::test]
async fn a_receiver_that_leaves_without_hearing_the_goodbye_has_the_file_all_the_same() {
    let pair = Pair::new();
    pair.write("film", &noise(100));
    let sent = pair.attempt_cut_at_the_end(true).await.unwrap();
    assert_eq!((sent.name.as_str(), sent.bytes), ("film", 100));
    assert_eq!(pair.received(), ["film"]);
}

impl Pair {
    /// Sends `film`; the way to the receiver breaks when that says `Done`, which arrives or not.
    async fn attempt_cut_at_the_end(&self, is_told: bool) -> Result<Sent, TransferError> {
        let (to_receiver, at_receiver) = pipe(WHOLE);
        let (to_sender, at_sender) = pipe(WHOLE);
        let left = to_receiver.left.clone();
        let cutting = Cutting { inner: to_sender, left, is_told };
        let taking = self.take("alice", at_receiver, cutting);
        let scan = Arc::new(scan(&self.from.path().join("film"), None, false).unwrap());
        let sent = sender(scan).run(at_sender, to_receiver, &mut SentLog::in_memory()).await;
        let _ = taking.await.unwrap();
        sent
    }
}

/// Breaks the other direction as soon as `Done` is about to go, and this one unless it may.
struct Cutting {
    inner: PipeEnd,
    left: Arc<AtomicU64>,
    is_told: bool,
}

impl Sink for Cutting {
    async fn give(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        if bytes[0] == 13 {
            self.left.store(0, Ordering::Relaxed);
            if !self.is_told {
                self.inner.to = None;
            }
        }
        self.inner.give(bytes).await
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        self.inner.finish().await
    }
}

impl Pair {
    fn assert_refused(answers: &[Message], code: &str) {
        match answers.last() {
            Some(Message::Failed(failed)) => assert_eq!(failed.code, code, "{failed:?}"),
            other => panic!("{other:?}"),
        }
    }
}

fn offer(name: &str, kind: Kind, entries: Vec<Entry>) -> Vec<Message> {
    let bytes = entries.iter().map(|entry| entry.size).sum();
    let count = entries.len() as u64;
    let kind = kind.into();
    vec![
        Message::Offer(message::Offer {
            version: 1,
            name: name.into(),
            kind,
            entries: count,
            bytes,
        }),
        Message::Entries(Entries { entries }),
        Message::OfferEnd(Empty {}),
    ]
}

fn entry(path: &str, size: u64) -> Entry {
    Entry { path: path.into(), is_folder: false, size, mode: 0o644 }
}

#[tokio::test]
async fn names_that_leave_the_folder_are_refused_and_nothing_is_written() {
    let pair = Pair::new();
    for name in ["../evil", "/etc/evil", "..", "a/../../b", "NUL", "C:\\evil", ".netcom-partial"] {
        let answers = pair.answers(&offer(name, Kind::File, vec![entry("", 1)])).await;
        Pair::assert_refused(&answers, "name_refused");
        let answers = pair.answers(&offer("top", Kind::Folder, vec![entry(name, 1)])).await;
        Pair::assert_refused(&answers, "name_refused");
    }
    let twice = vec![entry("a", 1), entry("a", 1)];
    let answers = pair.answers(&offer("top", Kind::Folder, twice)).await;
    Pair::assert_refused(&answers, "name_refused");
    assert_eq!(pair.received(), [""; 0]);
    assert_eq!(pair.partial(), 0);
}

#[tokio::test]
async fn a_sender_that_breaks_the_protocol_is_told_and_leaves_nothing_behind() {
    let pair = Pair::new();
    let file = |index, offset| Message::File(message::File { index, offset });
    let bad_hash = Message::FileEnd(message::FileEnd { size: 0, hash: vec![0; 32] });
    let broken: Vec<(Vec<Message>, &str)> = vec![
        (vec![file(1, 0)], "transfer_protocol"),
        (vec![file(0, 7)], "transfer_protocol"),
        (vec![bad_hash.clone()], "transfer_protocol"),
        (vec![file(0, 0), file(0, 0)], "transfer_protocol"),
        (vec![Message::Finished(Empty {})], "transfer_protocol"),
        (vec![Message::Go(Empty {})], "transfer_protocol"),
        (vec![file(0, 0), bad_hash], "not_verified"),
    ];
    for (steps, code) in broken {
        let mut messages = offer("x", Kind::File, vec![entry("", 1)]);
        messages.extend(steps);
        Pair::assert_refused(&pair.answers(&messages).await, code);
    }
    Pair::assert_refused(&pair.answers(&[Message::Bye(Empty {})]).await, "transfer_protocol");
    assert_eq!(pair.received(), [""; 0]);
}

#[tokio::test]
async fn an_end_that_claims_more_bytes_than_can_be_counted_is_refused() {
    let pair = Pair::new();
    let mut messages = offer("x", Kind::Folder, vec![entry("a", 1), entry("b", 1)]);
    messages.push(Message::File(message::File { index: 0, offset: 0 }));
    let mut bytes = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    message::put_head(message::DATA, 1, &mut bytes);
    bytes.extend_from_slice(b"a");
    let hash = blake3::hash(b"a").as_bytes().to_vec();
    for message in [
        Message::FileEnd(message::FileEnd { size: 1, hash: hash.clone() }),
        Message::File(message::File { index: 1, offset: 0 }),
        Message::FileEnd(message::FileEnd { size: u64::MAX, hash }),
    ] {
        message.encode(&mut bytes);
    }
    Pair::assert_refused(&pair.answers_to(bytes.freeze()).await, "not_verified");
}

#[tokio::test]
async fn a_receiver_that_is_done_before_it_has_everything_is_not_waited_for() {
    let pair = Pair::new();
    pair.write("film", &noise(3 << 20));
    let scan = Arc::new(scan(&pair.from.path().join("film"), None, false).unwrap());
    let (mut to_sender, at_sender) = pipe(WHOLE);
    let mut bytes = BytesMut::new();
    for message in [Message::Go(Empty {}), Message::Done(message::Done { name: "film".to_owned() })]
    {
        message.encode(&mut bytes);
    }
    to_sender.give(bytes.freeze()).await.unwrap();
    // The receiver takes whatever comes and says nothing more.
    let (to_receiver, mut at_receiver) = pipe(WHOLE);
    let taking = tokio::spawn(async move { while let Ok(Some(_)) = at_receiver.take().await {} });
    let sent = sender(scan).run(at_sender, to_receiver, &mut SentLog::in_memory()).await;
    assert_eq!(sent.unwrap_err().failure.code, "transfer_protocol");
    taking.await.unwrap();
}

#[tokio::test]
async fn more_data_than_was_offered_is_refused() {
    let pair = Pair::new();
    let mut bytes = BytesMut::new();
    for message in offer("x", Kind::File, vec![entry("", 3)]) {
        message.encode(&mut bytes);
    }
    Message::File(message::File { index: 0, offset: 0 }).encode(&mut bytes);
    message::put_head(message::DATA, 4, &mut bytes);
    bytes.extend_from_slice(b"four");
    Pair::assert_refused(&pair.answers_to(bytes.freeze()).await, "transfer_protocol");
}

#[tokio::test]
async fn a_file_larger_than_the_disk_is_refused_before_any_of_it_comes() {
    let pair = Pair::new();
    let answers = pair.answers(&offer("x", Kind::File, vec![entry("", u64::MAX)])).await;
    Pair::assert_refused(&answers, "disk_full");
}

#[tokio::test]
async fn a_sender_that_begins_anew_takes_over_from_itself() {
    let pair = Pair::new();
    pair.write("film", &noise(3 << 20));
    // The first stream stays open and silent after a part.
    let (mut to_receiver, at_receiver) = pipe(WHOLE);
    let (to_sender, mut at_sender) = pipe(WHOLE);
    let taking = pair.take("alice", at_receiver, to_sender);
    let scan = scan(&pair.from.path().join("film"), None, false).unwrap();
    let mut bytes = BytesMut::new();
    for message in scan.manifest.messages() {
        message.encode(&mut bytes);
    }
    Message::File(message::File { index: 0, offset: 0 }).encode(&mut bytes);
    message::put_head(message::DATA, 1 << 20, &mut bytes);
    bytes.extend_from_slice(&noise(1 << 20));
    to_receiver.give(bytes.freeze()).await.unwrap();
    while pair.counts.received.load(Ordering::Relaxed) < 1 << 20 {
        at_sender.take().await.unwrap().unwrap();
    }
    let (sent, ..) = pair.attempt("film", WHOLE).await;
    assert_eq!(sent.unwrap().resumed, 1 << 20);
    let first = taking.await.unwrap().unwrap_err();
    assert_eq!(first.failure.code, "superseded");
}

#[tokio::test]
async fn links_inside_a_folder_are_named_or_left_out() {
    let pair = Pair::new();
    pair.write("top/file", b"x");
    std::os::unix::fs::symlink("/etc/passwd", pair.from.path().join("top/link")).unwrap();
    let top = pair.from.path().join("top");
    let failure = scan(&top, None, false).unwrap_err();
    assert_eq!(failure.code, "not_a_file");
    assert!(failure.message.contains("link"));
    let found = scan(&top, None, true).unwrap();
    assert_eq!((found.manifest.entries().len(), found.skipped), (1, 1));
}

#[tokio::test]
async fn a_source_that_becomes_shorter_fails_the_transfer_on_both_sides() {
    let pair = Pair::new();
    pair.write("film", &noise(3 << 20));
    let scan = Arc::new(scan(&pair.from.path().join("film"), None, false).unwrap());
    pair.write("film", &noise(1 << 20));
    let (to_receiver, at_receiver) = pipe(WHOLE);
    let (to_sender, at_sender) = pipe(WHOLE);
    let taking = pair.take("alice", at_receiver, to_sender);
    let sent = sender(scan).run(at_sender, to_receiver, &mut SentLog::in_memory()).await;
    assert_eq!(sent.unwrap_err().failure.code, "source_changed");
    assert!(taking.await.unwrap().unwrap_err().failure.message.contains("shorter"));
    assert_eq!(pair.received(), [""; 0]);
}
