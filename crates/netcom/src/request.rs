//! One message there and one back.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use netcom_session::{Class, Code};
use tokio::time;

use crate::{
    session::{Opened, SharedSession, StreamHandle},
    stream::{
        ByteReceiver, ByteSender, Delivery, ErrorReceiver, Gather, OpenError, StreamError,
        StreamErrorMessage, protocol,
    },
};

/// How a request is made.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    timeout: Duration,
    max_answer: usize,
    class: Class,
    protocol: Bytes,
}

/// Why a request brought no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer came in time.
    #[error("no answer came within {after:?}")]
    Timeout {
        /// The time allowed.
        after: Duration,
        /// What is known of the request.
        delivery: Delivery,
    },
    /// The peer's handler failed, and says how.
    #[error("the peer's handler failed: {0}")]
    Remote(StreamErrorMessage),
    /// The answer is longer than allowed.
    #[error("the answer is longer than {limit} bytes")]
    AnswerTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The stream failed: denied, nobody serves it, too busy, the session ended.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// No stream could be opened. Nothing was sent.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            max_answer: DEFAULT_MAX_ANSWER,
            class: Class::Interactive,
            protocol: Bytes::from_static(protocol::REQUEST.as_bytes()),
        }
    }
}

impl RequestOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the answer may take. Default: 60 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn limit(&self) -> Duration {
        self.timeout
    }

    /// Sets how long the answer may be. Default: 64 MiB.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// Sets how urgent the request is. Default: interactive.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Asks a named service, as `name/version`, instead of the node's request handler.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Bytes::from(protocol.into());
        self
    }
}

impl RequestError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Remote(_) => "remote",
            Self::AnswerTooLarge { .. } => "answer_too_large",
            Self::Stream(error) => error.code(),
            Self::Open(error) => error.code(),
        }
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Timeout { .. } => Some("allow more time, or check the path to the peer".into()),
            Self::Remote(_) => None,
            Self::AnswerTooLarge { .. } => Some("raise the limit, or use a stream".into()),
            Self::Stream(error) => error.hint(),
            Self::Open(error) => error.hint(),
        }
    }

    /// Whether making the same request again can work and repeats nothing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { delivery, .. } => *delivery == Delivery::NotSent,
            Self::Stream(error) => error.is_retryable(),
            Self::Open(error) => error.is_retryable(),
            Self::Remote(_) | Self::AnswerTooLarge { .. } => false,
        }
    }

    /// What is known of the request.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Timeout { delivery, .. } => *delivery,
            Self::Remote(_) | Self::AnswerTooLarge { .. } => Delivery::Delivered,
            Self::Stream(error) => error.delivery(),
            Self::Open(_) => Delivery::NotSent,
        }
    }

    /// Whether another node of the entity may do better.
    pub(crate) fn is_about_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Open(_)
                | Self::Stream(StreamError::SessionEnded { .. } | StreamError::Overloaded { .. })
        )
    }
}

/// Makes a request; dropping the future gives it up at both ends.
pub(crate) async fn request(
    session: &Arc<SharedSession>,
    owner: u64,
    body: Bytes,
    options: &RequestOptions,
) -> Result<Bytes, RequestError> {
    let mut exchange = None;
    let answering = answer(session, owner, body, options, &mut exchange);
    match time::timeout(options.timeout, answering).await {
        Ok(answer) => answer,
        Err(_) => {
            let delivery = exchange.as_ref().map_or(Delivery::NotSent, Exchange::delivery);
            if let Some(exchange) = &mut exchange {
                exchange.give_up(Code::DEADLINE);
            }
            Err(RequestError::Timeout { after: options.timeout, delivery })
        }
    }
}

async fn answer(
    session: &Arc<SharedSession>,
    owner: u64,
    mut body: Bytes,
    options: &RequestOptions,
    slot: &mut Option<Exchange>,
) -> Result<Bytes, RequestError> {
    let what = Opened { protocol: options.protocol.clone(), class: options.class, owner };
    let handle = session.open(what, &mut body, true).await?;
    slot.insert(Exchange::new(handle, body)).run(options.max_answer).await
}

/// A request under way.
struct Exchange {
    sender: ByteSender,
    receiver: ByteReceiver,
    handle: StreamHandle,
    is_over: bool,
}

impl Exchange {
    fn new(handle: StreamHandle, rest: Bytes) -> Self {
        Self {
            sender: ByteSender::begun(handle.clone(), rest, true),
            receiver: ByteReceiver::new(handle.clone()),
            handle,
            is_over: false,
        }
    }

    async fn run(&mut self, limit: usize) -> Result<Bytes, RequestError> {
        let mut gather = Gather::default();
        let answer = poll_fn(|cx| {
            // Whether all of the request was taken, only the answer tells.
            let _ = self.sender.poll_end(true, cx);
            loop {
                match self.receiver.poll_chunk(CHUNK, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Some(chunk))) => {
                        if gather.push(chunk, limit).is_err() {
                            return Poll::Ready(Err(RequestError::AnswerTooLarge { limit }));
                        }
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                }
            }
        })
        .await;
        match answer {
            Ok(()) => {
                self.is_over = true;
                Ok(gather.finish())
            }
            // The reset says that there is more to know.
            Err(RequestError::Stream(StreamError::Reset { code, delivery })) => {
                self.is_over = true;
                let mut errors = ErrorReceiver::new(self.handle.clone());
                Err(match errors.next().await {
                    Some(message) => RequestError::Remote(message),
                    None => StreamError::Reset { code, delivery }.into(),
                })
            }
            Err(error) => Err(error),
        }
    }

    fn delivery(&self) -> Delivery {
        self.sender.delivery()
    }

    fn give_up(&mut self, code: Code) {
        self.sender.reset_with(code);
        self.receiver.stop_with(code);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.give_up(Code::CANCELLED);
        }
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_MAX_ANSWER: usize = 64 << 20;
/// Bytes of an answer taken at once.
const CHUNK: usize = 256 << 10;
