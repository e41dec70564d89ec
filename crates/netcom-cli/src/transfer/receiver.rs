//! The side that takes files.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    Folder, Manifest, Sink, Source, TransferError,
    folder::Staging,
    frames::{Frame, FrameReader, FrameWriter},
    manifest::{ManifestError, Partial, pages},
    message::{Done, Empty, Have, Kept, Kind, Message, Part},
    sender::{BUSY, tell},
};
use crate::failure::Failure;

/// Takes transfers, several at once, each sender's same one only once.
#[derive(Debug)]
pub(crate) struct Receiver {
    place: Place,
    room: Semaphore,
    /// Who works on which transfer. Bounded by `room` and those about to give way.
    turns: Mutex<HashMap<String, Arc<Turn>>>,
}

/// Where received files go.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Folder(Folder),
    Stdout,
}

/// A transfer that came.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// What it is called now.
    pub(crate) name: String,
    /// Where it is; `None` for stdout.
    pub(crate) path: Option<PathBuf>,
    /// All bytes of its files.
    pub(crate) bytes: u64,
    /// What was here before this attempt.
    pub(crate) resumed: u64,
    /// Bytes that came in this attempt.
    pub(crate) received: u64,
}

/// Told how a transfer goes on.
pub(crate) trait Progress: Send + Sync {
    fn started(&self, manifest: &Manifest, resumed: u64);
    /// So much came in this attempt.
    fn moved(&self, bytes: u64);
}

/// The right to work on a transfer. A newcomer takes it from whoever has it, because a sender
/// that begins again will not go on with the old stream.
#[derive(Debug, Default)]
struct Turn {
    newest: AtomicU64,
    newcomer: Notify,
    holder: tokio::sync::Mutex<()>,
}

/// What the writing thread is told.
enum Step {
    Begin { index: u64, offset: u64 },
    Data(Bytes),
    End { size: u64, hash: Vec<u8> },
    Finish,
}

/// How far the writing thread is.
#[derive(Clone, Debug, Default)]
struct Written {
    bytes: u64,
    done: Option<Result<(String, u64), TransferError>>,
}

/// The code for nothing more to write, for a reason that the reading side knows.
const ENDED: &str = "ended";
/// How long a sender that hears nothing any more may take to say why it ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// So many transfers run at once; more are told to come later.
const MAX_TRANSFERS: usize = 16;
/// A sender that is silent for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pieces that came and are not written yet.
const WRITE_BEHIND: usize = 4;
/// So much is written before the sender is told.
const KEPT_EVERY: u64 = 128 << 10;

