//! The wire: frames and how they are read and written (docs/protocol/session.md).

mod decode;
mod encode;
mod error;
mod frame;
mod hello;
mod payload;
mod reader;
mod varint;

pub use decode::{FrameLimits, begin_data, decode};
pub(crate) use encode::encode_data_head;
pub use encode::{data_head_len, data_room, encode, encode_head, encoded_len};
pub use error::{DecodeError, Flaw};
pub use frame::*;
pub use payload::Payload;
pub use varint::MAX_VARINT;
