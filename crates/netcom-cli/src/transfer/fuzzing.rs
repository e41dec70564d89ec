//! What the fuzz targets of transfers run.

mod script;

use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use indicatif::ProgressBar;
use tokio::runtime::{Builder, Runtime};

use self::script::{HonestSender, Script, failed, pattern, put_data};
use super::{
    Folder, Manifest, Place, Progress, Receiver, Scan, Sender, SentLog, Sink, Source,
    TransferError,
    frames::{Frame, FrameReader},
    journal,
    message::{Empty, Entry, File, FileEnd, Have, Kept, Kind, Message, Part},
    receiver::offer,
};

/// Reads `input` as what a sender says, up to the end of its offer.
///
/// # Panics
///
/// When it depends on how the bytes arrive, or a message or a manifest changes when it is written
/// and read.
#[must_use]
pub fn transfer(input: &[u8]) -> bool {
    let at_once = wait(frames(Pipe::whole(input)));
    assert_eq!(at_once, wait(frames(Pipe::in_pieces(input))));
    for frame in &at_once.0 {
        let Frame::Message(message) = frame else { continue };
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        assert_eq!(wait(frames(Pipe::whole(&bytes))), (vec![frame.clone()], true));
    }
    match wait(offer(&mut FrameReader::new(Pipe::whole(input)))) {
        Ok(manifest) => {
            check_manifest(&manifest);
            true
        }
        Err(error) => {
            let _ = error.failure.to_string();
            false
        }
    }
}

/// Reads `input` as the journal of verified entries.
///
/// # Panics
///
/// When an entry that is written down is not read.
#[must_use]
pub fn journal(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    let entries: Vec<_> = text.lines().filter_map(journal::parse).collect();
    for entry in &entries {
        assert_eq!(journal::parse(entry.to_line().trim_end()), Some(*entry));
    }
    !entries.is_empty()
}

/// Takes a transfer from a sender that does what `input` says, in up to three attempts.
///
/// # Panics
///
/// When something is taken that is not what was offered, or lands outside of the folder, or the
/// receiver fails for a reason of its own.
#[must_use]
pub fn receive(input: &[u8]) -> bool {
    let outside = tempfile::tempdir().expect("a folder");
    let inside = outside.path().join("in");
    let folder = Folder::open(&inside).expect("a folder");
    let mut script = Script { rest: input };
    let (manifest, said) = script.offer();
    let mut sender = HonestSender::default();
    let mut is_done = false;
    for _ in 0..MAX_ATTEMPTS {
        let mut bytes = said.clone();
        while script.act(&mut sender, &mut bytes) {}
        let receiver = Receiver::new(Place::Folder(folder.clone()));
        let mut answers = Answers::default();
        let runtime = runtime();
        let taken = runtime.block_on(receiver.receive(
            "fuzzer",
            Pipe::whole(&bytes),
            &mut answers,
            &Nobody,
        ));
        // Threads of an attempt that failed may still be at work.
        drop(runtime);
        check_answers(&answers.0);
        match taken {
            Ok(incoming) => {
                check_taken(&inside.join(&incoming.name), manifest.as_ref());
                is_done = true;
            }
            Err(error) => assert_ne!(error.failure.code, "internal", "{error:?}"),
        }
        sender.begin_again();
        if script.rest.is_empty() {
            break;
        }
    }
    for entry in fs::read_dir(&inside).expect("the folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a name of ours");
        assert!(name == ".netcom-partial" || name.starts_with("top"), "{name}");
    }
    assert_eq!(fs::read_dir(outside.path()).expect("the folder").count(), 1, "it was left");
    is_done
}

/// Sends two files to a receiver that says what `input` says.
///
/// # Panics
///
/// When the sender believes what cannot be, or fails for a reason of its own.
#[must_use]
pub fn send(input: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let (short, long) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&short, pattern(0, SHORT)).expect("a file");
    fs::write(&long, pattern(1, LONG)).expect("a file");
    let entry = |path: &str, size| Entry { path: path.into(), is_folder: false, size, mode: 0o644 };
    let entries = vec![entry("a", SHORT as u64), entry("b", LONG as u64)];
    let manifest = Manifest::new("top", Kind::Folder, entries).expect("a manifest");
    let scan = Arc::new(Scan { manifest, paths: vec![short, long], skipped: 0 });
    let bar = ProgressBar::hidden();
    let patience = Duration::from_secs(20);
    let sender = Sender { scan, window: WINDOW, limit: None, patience, bar };
    let mut script = Script { rest: input };
    let mut bytes = BytesMut::new();
    while script.answer(&mut bytes) {}
    let mut answers = Answers::default();
    let mut log = SentLog::in_memory();
    let runtime = runtime();
    let sent = runtime.block_on(sender.run(Pipe::whole(&bytes), &mut answers, &mut log));
    drop(runtime);
    check_answers(&answers.0);
    match &sent {
        Ok(sent) => {
            assert_eq!(sent.bytes, (SHORT + LONG) as u64);
            assert!(sent.resumed <= sent.bytes);
        }
        Err(error) => assert_ne!(error.failure.code, "internal", "{error:?}"),
    }
    sent.is_ok()
}

