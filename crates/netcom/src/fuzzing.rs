//! What the fuzz targets run. A violated rule panics, which is what a fuzzer looks for; nothing
//! else calls this. Each function tells whether the input was accepted.

pub use crate::{
    keys::fuzzing::{armor, devices, invitation, key_file},
    stream::fuzzing::stream,
};

/// First inputs: the target and what it runs.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = crate::stream::fuzzing::seeds();
    seeds.extend(crate::keys::fuzzing::seeds());
    seeds
}
