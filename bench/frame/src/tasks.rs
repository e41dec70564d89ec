//! Round trips where a task of its own reads and writes the socket, as in every peer with
//! streams.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::{io::AsyncReadExt as _, sync::mpsc};

use crate::{
    MESSAGE,
    client::{Echo, Message},
    streams::{Put, Take},
};

/// A user's end of such a task.
#[derive(Debug)]
pub struct Ends {
    sender: mpsc::Sender<Bytes>,
    receiver: mpsc::Receiver<Bytes>,
}

/// Gives a stream to a task of its own.
pub fn start<P: Put, T: Take>(put: P, take: T) -> Ends {
    let (sender, outgoing) = mpsc::channel(QUEUE);
    let (incoming, receiver) = mpsc::channel(QUEUE);
    // It ends with the stream or with the user's end; who waits for the other sees that.
    tokio::spawn(carry(put, take, outgoing, incoming));
    Ends { sender, receiver }
}

/// Answers each message by itself, in a task apart from the stream's.
pub(crate) async fn echo<P: Put, T: Take>(put: P, take: T) -> Result<()> {
    let Ends { sender, mut receiver } = start(put, take);
    while let Some(message) = receiver.recv().await {
        if sender.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

impl Echo for Ends {
    async fn exchange(&mut self, message: Message) -> Result<Message> {
        self.sender.send(Bytes::copy_from_slice(&message)).await?;
        let answer = self.receiver.recv().await.context("the stream ended")?;
        Ok(answer[..].try_into()?)
    }
}

async fn carry<P: Put, T: Take>(
    mut put: P,
    mut take: T,
    mut outgoing: mpsc::Receiver<Bytes>,
    incoming: mpsc::Sender<Bytes>,
) -> Result<()> {
    let mut message = [0; MESSAGE];
    let mut filled = 0;
    loop {
        tokio::select! {
            read = take.reader().read(&mut message[filled..]) => {
                filled += match read? {
                    0 => return Ok(()),
                    read => read,
                };
                if filled == MESSAGE {
                    filled = 0;
                    incoming.send(Bytes::copy_from_slice(&message)).await?;
                }
            }
            bytes = outgoing.recv() => {
                let Some(bytes) = bytes else { return put.finish().await };
                put.put(bytes).await?;
                put.flush().await?;
            }
        }
    }
}

const QUEUE: usize = 16;
