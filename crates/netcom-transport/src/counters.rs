//! What happened at the listeners, as numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident, $count:ident;)+) => {
        /// Counts since the start; see [`Transport::stats`](crate::Transport::stats).
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($name: AtomicU64,)+
        }

        /// What happened at the listeners since the start.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        #[non_exhaustive]
        pub struct TransportStats {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Handshakes under way, and authenticated links whose HELLO has not come.
            pub half_open: u64,
        }

        impl Counters {
            $(pub(crate) fn $count(&self) {
                self.$name.fetch_add(1, Ordering::Relaxed);
            })+

            pub(crate) fn snapshot(&self, half_open: u64) -> TransportStats {
                TransportStats {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                    half_open,
                }
            }
        }
    };
}

counters! {
    /// Links accepted and authenticated.
    accepted, count_accepted;
    /// Connections that spoke HTTP and were closed.
    refused_http, count_http;
    /// Connections that spoke multistream-select and were closed.
    refused_multistream, count_multistream;
    /// Connections that spoke something else and were closed.
    refused_other, count_other;
    /// Connections that ended or went silent before a whole handshake.
    unfinished, count_unfinished;
    /// Handshakes that failed: a bad certificate, no common algorithm.
    failed_handshakes, count_failed_handshake;
    /// Handshakes that had to make room for others.
    crowded_out, count_crowded_out;
    /// QUIC handshakes that were asked to prove their address first.
    retries, count_retry;
    /// Times the system could not hand over a connection, for want of file descriptors mostly.
    accept_errors, count_accept_error;
    /// Authenticated links dropped because nobody took them in time.
    untaken, count_untaken;
    /// Panics in drivers; each is a bug that ended one link.
    panics, count_panic;
}