impl Receiver {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, room: Semaphore::new(MAX_TRANSFERS), turns: Mutex::default() }
    }

    /// Takes one transfer from an authenticated sender.
    pub(crate) async fn receive(
        &self,
        sender: &str,
        source: impl Source,
        sink: impl Sink,
        progress: &dyn Progress,
    ) -> Result<Incoming, TransferError> {
        let mut reader = FrameReader::new(source);
        let mut writer = FrameWriter::new(sink);
        let result = self.transfer(sender, &mut reader, &mut writer, progress).await;
        if let Err(error) = &result
            && error.is_ours
        {
            tell(&mut writer, error).await;
        }
        result
    }

    async fn transfer(
        &self,
        sender: &str,
        reader: &mut FrameReader<impl Source>,
        writer: &mut FrameWriter<impl Sink>,
        progress: &dyn Progress,
    ) -> Result<Incoming, TransferError> {
        let manifest = offer(reader).await?;
        let id = manifest.id(sender);
        let turn = self.turn(&id);
        let ticket = turn.newest.fetch_add(1, Ordering::AcqRel) + 1;
        turn.newcomer.notify_waiters();
        let result = {
            let _holder = turn.holder.lock().await;
            let mut newcomer = std::pin::pin!(turn.newcomer.notified());
            newcomer.as_mut().enable();
            if turn.newest.load(Ordering::Acquire) == ticket {
                tokio::select! {
                    result = self.staged(&id, manifest, reader, writer, progress) => result,
                    () = newcomer => Err(superseded()),
                }
            } else {
                Err(superseded())
            }
        };
        self.leave(&id, &turn);
        result
    }

    fn turn(&self, id: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(id.to_owned()).or_default().clone()
    }

    fn leave(&self, id: &str, turn: &Arc<Turn>) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and this one: nobody else waits.
        if Arc::strong_count(turn) <= 2 {
            turns.remove(id);
        }
    }

    async fn staged(
        &self,
        id: &str,
        manifest: Manifest,
        reader: &mut FrameReader<impl Source>,
        writer: &mut FrameWriter<impl Sink>,
        progress: &dyn Progress,
    ) -> Result<Incoming, TransferError> {
        let Ok(_room) = self.room.try_acquire() else {
            let failure = Failure::failed("busy", "too many transfers run already");
            return Err(TransferError::here(failure).retryable());
        };
        let (place, id, for_writing) = (self.place.clone(), id.to_owned(), manifest.clone());
        let opening = spawn_blocking(move || {
            let mut target = Target::open(&place, &id, for_writing)?;
            target.have().map(|parts| (target, parts))
        });
        let (target, parts) = busy_until(opening, writer).await?;
        let resumed = parts.iter().map(|part| part.bytes).sum();
        progress.started(&manifest, resumed);
        for parts in pages(&parts, prost::Message::encoded_len) {
            writer.add(&Message::Have(Have { parts: parts.to_vec() }));
            writer.flush_if_large().await?;
        }
        writer.send(&Message::Go(Empty {})).await?;

        let (steps, stepped) = mpsc::channel(WRITE_BEHIND);
        let (written, is_written) = watch::channel(Written::default());
        let writing = spawn_blocking(move || write(target, stepped, &written));
        let taking = take(reader, steps);
        let telling = acknowledge(writer, is_written, progress);
        let (name, bytes, received) = both(taking, telling).await?;
        if timeout(PATIENCE, said_bye(reader)).await.unwrap_or(false)
            && let Ok(mut target) = writing.await
        {
            // The sender knows; until then its successor may ask.
            let _ = spawn_blocking(move || target.discard()).await;
        }
        let path = match &self.place {
            Place::Folder(folder) => Some(folder.path().join(&name)),
            Place::Stdout => None,
        };
        Ok(Incoming { name, path, bytes, resumed, received })
    }
}

/// Takes and tells until all is told. What writing says counts more than how taking ended.
async fn both<T>(
    taking: impl Future<Output = Result<(), TransferError>>,
    telling: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    tokio::pin!(taking, telling);
    let (told, taken) = tokio::select! {
        biased;
        told = &mut telling => match told {
            // Where nothing can be told, the sender may still have said why.
            Err(error) if !error.is_ours => {
                let taken = timeout(LAST_WORDS, taking).await.unwrap_or(Ok(()));
                (Err(error), taken)
            }
            told => return told,
        },
        taken = &mut taking => (telling.await, taken),
    };
    match (told, taken) {
        (Err(told), Err(taken)) if told.failure.code == ENDED || !told.is_ours => Err(taken),
        (told, _) => told,
    }
}

/// Reads the offer and all of its entries.
pub(super) async fn offer(
    reader: &mut FrameReader<impl Source>,
) -> Result<Manifest, TransferError> {
    let mut partial = match next(reader).await? {
        Frame::Message(Message::Offer(offer)) => Partial::new(offer).map_err(refused)?,
        _ => return Err(TransferError::protocol("no offer")),
    };
    loop {
        match next(reader).await? {
            Frame::Message(Message::Entries(page)) => partial.add(page).map_err(refused)?,
            Frame::Message(Message::OfferEnd(_)) => return partial.finish().map_err(refused),
            Frame::Message(Message::Busy(_)) => {}
            _ => return Err(TransferError::protocol("an offer without its end")),
        }
    }
}

