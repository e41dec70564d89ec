//! The wire codec, seen from outside.

mod hello;
mod join;
mod limits;
mod malformed;
mod round_trip;
mod samples;
mod truncated;
mod vectors;
