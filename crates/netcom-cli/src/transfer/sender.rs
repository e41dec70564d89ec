//! The side that has the files.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use blake3::Hasher;
use bytes::{Bytes, BytesMut};
use indicatif::ProgressBar;
use netcom::{Pace, Rate, Time};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    PIECE_BYTES, Scan, SentLog, Sink, Source, TransferError,
    folder::hash_prefix,
    frames::{Frame, FrameReader, FrameWriter},
    message::{self, Empty, FileEnd, Message, Part},
};
use crate::failure::Failure;

/// Sends one transfer.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) scan: Arc<Scan>,
    /// How many bytes may go ahead of what the receiver keeps.
    pub(crate) window: u64,
    /// How fast it may go.
    pub(crate) limit: Option<Rate>,
    /// How long the receiver may be silent.
    pub(crate) patience: Duration,
    /// Counts all bytes, also those the receiver had.
    pub(crate) bar: ProgressBar,
}

/// A transfer that is done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sent {
    /// What it is called at the receiver.
    pub(crate) name: String,
    /// All bytes of its files.
    pub(crate) bytes: u64,
    /// What the receiver had before this attempt.
    pub(crate) resumed: u64,
}

/// What the thread that reads files says.
enum Step {
    File { index: u64, offset: u64 },
    Data(Bytes),
    End { size: u64, hash: blake3::Hash },
    Finished { bytes: u64 },
}

/// A side that has nothing to say says so this often.
pub(super) const BUSY: Duration = Duration::from_millis(500);
/// Pieces read ahead of what is sent.
const READ_AHEAD: usize = 4;
/// Pieces are no shorter, however slowly they go.
const MIN_PIECE: usize = 4 << 10;

impl Sender {
    /// Offers the files and sends what the receiver does not have. What goes is counted in `log`.
    pub(crate) async fn run(
        &self,
        source: impl Source,
        sink: impl Sink,
        log: &mut SentLog,
    ) -> Result<Sent, TransferError> {
        let mut reader = FrameReader::new(source);
        let mut writer = FrameWriter::new(sink);
        let result = self.transfer(&mut reader, &mut writer, log).await;
        if let Err(error) = &result
            && error.is_ours
        {
            tell(&mut writer, error).await;
        }
        result
    }

    async fn transfer(
        &self,
        reader: &mut FrameReader<impl Source>,
        writer: &mut FrameWriter<impl Sink>,
        log: &mut SentLog,
    ) -> Result<Sent, TransferError> {
        for message in self.scan.manifest.messages() {
            writer.add(&message);
            writer.flush_if_large().await?;
        }
        writer.flush().await?;
        let parts = self.answer(reader).await?;
        let resumed = parts.values().map(|part| part.bytes).sum();
        self.bar.set_position(resumed);

        let (steps, stepped) = mpsc::channel(READ_AHEAD);
        let scan = self.scan.clone();
        let piece = piece_bytes(self.limit);
        let reading = spawn_blocking(move || read(&scan, &parts, piece, &steps));
        let (kept, is_kept) = watch::channel(0);
        let writing = async {
            let bytes = self.write(writer, stepped, is_kept, log).await?;
            match reading.await {
                Ok(Err(error)) => Err(error),
                _ => bytes.ok_or_else(|| TransferError::protocol("reading ended early")),
            }
        };
        let (bytes, name) = tokio::try_join!(writing, self.acknowledged(reader, kept))?;
        // The receiver has everything. It may leave without hearing the goodbye to the end.
        let goodbye = async {
            writer.send(&Message::Bye(Empty {})).await?;
            writer.finish().await
        };
        if !matches!(timeout(TELL_WITHIN, goodbye).await, Ok(Ok(()))) {
            tracing::debug!("The receiver did not wait for the goodbye");
        }
        Ok(Sent { name, bytes, resumed })
    }

    /// What the receiver has already.
    async fn answer(
        &self,
        reader: &mut FrameReader<impl Source>,
    ) -> Result<HashMap<u64, Part>, TransferError> {
        let entries = self.scan.manifest.entries();
        let mut parts = HashMap::new();
        loop {
            match self.next(reader).await? {
                Message::Have(have) => {
                    for part in have.parts {
                        let entry = usize::try_from(part.index).ok().and_then(|i| entries.get(i));
                        let is_fit = entry.is_some_and(|it| !it.is_folder && part.bytes <= it.size);
                        if !is_fit || parts.insert(part.index, part).is_some() {
                            return Err(TransferError::protocol("it has what was never offered"));
                        }
                    }
                }
                Message::Go(_) => return Ok(parts),
                Message::Busy(_) => {}
                _ => return Err(TransferError::protocol("an answer out of order")),
            }
        }
    }

