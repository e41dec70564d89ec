//! The crate's tests, through its public API alone.

mod certificates;
mod decoders;
mod entities;
mod entries;
mod names;
mod netids;
mod records;
mod representations;
mod signatures;
mod support;
mod tickets;