/// First inputs: the target and what it runs.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let file = |path: &str| Entry { path: path.into(), is_folder: false, size: 3, mode: 0o644 };
    let folder = Entry { path: "d".into(), is_folder: true, size: 0, mode: 0o755 };
    let tree = Manifest::new("top", Kind::Folder, vec![file("d/b"), folder, file("a")]);
    let one = Manifest::new("top", Kind::File, vec![file("")]);
    let mut seeds = Vec::new();
    for manifest in [tree, one] {
        let mut bytes = BytesMut::new();
        for message in manifest.expect("a manifest").messages() {
            message.encode(&mut bytes);
        }
        seeds.push(("transfer", bytes.to_vec()));
    }
    let mut said = BytesMut::new();
    put_data(b"abc", &mut said);
    for message in [
        Message::File(File { index: 3, offset: 9 }),
        Message::FileEnd(FileEnd { size: 9, hash: vec![2; 32] }),
        Message::Have(Have { parts: vec![Part { index: 0, bytes: 3, hash: vec![1; 32] }] }),
        Message::Kept(Kept { bytes: 1 << 40 }),
        failed(),
        Message::Bye(Empty {}),
    ] {
        message.encode(&mut said);
    }
    seeds.push(("transfer", said.to_vec()));
    let line =
        |index| journal::VerifiedEntry { index, size: 9, hash: blake3::hash(b"x") }.to_line();
    seeds.push(("journal", format!("{}{}2 9 abcd", line(1), line(70)).into_bytes()));
    // A file of 7 bytes in one go; in two attempts; a folder; a stream; an end that is too large.
    for input in [
        &[0, 0, 1, 0, 2, 0, 0, 1, 7, 3, 5, 7][..],
        &[0, 0, 1, 0, 2, 0, 0, 1, 3, 10, 0, 1, 1, 9, 3, 5, 7],
        &[1, 0, 2, 0, 1, 1, 1, 0, 0, 1, 1, 3, 0, 4, 1, 1, 3, 5, 7],
        &[2, 0, 1, 0, 0, 0, 0, 1, 200, 1, 90, 3, 5, 7],
        &[1, 0, 2, 0, 1, 1, 1, 0, 0, 1, 1, 3, 0, 4, 4, 2],
    ] {
        seeds.push(("receive", input.to_vec()));
    }
    for input in [&[1, 7, 3][..], &[0, 0, 5, 1, 1, 2, 200, 7, 3], &[0, 1, 100, 0, 1, 3], &[5]] {
        seeds.push(("send", input.to_vec()));
    }
    seeds
}

fn check_manifest(manifest: &Manifest) {
    let mut bytes = BytesMut::new();
    for message in manifest.messages() {
        message.encode(&mut bytes);
    }
    let again = wait(offer(&mut FrameReader::new(Pipe::whole(&bytes))));
    let again = again.map_err(|error| error.failure).expect("what is written is read");
    assert_eq!(again, *manifest);
    assert_eq!(again.id("a"), manifest.id("a"));
    for entry in manifest.entries() {
        let path = Path::new("/in").join(&entry.path);
        assert!(path.components().all(|part| part != std::path::Component::ParentDir));
        assert!(path.starts_with("/in"), "{path:?} leaves the folder");
    }
}

/// What lies under its final name is what its sender has.
fn check_taken(path: &Path, manifest: Option<&Manifest>) {
    let manifest = manifest.expect("a manifest that is taken is one");
    for (index, entry) in manifest.entries().iter().enumerate() {
        let path = if entry.path.is_empty() { path.to_owned() } else { path.join(&entry.path) };
        if entry.is_folder {
            assert!(path.is_dir());
            continue;
        }
        let content = fs::read(path).expect("the file is there");
        assert!(manifest.kind() == Kind::Stream || content.len() as u64 == entry.size);
        assert!(content == pattern(index, content.len()), "it is another file");
    }
}

/// What was said is whole frames, and what is kept only grows.
fn check_answers(bytes: &[u8]) {
    let (frames, is_whole) = wait(frames(Pipe::whole(bytes)));
    assert!(is_whole);
    let kept = frames.iter().filter_map(|frame| match frame {
        Frame::Message(Message::Kept(kept)) => Some(kept.bytes),
        _ => None,
    });
    assert!(kept.is_sorted());
}

/// All frames, with the pieces of data joined, and whether the bytes end well.
async fn frames(source: Pipe) -> (Vec<Frame>, bool) {
    let mut reader = FrameReader::new(source);
    let mut frames: Vec<Frame> = Vec::new();
    loop {
        match reader.next().await {
            Ok(Some(Frame::Data(bytes))) => match frames.last_mut() {
                Some(Frame::Data(last)) => *last = [&last[..], &bytes].concat().into(),
                _ => frames.push(Frame::Data(bytes)),
            },
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}

/// Bytes that are all there, in pieces of one size.
struct Pipe {
    rest: Bytes,
    piece: usize,
}

impl Pipe {
    fn whole(bytes: &[u8]) -> Self {
        Self { rest: Bytes::copy_from_slice(bytes), piece: usize::MAX }
    }

    /// Byte by byte if there are few; many would take longer than that finds.
    fn in_pieces(bytes: &[u8]) -> Self {
        Self { piece: 1 + bytes.len() / PIECES, ..Self::whole(bytes) }
    }
}

impl Source for Pipe {
    async fn take(&mut self) -> Result<Option<Bytes>, TransferError> {
        let length = self.piece.min(self.rest.len());
        Ok((length > 0).then(|| self.rest.split_to(length)))
    }
}

#[derive(Default)]
struct Answers(BytesMut);

impl Sink for &mut Answers {
    async fn give(&mut self, bytes: Bytes) -> Result<(), TransferError> {
        self.0.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        Ok(())
    }
}

struct Nobody;

impl Progress for Nobody {
    fn started(&self, _: &Manifest, _: u64) {}
    fn moved(&self, _: u64) {}
}

/// Waits for what waits for nothing, without threads of its own.
fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = runtime();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// An input arrives in about so many pieces.
const PIECES: usize = 64;
const MAX_ATTEMPTS: usize = 3;
const SHORT: usize = 20;
const LONG: usize = 900;
const WINDOW: u64 = 128;
