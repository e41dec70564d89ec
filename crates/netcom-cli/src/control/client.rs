//! Asking the running node.

use std::{io, path::Path, time::Duration};

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    time::timeout,
};

use super::{FramedSink, FramedSource, MAX_LINE_BYTES};
use crate::{
    failure::{Exit, Failure, Outcome},
    output::versioned,
};

/// A connection to the running node.
#[derive(Debug)]
pub(crate) struct Client {
    reading: OwnedReadHalf,
    writing: OwnedWriteHalf,
    buffer: BytesMut,
}

/// How long the socket may take to answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Client {
    /// Connects; `None` where no node runs.
    pub(crate) async fn connect(socket: &Path) -> Outcome<Option<Self>> {
        let stream = match timeout(ANSWER_WITHIN, UnixStream::connect(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => match error.kind() {
                // A socket whose process was killed refuses.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
                _ => {
                    let doing = format_args!("{} cannot be asked", socket.display());
                    return Err(Failure::io(doing, &error));
                }
            },
            Err(_) => return Err(silent()),
        };
        check_user(&stream)?;
        let (reading, writing) = stream.into_split();
        Ok(Some(Self { reading, writing, buffer: BytesMut::new() }))
    }

    /// Asks one question; `within` is how long its work may take.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        parameters: Value,
        within: Duration,
    ) -> Outcome<Value> {
        let mut question = versioned(json!({ "method": method }));
        if let (Some(question), Value::Object(fields)) = (question.as_object_mut(), parameters) {
            question.extend(fields);
        }
        let asking = async {
            self.writing.write_all(format!("{question}\n").as_bytes()).await?;
            read_line(&mut self.reading, &mut self.buffer).await
        };
        let line = match timeout(within + ANSWER_WITHIN, asking).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => {
                let message = "the running node went away";
                return Err(Failure::new(Exit::Unreachable, "control", message));
            }
            Ok(Err(error)) => return Err(Failure::io("the running node cannot be asked", &error)),
            Err(_) => return Err(silent()),
        };
        let mut answer: Value = serde_json::from_slice(&line)
            .map_err(|_| Failure::failed("control", "the running node's answer is no JSON"))?;
        if let Some(failure) = Failure::from_json(&answer) {
            return Err(failure);
        }
        Ok(answer.get_mut("result").map_or(Value::Null, Value::take))
    }

    /// After an answer that bytes follow.
    pub(crate) fn into_pieces(self) -> (FramedSource, FramedSink) {
        (FramedSource::new(self.reading, self.buffer), FramedSink::new(self.writing))
    }
}

/// Refuses to talk to another user.
pub(super) fn check_user(stream: &UnixStream) -> Outcome {
    let failed = |error| Failure::io("the control socket's owner is unknown", &error);
    let other = stream.peer_cred().map_err(failed)?.uid();
    let own = rustix::process::geteuid().as_raw();
    if other == own {
        return Ok(());
    }
    let message = format!("user {other} is at the other end of the control socket");
    Err(Failure::new(Exit::Denied, "denied", message))
}

/// The next line, without its end; `None` at the end of the stream.
pub(super) async fn read_line(
    reading: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<BytesMut>> {
    let mut searched = 0;
    loop {
        let fresh = buffer.get(searched..).unwrap_or_default();
        if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
            let mut line = buffer.split_to(searched + end + 1);
            line.truncate(searched + end);
            return Ok(Some(line));
        }
        searched = buffer.len();
        if searched as u64 > MAX_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
        }
        if reading.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn silent() -> Failure {
    let message = "the running node does not answer";
    Failure::new(Exit::Unreachable, "control", message).hint("restart netcom listen")
}