/// Hands what comes to the writing thread, until the sender is finished.
async fn take(
    reader: &mut FrameReader<impl Source>,
    steps: mpsc::Sender<Step>,
) -> Result<(), TransferError> {
    loop {
        let step = match next(reader).await? {
            Frame::Data(bytes) => Step::Data(bytes),
            Frame::Message(Message::File(file)) => {
                Step::Begin { index: file.index, offset: file.offset }
            }
            Frame::Message(Message::FileEnd(end)) => Step::End { size: end.size, hash: end.hash },
            Frame::Message(Message::Finished(_)) => Step::Finish,
            Frame::Message(Message::Busy(_)) => continue,
            Frame::Message(_) => return Err(TransferError::protocol("a message out of order")),
        };
        let is_last = matches!(step, Step::Finish);
        // If the thread has ended, it has said why.
        if steps.send(step).await.is_err() || is_last {
            return Ok(());
        }
    }
}

async fn next(reader: &mut FrameReader<impl Source>) -> Result<Frame, TransferError> {
    match timeout(PATIENCE, reader.next()).await {
        Ok(Ok(Some(Frame::Message(Message::Failed(failed))))) => Err(TransferError::there(&failed)),
        Ok(Ok(Some(frame))) => Ok(frame),
        Ok(Ok(None)) => {
            let failure = Failure::failed("sender_gone", "the sender ended the transfer early");
            Err(TransferError::stream(failure, true))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let failure = Failure::failed("sender_silent", "the sender fell silent");
            Err(TransferError::stream(failure, true))
        }
    }
}

