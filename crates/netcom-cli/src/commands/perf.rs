//! `netcom perf`.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hdrhistogram::Histogram;
use netcom::{Connection, LinkKind, XStream};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{
    args::{Perf, PerfLink},
    context::{Context, target},
    errors,
    failure::{Exit, Failure, Outcome},
    nodes::{
        self, MEASURE_BULK, MEASURE_ROUND_TRIPS, PERF, PERF_PIECE, PathView, ROUND_TRIP_BYTES,
    },
    output::bytes,
};

/// Round trips take this part of a measurement of both.
const LATENCY_SHARE: f64 = 0.2;
/// The longest round trip that is told apart, in microseconds.
const MAX_MICROS: u64 = 60_000_000;

pub(crate) async fn run(command: &Perf, context: &Context) -> Outcome {
    let target = target(context, &command.reach.target)?;
    let within = Duration::from_secs_f64(command.reach.timeout);
    // A node of its own: what is measured is not shared with anybody else's streams.
    let node = nodes::client(context).await?;
    let mut connecting = node.connect_with(target).timeout(within);
    if let Some(link) = command.link {
        connecting = connecting.link(match link {
            PerfLink::Tcp => LinkKind::Tcp,
            PerfLink::Quic => LinkKind::Quic,
        });
    }
    let measured = match connecting.connect().await {
        Ok(connection) => measure(command, &connection, within).await,
        Err(error) => Err(errors::connect(&error)),
    };
    node.close().await;
    let figures = measured?;
    let text = figures.text();
    context.output.answer(text, figures.value())
}

/// What came out.
struct Figures {
    peer_id: String,
    path: PathView,
    rtt: Histogram<u64>,
    bulk: Option<Bulk>,
}

struct Bulk {
    bytes: u64,
    time: Duration,
    streams: u16,
}

async fn measure(command: &Perf, connection: &Connection, within: Duration) -> Outcome<Figures> {
    let share = if command.latency { 1.0 } else { LATENCY_SHARE };
    let latency = Duration::from_secs_f64(command.seconds * share);
    let rtt = round_trips(connection, latency, within).await?;
    let bulk = match command.latency {
        true => None,
        false => {
            let time = Duration::from_secs_f64(command.seconds).saturating_sub(latency);
            Some(throughput(connection, time, command.streams, within).await?)
        }
    };
    let path = PathView::of(connection).ok_or_else(|| {
        Failure::new(Exit::Unreachable, "detached", "the link was lost during the measurement")
    })?;
    Ok(Figures { peer_id: connection.peer_id().to_string(), path, rtt, bulk })
}

async fn open(connection: &Connection, what: u8) -> Outcome<XStream> {
    let mut stream = connection.open(PERF).await.map_err(|error| errors::open(&error))?;
    let first = Bytes::copy_from_slice(&[what]);
    stream.write_bytes(first).await.map_err(|error| errors::stream(&error))?;
    Ok(stream)
}

/// Messages there and back, one after the other, on one stream.
async fn round_trips(
    connection: &Connection,
    time: Duration,
    within: Duration,
) -> Outcome<Histogram<u64>> {
    let mut stream = open(connection, MEASURE_ROUND_TRIPS).await?;
    let mut histogram = Histogram::new_with_bounds(1, MAX_MICROS, 3)
        .map_err(|error| Failure::failed("internal", error.to_string()))?;
    let message = Bytes::from_static(&[0x55; ROUND_TRIP_BYTES]);
    let end = Instant::now() + time;
    loop {
        let start = Instant::now();
        let trip = async {
            stream.write_bytes(message.clone()).await?;
            let mut got = 0;
            while got < ROUND_TRIP_BYTES {
                match stream.read_chunk(ROUND_TRIP_BYTES - got).await? {
                    Some(piece) => got += piece.len(),
                    None => break,
                }
            }
            Ok(got)
        };
        match timeout(within, trip).await {
            Ok(Ok(ROUND_TRIP_BYTES)) => {}
            Ok(Ok(_)) => return Err(Failure::failed("perf", "the other side ended too early")),
            Ok(Err(error)) => return Err(errors::stream(&error)),
            Err(_) => return Err(silent(within)),
        }
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(MAX_MICROS);
        histogram.saturating_record(micros.max(1));
        if Instant::now() >= end {
            return Ok(histogram);
        }
    }
}

