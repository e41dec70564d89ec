//! `control.sock`: how other processes of a data directory ask its running node.
//!
//! One JSON object a line, in turn: a question with `"method"`, an answer with `"result"` or
//! `"error"`, each with `"schema": 1`. After the answer to `open` or `request` the socket carries
//! bytes: pieces with their length in front, as docs/cli.md says. The socket has mode 0600 in a
//! directory that only its owner may write to, and both sides check the other's user.

mod client;
mod framed;
pub(crate) mod fuzzing;
mod server;
mod view;

pub(crate) use self::{
    client::Client,
    framed::{FramedSink, FramedSource},
    server::{Server, serve},
    view::explanation,
};

/// A question or an answer has at most this many bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// A piece has at most this many bytes.
const MAX_PIECE_BYTES: usize = 1 << 20;
/// A request through the running node has at most this many bytes, as its answer.
pub(crate) const MAX_REQUEST_BYTES: usize = 64 << 20;