/// Tells the sender what is kept, and in the end that everything is done.
async fn acknowledge(
    writer: &mut FrameWriter<impl Sink>,
    mut written: watch::Receiver<Written>,
    progress: &dyn Progress,
) -> Result<(String, u64, u64), TransferError> {
    let mut told = 0;
    loop {
        // A copy, because the view itself may not be held while something is sent.
        let news = async {
            let news = written.wait_for(|now| now.bytes != told || now.done.is_some()).await;
            news.ok().map(|now| now.clone())
        };
        let now = match timeout(BUSY, news).await {
            Ok(Some(now)) => now,
            Ok(None) => {
                let failure = Failure::failed("internal", "writing ended without a result");
                return Err(TransferError::here(failure));
            }
            Err(_) => {
                writer.send(&Message::Busy(Empty {})).await?;
                continue;
            }
        };
        if now.bytes != told {
            told = now.bytes;
            progress.moved(told);
            writer.send(&Message::Kept(Kept { bytes: told })).await?;
        }
        match now.done {
            Some(Ok((name, bytes))) => {
                writer.send(&Message::Done(Done { name: name.clone() })).await?;
                return Ok((name, bytes, told));
            }
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
}

async fn said_bye(reader: &mut FrameReader<impl Source>) -> bool {
    loop {
        match reader.next().await {
            Ok(Some(Frame::Message(Message::Busy(_)))) => {}
            Ok(Some(Frame::Message(Message::Bye(_)))) => return true,
            _ => return false,
        }
    }
}

/// Says that it is busy until the work is done.
async fn busy_until<T>(
    mut work: JoinHandle<Result<T, TransferError>>,
    writer: &mut FrameWriter<impl Sink>,
) -> Result<T, TransferError> {
    loop {
        match timeout(BUSY, &mut work).await {
            Ok(Ok(result)) => return result,
            Ok(Err(_)) => {
                let failure = Failure::failed("internal", "preparing the transfer failed");
                return Err(TransferError::here(failure));
            }
            Err(_) => writer.send(&Message::Busy(Empty {})).await?,
        }
    }
}

/// Where the writing thread writes.
enum Target {
    Staging(Box<Staging>),
    Stdout(Box<Stdout>),
}

/// Writes one file to stdout.
struct Stdout {
    name: String,
    hasher: blake3::Hasher,
    is_begun: bool,
    is_verified: bool,
}

/// Writes what came; runs on a thread of its own, which ends when nobody says more.
fn write(
    mut target: Target,
    mut steps: mpsc::Receiver<Step>,
    written: &watch::Sender<Written>,
) -> Target {
    let (mut bytes, mut told, mut total) = (0, 0, 0);
    while let Some(step) = steps.blocking_recv() {
        let is_finish = matches!(step, Step::Finish);
        let result = match step {
            Step::Begin { index, offset } => target.begin(index, offset),
            Step::Data(data) => {
                bytes += data.len() as u64;
                target.data(&data)
            }
            // Counted once it is true: what is claimed may be any number.
            Step::End { size, hash } => target.end(size, &hash).map(|()| total += size),
            Step::Finish => Ok(()),
        };
        let done = match result {
            Ok(()) if is_finish => Some(target.finish().map(|name| (name, total))),
            Ok(()) => None,
            Err(error) => Some(Err(error)),
        };
        let is_over = done.is_some();
        // What is not told at once is told with the next piece or here, when nothing waits.
        if is_over || bytes - told >= KEPT_EVERY || steps.is_empty() {
            told = bytes;
            written.send_replace(Written { bytes, done });
        }
        if is_over {
            return target;
        }
    }
    if !target.is_resumable() {
        target.discard();
    }
    let failure = Failure::failed(ENDED, "the transfer ended before everything came");
    written.send_replace(Written { bytes, done: Some(Err(TransferError::here(failure))) });
    target
}

impl Target {
    fn open(place: &Place, id: &str, manifest: Manifest) -> Result<Self, TransferError> {
        match place {
            Place::Folder(folder) => Ok(Self::Staging(Box::new(folder.stage(id, manifest)?))),
            Place::Stdout if manifest.kind() == Kind::Folder => {
                let message = "a folder cannot be received on stdout";
                Err(TransferError::here(Failure::failed("refused", message)))
            }
            Place::Stdout => Ok(Self::Stdout(Box::new(Stdout {
                name: manifest.name().to_owned(),
                hasher: blake3::Hasher::new(),
                is_begun: false,
                is_verified: false,
            }))),
        }
    }

    fn have(&mut self) -> Result<Vec<Part>, TransferError> {
        match self {
            Self::Staging(staging) => staging.have(),
            Self::Stdout(_) => Ok(Vec::new()),
        }
    }

    fn begin(&mut self, index: u64, offset: u64) -> Result<(), TransferError> {
        match self {
            Self::Staging(staging) => {
                staging.begin(usize::try_from(index).unwrap_or(usize::MAX), offset)
            }
            Self::Stdout(stdout) if !stdout.is_begun && (index, offset) == (0, 0) => {
                stdout.is_begun = true;
                Ok(())
            }
            Self::Stdout(_) => Err(TransferError::protocol("data for no file")),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        match self {
            Self::Staging(staging) => staging.data(bytes),
            Self::Stdout(stdout) => {
                stdout.hasher.update(bytes);
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| {
                    TransferError::here(Failure::io("stdout cannot be written", &error))
                })
            }
        }
    }

    fn end(&mut self, size: u64, hash: &[u8]) -> Result<(), TransferError> {
        match self {
            Self::Staging(staging) => staging.end(size, hash),
            Self::Stdout(stdout) => {
                let is_same = stdout.hasher.count() == size
                    && stdout.hasher.finalize().as_bytes()[..] == *hash;
                stdout.is_verified = is_same;
                let message = "what arrived is not what was sent";
                let error = || TransferError::here(Failure::failed("not_verified", message));
                is_same.then_some(()).ok_or_else(error)
            }
        }
    }

    fn finish(&mut self) -> Result<String, TransferError> {
        match self {
            Self::Staging(staging) => staging.finish(),
            Self::Stdout(stdout) if stdout.is_verified => Ok(stdout.name.clone()),
            Self::Stdout(_) => Err(TransferError::protocol("the end before all files were sent")),
        }
    }

    fn is_resumable(&self) -> bool {
        match self {
            Self::Staging(staging) => staging.is_resumable(),
            Self::Stdout(_) => true,
        }
    }

    fn discard(&mut self) {
        if let Self::Staging(staging) = self {
            staging.wipe();
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn refused(error: ManifestError) -> TransferError {
    TransferError::here(Failure::failed(error.code(), error.to_string()))
}

fn superseded() -> TransferError {
    let message = "the sender began the transfer anew";
    TransferError::here(Failure::failed("superseded", message))
}
