//! One module for each command, or for a few that belong together.

pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod id;
pub(crate) mod listen;
pub(crate) mod names;
pub(crate) mod perf;
pub(crate) mod ping;
pub(crate) mod pipe;
pub(crate) mod publish;
pub(crate) mod receive;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod sessions;
pub(crate) mod tunnel;
