//! What is asked of a peer's client.

use std::{any::Any, time::Duration};

use anyhow::{Result, bail};
use tokio::io::Empty;

use crate::{
    case::Case,
    streams::{self, Put, Slices, Take},
};

/// A peer's client, which is connected. Whatever a peer does not do differently goes over its
/// streams.
pub trait Client: Send + Sync + Sized + 'static {
    /// The cases the peer has.
    const CASES: &'static [Case];

    /// The sending half of a stream; [`NoStream`] of a peer without.
    type Put: Put;
    /// The receiving half.
    type Take: Take;
    /// What makes round trips.
    type Echo: Echo;

    /// Whether two tasks may use the halves of a stream at once.
    const HALVES_ARE_APART: bool = true;

    /// Opens a stream.
    fn stream(&self) -> impl Future<Output = Result<(Self::Put, Self::Take)>> + Send {
        async { bail!("the peer has no streams") }
    }

    /// Sends chunks of [`CHUNK`](crate::CHUNK) for that long and waits until the server has
    /// counted them; by slices, where the case says so.
    fn bulk(&self, case: Case, duration: Duration) -> impl Future<Output = Result<Sent>> + Send {
        async move {
            let (put, take) = self.stream().await?;
            streams::bulk(put, take, case, duration).await
        }
    }

    /// Has the server send such chunks for that long, and waits until all have come.
    fn bulk_down(&self, duration: Duration) -> impl Future<Output = Result<Sent>> + Send {
        async move {
            let (put, take) = self.stream().await?;
            streams::bulk_down(put, take, duration).await
        }
    }

    /// Sends and receives such chunks at once for that long.
    fn bulk_both(&self, duration: Duration) -> impl Future<Output = Result<Sent>> + Send {
        async move {
            let (put, take) = self.stream().await?;
            streams::bulk_both(put, take, duration, Self::HALVES_ARE_APART).await
        }
    }

    /// Makes what a round trip of this case needs.
    fn open(&self, case: Case) -> impl Future<Output = Result<Self::Echo>> + Send;

    /// Sends a message on a stream of its own and waits for its echo and the end.
    fn request(&self, message: Message) -> impl Future<Output = Result<Message>> + Send {
        async move {
            let (put, take) = self.stream().await?;
            streams::request(put, take, message).await
        }
    }

    /// A request beside others.
    fn request_among(&self, message: Message) -> impl Future<Output = Result<Message>> + Send {
        self.request(message)
    }

    /// Sends messages of [`LETTER`](crate::LETTER) for that long and waits until the server has
    /// counted them.
    fn messages(&self, duration: Duration) -> impl Future<Output = Result<Sent>> + Send {
        async move {
            let (put, take) = self.stream().await?;
            streams::messages(put, take, duration).await
        }
    }

    /// Sends chunks of [`SMALL_CHUNK`](crate::SMALL_CHUNK) on so many streams at once.
    fn many(&self, count: usize, duration: Duration) -> impl Future<Output = Result<Sent>> + Send {
        async move {
            let mut open = Vec::with_capacity(count);
            for _ in 0..count {
                let (put, take) = self.stream().await?;
                open.push(streams::greet(put, take).await?);
            }
            streams::many(open, duration).await
        }
    }

    /// Makes a session by a full handshake, has one message answered, and closes the session.
    /// Those of one lane follow each other.
    fn handshake(&self, _lane: usize) -> impl Future<Output = Result<()>> + Send {
        async { bail!("the peer makes no handshakes") }
    }

    /// Makes what so many sessions need beforehand and is no part of one.
    fn prepare(&self, _sessions: usize) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Makes a session by a full handshake and has one message answered; the session lives until
    /// what is returned is dropped.
    fn session(&self) -> impl Future<Output = Result<Box<dyn Any + Send>>> + Send {
        async { bail!("the peer makes no sessions") }
    }

    /// What was agreed with the server.
    fn facts(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Sends a message and waits until it comes back, again and again.
pub trait Echo: Send {
    fn exchange(&mut self, message: Message) -> impl Future<Output = Result<Message>> + Send;
}

/// What was sent, and how long it took until its receiver had counted it.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub count: u64,
    pub took: Duration,
}

pub type Message = [u8; crate::MESSAGE];

/// A half of a stream of a peer that has none.
pub type NoStream = Slices<Empty>;