/// As many bytes as go, on several streams; counted by who gets them.
async fn throughput(
    connection: &Connection,
    time: Duration,
    streams: u16,
    within: Duration,
) -> Outcome<Bulk> {
    let start = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let stream = open(connection, MEASURE_BULK).await?;
        tasks.spawn(bulk(stream, start + time, within));
    }
    let mut bytes = 0;
    while let Some(result) = tasks.join_next().await {
        let result = result.map_err(|_| Failure::failed("internal", "a stream ended early"))?;
        bytes += result?;
    }
    Ok(Bulk { bytes, time: start.elapsed(), streams })
}

async fn bulk(mut stream: XStream, end: tokio::time::Instant, within: Duration) -> Outcome<u64> {
    let piece = Bytes::from(vec![0x55; PERF_PIECE]);
    let mut over = std::pin::pin!(sleep_until(end));
    loop {
        tokio::select! {
            biased;
            () = &mut over => break,
            written = stream.write_bytes(piece.clone()) => {
                written.map_err(|error| errors::stream(&error))?;
            }
        }
    }
    let counted = async {
        stream.finish().await?;
        let mut count = BytesMut::new();
        while let Some(piece) = stream.read_chunk(8).await? {
            count.extend_from_slice(&piece);
        }
        Ok(count)
    };
    match timeout(within, counted).await {
        Ok(Ok(count)) => match count[..].try_into() {
            Ok(count) => Ok(u64::from_be_bytes(count)),
            Err(_) => Err(Failure::failed("perf", "the other side did not say what it got")),
        },
        Ok(Err(error)) => Err(errors::stream(&error)),
        Err(_) => Err(silent(within)),
    }
}

fn silent(within: Duration) -> Failure {
    let message = format!("no answer came within {within:?}");
    Failure::new(Exit::Unreachable, "timeout", message).hint("a longer --timeout")
}

impl Figures {
    fn bytes_per_second(&self) -> Option<u64> {
        let bulk = self.bulk.as_ref()?;
        Some((bulk.bytes as f64 / bulk.time.as_secs_f64().max(1e-6)) as u64)
    }

    fn text(&self) -> String {
        let at = |quantile| self.rtt.value_at_quantile(quantile);
        let mut lines = vec![
            format!("path        {} over {}", self.path.kind, self.path.link),
            format!(
                "round trip  p50 {} µs, p90 {} µs, p99 {} µs, max {} µs ({} of {} bytes)",
                at(0.5),
                at(0.9),
                at(0.99),
                self.rtt.max(),
                self.rtt.len(),
                ROUND_TRIP_BYTES,
            ),
        ];
        if let (Some(bulk), Some(rate)) = (&self.bulk, self.bytes_per_second()) {
            lines.push(format!(
                "throughput  {}/s: {} in {:.2} s, streams: {}",
                bytes(rate),
                bytes(bulk.bytes),
                bulk.time.as_secs_f64(),
                bulk.streams,
            ));
        }
        lines.join("\n")
    }

    fn value(&self) -> Value {
        let at = |quantile| self.rtt.value_at_quantile(quantile);
        json!({
            "bytes_per_second": self.bytes_per_second(),
            "bytes": self.bulk.as_ref().map(|bulk| bulk.bytes),
            "seconds": self.bulk.as_ref().map(|bulk| bulk.time.as_secs_f64()),
            "streams": self.bulk.as_ref().map(|bulk| bulk.streams),
            "rtt_us": {
                "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": self.rtt.max(),
            },
            "round_trips": self.rtt.len(),
            "path": self.path.kind,
            "link": self.path.link,
            "remote": self.path.remote,
            "reason": self.path.reason,
            "peer_id": self.peer_id,
        })
    }
}
