//! Which lines there are to reach.

use frame::Case;

use super::lines::{Bound, Figure, Wish};
use crate::peers::Peer;

pub(super) fn all() -> Vec<Wish> {
    use Bound::{AtLeast, AtMost, Itself, Nothing};
    use Case::{
        Bulk, BulkBoth, BulkDown, BulkSlices, Connect, Idle, InFlight, InFlight100, Messages,
        Request, RoundTrip, RoundTripInline, Streams20, Streams2000,
    };
    use Figure::{ClientCpu, ClientIdle, Cpu, Of};
    use Peer::{
        Iroh, Libp2pNoise, Libp2pQuic, Libp2pTls, NetcomQuic, NetcomTcp, PythonGrpc, PythonLibp2p,
        PythonNetcom, Quinn, Rustls, Tentacle, Tonic, ZenohTcp,
    };
    // Most compare the same case of two.
    let line = |of, case, bound, to| Wish::new((of, Of(case)), bound, (to, Of(case)));
    vec![
        line(NetcomTcp, Bulk, AtLeast(0.85), Rustls),
        Wish::new((NetcomTcp, Of(BulkSlices)), AtLeast(0.75), (Rustls, Of(Bulk))),
        line(NetcomTcp, BulkBoth, AtLeast(0.8), Rustls),
        line(NetcomTcp, Bulk, AtLeast(3.0), Libp2pTls),
        line(NetcomTcp, Bulk, AtLeast(2.0), Iroh),
        line(NetcomTcp, Bulk, AtLeast(1.8), Tentacle),
        line(NetcomTcp, Bulk, AtLeast(1.0), ZenohTcp),
        line(NetcomQuic, Bulk, AtLeast(0.95), Quinn),
        line(NetcomQuic, Bulk, AtLeast(1.1), Iroh),
        line(NetcomQuic, Bulk, AtLeast(1.4), Libp2pQuic),
        line(NetcomTcp, BulkDown, AtLeast(0.85), Rustls),
        line(NetcomTcp, BulkDown, AtLeast(3.0), Libp2pTls),
        line(NetcomTcp, BulkDown, AtLeast(2.0), Iroh),
        line(NetcomTcp, BulkDown, AtLeast(1.8), Tentacle),
        line(NetcomTcp, BulkDown, AtLeast(1.0), ZenohTcp),
        line(NetcomQuic, BulkDown, AtLeast(0.95), Quinn),
        line(NetcomQuic, BulkDown, AtLeast(1.1), Iroh),
        line(NetcomQuic, BulkDown, AtLeast(1.4), Libp2pQuic),
        line(NetcomTcp, RoundTrip, AtMost(1.15), Rustls),
        Wish::new((NetcomTcp, Of(RoundTrip)), Nothing, (Rustls, Of(RoundTripInline))),
        Wish::new((NetcomTcp, Of(Request)), AtMost(1.3), (NetcomTcp, Of(RoundTrip))),
        line(NetcomTcp, Request, AtMost(0.5), Libp2pTls),
        line(NetcomTcp, Request, AtMost(0.5), Libp2pNoise),
        line(NetcomTcp, Request, AtMost(0.9), Iroh),
        line(NetcomTcp, InFlight, AtLeast(2.0), Libp2pTls),
        line(NetcomTcp, InFlight, AtLeast(2.0), Libp2pNoise),
        line(NetcomTcp, InFlight, AtLeast(1.5), Tonic),
        line(NetcomTcp, Messages, AtLeast(2.0), Libp2pTls),
        line(NetcomTcp, Messages, AtLeast(2.0), Libp2pNoise),
        line(NetcomTcp, Messages, AtLeast(1.0), ZenohTcp),
        Wish::new((NetcomTcp, Of(Streams2000)), AtLeast(0.9), (NetcomTcp, Of(Streams20))),
        Wish::new((NetcomQuic, Of(Streams2000)), AtLeast(0.9), (NetcomQuic, Of(Streams20))),
        line(NetcomTcp, Connect, AtLeast(0.9), Rustls),
        Wish::new((NetcomTcp, Cpu), AtMost(1.25), (Rustls, Cpu)),
        line(NetcomTcp, Idle, AtMost(1.25), Rustls).or_at_most(24.0),
        line(NetcomQuic, Idle, AtMost(1.25), Quinn).or_at_most(64.0),
        Wish::new((NetcomTcp, ClientIdle), AtMost(1.25), (Rustls, ClientIdle)).or_at_most(24.0),
        Wish::new((NetcomQuic, ClientIdle), AtMost(1.25), (Quinn, ClientIdle)).or_at_most(64.0),
        // The rate of requests one after the other is one by their latency.
        line(PythonNetcom, Bulk, AtLeast(0.6), NetcomTcp),
        line(PythonNetcom, Request, AtMost(1.0 / 0.4), NetcomTcp),
        Wish::new((PythonNetcom, ClientCpu), Itself(25.0), (NetcomTcp, ClientCpu)),
        line(PythonNetcom, InFlight100, Nothing, NetcomTcp),
        line(PythonNetcom, Bulk, AtLeast(2.0), PythonGrpc),
        line(PythonNetcom, Request, AtMost(1.0 / 2.0), PythonGrpc),
        line(PythonNetcom, InFlight100, AtLeast(2.0), PythonGrpc),
        line(PythonNetcom, Bulk, AtLeast(10.0), PythonLibp2p),
        line(PythonNetcom, Request, AtMost(1.0 / 10.0), PythonLibp2p),
        line(PythonNetcom, InFlight100, AtLeast(10.0), PythonLibp2p),
    ]
}