    /// Takes what the receiver says, until everything is done there. Nothing more is kept then, so
    /// who waits for that learns it.
    async fn acknowledged(
        &self,
        reader: &mut FrameReader<impl Source>,
        kept: watch::Sender<u64>,
    ) -> Result<String, TransferError> {
        loop {
            match self.next(reader).await? {
                Message::Kept(now) => {
                    let before = kept.send_replace(now.bytes);
                    self.bar.inc(now.bytes.saturating_sub(before));
                }
                Message::Done(done) => return Ok(done.name),
                Message::Busy(_) => {}
                _ => return Err(TransferError::protocol("an answer out of order")),
            }
        }
    }

    async fn next(&self, reader: &mut FrameReader<impl Source>) -> Result<Message, TransferError> {
        match timeout(self.patience, reader.next()).await {
            Ok(Ok(Some(Frame::Message(Message::Failed(failed))))) => {
                Err(TransferError::there(&failed))
            }
            Ok(Ok(Some(Frame::Message(message)))) => Ok(message),
            Ok(Ok(Some(Frame::Data(_)))) => Err(TransferError::protocol("data from the receiver")),
            Ok(Ok(None)) => {
                let failure = Failure::failed("receiver_gone", "the receiver ended the transfer");
                Err(TransferError::stream(failure, true))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let message = format!("the receiver was silent for {:?}", self.patience);
                let failure =
                    Failure::new(crate::failure::Exit::Unreachable, "receiver_silent", message);
                Err(TransferError::stream(failure, true))
            }
        }
    }

