//! One module for each command, or for a few that belong together.

pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod explain;
pub(crate) mod id;
pub(crate) mod invite;
mod links;
pub(crate) mod listen;
pub(crate) mod names;
pub(crate) mod perf;
pub(crate) mod ping;
pub(crate) mod pipe;
mod place;
pub(crate) mod publish;
pub(crate) mod receive;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod sessions;
pub(crate) mod tunnel;

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Reads a text that a person names: a file, or `-` for stdin.
fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().take(MAX_TEXT_BYTES).read_to_string(&mut text)?;
    } else {
        File::open(file)?.take(MAX_TEXT_BYTES).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// No text that is asked for is longer.
const MAX_TEXT_BYTES: u64 = 64 << 10;
