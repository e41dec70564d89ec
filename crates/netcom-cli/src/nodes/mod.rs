//! The nodes that commands run, and the way to other nodes. Nothing else makes a node.

mod build;
mod peer;
mod services;
mod stream;

pub(crate) use self::{
    build::{Kind, Serving, build, client, meeting, on_loopback, serving},
    peer::{PathView, Peer, collect, link_name, ping},
    services::{
        FILES, MEASURE_BULK, MEASURE_ROUND_TRIPS, PERF, PERF_PIECE, PIPE, ROUND_TRIP_BYTES, Watch,
        Watcher, serve_basics, serve_files, serve_pipe, serve_tcp, tcp_protocol,
    },
    stream::{StreamSink, StreamSource, split},
};