    /// Sends what was read, never further ahead than the window; returns the bytes of all files.
    async fn write(
        &self,
        writer: &mut FrameWriter<impl Sink>,
        mut steps: mpsc::Receiver<Step>,
        mut kept: watch::Receiver<u64>,
        log: &mut SentLog,
    ) -> Result<Option<u64>, TransferError> {
        let mut sent = 0_u64;
        let mut limiter = self.limit.map(Limiter::new);
        loop {
            let step = match timeout(BUSY, steps.recv()).await {
                Ok(Some(step)) => step,
                Ok(None) => return Ok(None),
                Err(_) => {
                    writer.send(&Message::Busy(Empty {})).await?;
                    continue;
                }
            };
            match step {
                Step::File { index, offset } => {
                    writer.add(&Message::File(message::File { index, offset }));
                }
                Step::Data(bytes) => {
                    if let Some(limiter) = &mut limiter {
                        limiter.wait(writer, bytes.len()).await?;
                    }
                    sent += bytes.len() as u64;
                    if sent.saturating_sub(*kept.borrow()) > self.window {
                        writer.flush().await?;
                        wait_until_kept(writer, &mut kept, sent - self.window).await?;
                    }
                    log.add(bytes.len() as u64).map_err(|error| {
                        TransferError::here(Failure::io("the journal cannot be written", &error))
                    })?;
                    writer.data(bytes).await?;
                }
                Step::End { size, hash } => {
                    let hash = hash.as_bytes().to_vec();
                    writer.add(&Message::FileEnd(FileEnd { size, hash }));
                    writer.flush_if_large().await?;
                }
                Step::Finished { bytes } => {
                    writer.send(&Message::Finished(Empty {})).await?;
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Sends no faster than allowed.
struct Limiter {
    began: Instant,
    pace: Pace,
}

impl Limiter {
    fn new(rate: Rate) -> Self {
        Self { began: Instant::now(), pace: Pace::new(rate, Time(0)) }
    }

    /// Waits until a piece may go, which is charged for.
    async fn wait(
        &mut self,
        writer: &mut FrameWriter<impl Sink>,
        bytes: usize,
    ) -> Result<(), TransferError> {
        loop {
            let now = Time(0) + self.began.elapsed();
            if self.pace.is_ready(now) {
                self.pace.spend(bytes as u64, now);
                return Ok(());
            }
            let left = self.pace.ready_at() - now;
            if left < BUSY {
                sleep(left).await;
            } else {
                writer.send(&Message::Busy(Empty {})).await?;
                sleep(BUSY).await;
            }
        }
    }
}

/// How much is sent at once: less where little may go, so that it goes evenly.
fn piece_bytes(limit: Option<Rate>) -> usize {
    let tenth = limit.map_or(usize::MAX, |rate| {
        usize::try_from(rate.bytes_per_second() / 10).unwrap_or(usize::MAX)
    });
    tenth.clamp(MIN_PIECE, PIECE_BYTES)
}

async fn wait_until_kept(
    writer: &mut FrameWriter<impl Sink>,
    kept: &mut watch::Receiver<u64>,
    bytes: u64,
) -> Result<(), TransferError> {
    loop {
        match timeout(BUSY, kept.wait_for(|kept| *kept >= bytes)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(_)) => return Err(TransferError::protocol("it is done before all was sent")),
            Err(_) => writer.send(&Message::Busy(Empty {})).await?,
        }
    }
}

/// Tells the other side that it failed here, if it still listens.
pub(super) async fn tell(writer: &mut FrameWriter<impl Sink>, error: &TransferError) {
    let failed = Message::Failed(message::Failed {
        code: error.failure.code.to_string(),
        message: error.failure.message.clone(),
        is_retryable: error.is_retryable,
    });
    let telling = async {
        writer.send(&failed).await?;
        writer.finish().await
    };
    let _ = timeout(TELL_WITHIN, telling).await;
}

const TELL_WITHIN: Duration = Duration::from_secs(5);

/// Reads all files from where the receiver is; runs on a thread of its own.
fn read(
    scan: &Scan,
    parts: &HashMap<u64, Part>,
    piece: usize,
    steps: &mpsc::Sender<Step>,
) -> Result<(), TransferError> {
    let mut bytes = 0;
    let mut say = |step: Step| steps.blocking_send(step).is_ok();
    for (index, entry) in scan.manifest.entries().iter().enumerate() {
        if entry.is_folder {
            continue;
        }
        let index_there = index as u64;
        let read = match scan.paths.get(index) {
            Some(path) => {
                let mut file = open(path, !entry.path.is_empty())?;
                let part = parts.get(&index_there);
                let (offset, hasher) =
                    agree(&mut file, part).map_err(|error| unreadable(path, &error))?;
                let begin = Step::File { index: index_there, offset };
                say(begin)
                    .then(|| pieces(&mut file, path, piece, hasher, Some(entry.size), &mut say))
            }
            None => {
                let begin = Step::File { index: index_there, offset: 0 };
                let path = PathBuf::from("stdin");
                let stdin = &mut io::stdin().lock();
                say(begin).then(|| pieces(stdin, &path, piece, Hasher::new(), None, &mut say))
            }
        };
        match read {
            Some(size) => bytes += size?,
            None => return Ok(()), // nobody listens any more
        }
    }
    say(Step::Finished { bytes });
    Ok(())
}

/// Finds where to go on: after the part the receiver has, if it is the beginning of this file.
fn agree(file: &mut File, part: Option<&Part>) -> io::Result<(u64, Hasher)> {
    if let Some(part) = part {
        let mut hasher = Hasher::new();
        let bytes = hash_prefix(file, part.bytes, &mut hasher)?;
        if bytes == part.bytes && hasher.finalize().as_bytes()[..] == part.hash[..] {
            return Ok((bytes, hasher));
        }
        file.seek(SeekFrom::Start(0))?;
    }
    Ok((0, Hasher::new()))
}

/// Reads a file from where it is to its end, and returns its size.
fn pieces(
    file: &mut impl Read,
    path: &std::path::Path,
    piece: usize,
    mut hasher: Hasher,
    expected: Option<u64>,
    say: &mut impl FnMut(Step) -> bool,
) -> Result<u64, TransferError> {
    loop {
        let left = expected.map_or(u64::MAX, |size| size.saturating_sub(hasher.count()));
        let want = usize::try_from(left).unwrap_or(piece).min(piece);
        let piece = fill(file, want).map_err(|error| unreadable(path, &error))?;
        if piece.is_empty() {
            break;
        }
        hasher.update(&piece);
        if !say(Step::Data(piece)) {
            return Ok(hasher.count());
        }
    }
    if expected.is_some_and(|size| size != hasher.count()) {
        let message = format!("{} became shorter while it was sent", path.display());
        return Err(TransferError::here(Failure::failed("source_changed", message)));
    }
    say(Step::End { size: hasher.count(), hash: hasher.finalize() });
    Ok(hasher.count())
}

/// Reads that many bytes, or fewer at the end.
fn fill(file: &mut impl Read, want: usize) -> io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(want);
    let mut filled = 0;
    while filled < want {
        match file.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece.freeze())
}

/// Opens a file; inside of a folder it must not have become a link meanwhile.
fn open(path: &std::path::Path, is_inside: bool) -> Result<File, TransferError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true);
    if is_inside {
        options.custom_flags(super::journal::no_follow());
    }
    options.open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &std::path::Path, error: &io::Error) -> TransferError {
    let doing = format_args!("{} cannot be read", path.display());
    TransferError::here(Failure::io(doing, error))
}
