//! The two ends of a transfer, each in a process of its own: one sends known bytes without end, the
//! other compares each with what it must be and says what it saw.

use std::{
    io::{self, Read as _, Write as _},
    sync::OnceLock,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    runtime::Runtime,
    time::{Instant, interval, sleep, timeout, timeout_at},
};

use crate::peers::Peer;

/// What a transfer is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Task {
    /// Sends 3 MB a second; a link fails meanwhile.
    Gap,
    /// Sends what the links carry.
    Rate,
}

/// What a sink says.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Event {
    /// The transfer runs, and what follows counts.
    Begun,
    /// What became of it.
    Saw(Seen),
    /// Megabits a second.
    Rate(f64),
    /// It could not be measured.
    Failed(String),
}

/// What became of a transfer whose link failed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Seen {
    /// It went on, and this is the longest time without new bytes.
    WentOn(Duration),
    /// No new bytes came for so long.
    Silent(Duration),
    /// Its stream ended.
    Ended(String),
    /// Bytes were lost, came twice or in another order behind so many.
    OtherBytes(usize),
}

/// The readable half of a transfer, compared as it is read.
struct Compared<S> {
    stream: S,
    buffer: Vec<u8>,
    bytes: usize,
}

/// Runs an end until it is done, or the standard input ends: with the process that holds it.
pub(crate) fn run(end: impl Future<Output = Result<()>>) -> Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = Runtime::new()?;
    let done = runtime.block_on(end);
    // What is still open has nobody to wait for it.
    runtime.shutdown_background();
    done
}

/// Says in one line where a source is.
pub(crate) fn announce(contact: &str) {
    println!("{contact}");
}

/// Sends to the other end for as long as it reads, at the pace that its first byte asks for.
pub(crate) async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let pause = (stream.read_u8().await? == Task::Gap as u8).then_some(PAUSE);
    let mut sent = 0;
    loop {
        stream.write_all(content(sent, CHUNK)).await?;
        sent += CHUNK;
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
}

/// Reads from a source and tells what it saw.
pub(crate) async fn sink(peer: Peer, task: Task, links: usize, contact: &str) -> Result<()> {
    let saw = match peer.read(task, links, contact).await {
        Ok(event) => event,
        Err(error) => Event::Failed(format!("{error:#}")),
    };
    tell(&saw)
}

/// Asks the source for bytes, reads them and finds out what the task is for.
pub(crate) async fn receive(
    task: Task,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Event> {
    stream.write_u8(task as u8).await?;
    stream.flush().await?;
    let mut compared = Compared { stream, buffer: vec![0; BUFFER], bytes: 0 };
    match task {
        Task::Gap => compared.gap().await,
        Task::Rate => timeout(PATIENCE, compared.rate()).await.context("it stands still")?,
    }
}

/// Waits for something to become true.
pub(crate) async fn until(is_true: impl Fn() -> bool) -> Result<()> {
    let wait = async {
        let mut look = interval(Duration::from_millis(5));
        while !is_true() {
            look.tick().await;
        }
    };
    timeout(START, wait).await.context("not all links are there in time")
}

impl<S: AsyncRead + Unpin> Compared<S> {
    /// The longest time without new bytes, from a second before the failure to five seconds after
    /// it, or until some come again.
    async fn gap(&mut self) -> Result<Event> {
        while self.bytes < WARM {
            timeout(START, self.read()).await.context("it does not begin")?.map_err(error)?;
        }
        tell(&Event::Begun)?;
        let begun = Instant::now();
        let (mut last, mut longest) = (begun, Duration::ZERO);
        let seen = loop {
            match timeout_at(begun + BEFORE + LIMIT, self.read()).await {
                Err(_) => break Seen::Silent(last.elapsed()),
                Ok(Err(seen)) => break seen,
                Ok(Ok(())) => {}
            }
            longest = longest.max(last.elapsed());
            last = Instant::now();
            if begun.elapsed() >= BEFORE + AFTER {
                break Seen::WentOn(longest);
            }
        };
        Ok(Event::Saw(seen))
    }

    /// How much comes once windows and rates are found.
    async fn rate(&mut self) -> Result<Event> {
        self.read_for(WARM_UP).await?;
        let (begun, before) = (Instant::now(), self.bytes);
        self.read_for(MEASURED).await?;
        let bits = (self.bytes - before) as f64 * 8.0;
        Ok(Event::Rate(bits / 1e6 / begun.elapsed().as_secs_f64()))
    }

    async fn read_for(&mut self, time: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.read().await.map_err(error)?;
        }
        Ok(())
    }

    /// Reads and compares what is there.
    async fn read(&mut self) -> Result<(), Seen> {
        let read = self.stream.read(&mut self.buffer).await;
        let read = read.map_err(|error| Seen::Ended(error.to_string()))?;
        if read == 0 {
            return Err(Seen::Ended("in order, though it has no end".to_owned()));
        }
        if self.buffer[..read] != *content(self.bytes, read) {
            return Err(Seen::OtherBytes(self.bytes));
        }
        self.bytes += read;
        Ok(())
    }
}

fn error(seen: Seen) -> anyhow::Error {
    anyhow::anyhow!("before it was measured: {seen:?}")
}

/// Says something to whoever started the sink.
fn tell(event: &Event) -> Result<()> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    Ok(io::stdout().lock().write_all(line.as_bytes())?)
}

/// The bytes of every transfer from a place on.
fn content(begin: usize, length: usize) -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    // The period is odd, so that no frame comes at the same place of it twice.
    let make = || {
        let period = (0..PERIOD).map(|place| (place.wrapping_mul(0x9e37_79b9) >> 12) as u8);
        period.collect::<Vec<u8>>().repeat(2)
    };
    let begin = begin % PERIOD;
    &BLOCK.get_or_init(make)[begin..begin + length]
}

/// Between a sink's first word and the failure.
pub(crate) const BEFORE: Duration = Duration::from_secs(1);
/// How long it is waited for new bytes: longer than any peer keeps a path that is silent.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// How long ends may take to connect.
pub(crate) const START: Duration = Duration::from_secs(15);
/// How long it may take until a rate is measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long gaps are looked for behind the failure.
const AFTER: Duration = Duration::from_secs(5);
/// Bytes that show that a transfer runs.
const WARM: usize = 256 << 10;
/// Before a rate is measured, and while.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(10);
const CHUNK: usize = 16 << 10;
const BUFFER: usize = 256 << 10;
/// Between two chunks: 3 MB a second at most.
const PAUSE: Duration = Duration::from_millis(5);
const PERIOD: usize = (1 << 20) - 3;

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silence_before_new_bytes_is_the_gap() {
        let (mut source, sink) = duplex(1 << 20);
        let seen = tokio::spawn(receive(Task::Gap, sink));
        source.write_all(content(0, WARM)).await.unwrap();
        sleep(BEFORE).await;
        source.write_all(content(WARM, 1)).await.unwrap();
        sleep(2 * AFTER).await;
        source.write_all(content(WARM + 1, 1)).await.unwrap();

        let Ok(Event::Saw(Seen::WentOn(gap))) = seen.await.unwrap() else { panic!("it went on") };
        assert!(gap.abs_diff(2 * AFTER) < Duration::from_millis(10), "{gap:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_come_twice_are_other_bytes() {
        let (mut source, sink) = duplex(1 << 20);
        let seen = tokio::spawn(receive(Task::Gap, sink));
        source.write_all(content(0, WARM)).await.unwrap();
        source.write_all(content(WARM - 100, 100)).await.unwrap();

        let Ok(Event::Saw(seen)) = seen.await.unwrap() else { panic!("it saw something") };
        assert_eq!(seen, Seen::OtherBytes(WARM));
    }
}
