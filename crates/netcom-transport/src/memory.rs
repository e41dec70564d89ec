//! Links between nodes of one process, for tests and embedding: `/memory/N`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Instant,
};

use netcom_identity::PeerId;
use parking_lot::Mutex;

use crate::{
    address::Endpoint,
    certificate::{CertificateError, Proven},
    dial::AttemptError,
    driver::memory::MemoryLink,
    handshake::HandshakeError,
    link::{Carrier, Facts, Link},
    transport::Shared,
};

/// Listens at a number, at a free one for 0. `None` if it is taken.
pub(crate) fn listen(number: u64, shared: &Arc<Shared>) -> Option<u64> {
    let mut listeners = LISTENERS.lock();
    listeners.retain(|_, listener| listener.strong_count() > 0);
    let number = match number {
        0 => (1..).find(|number| !listeners.contains_key(number))?,
        number if listeners.contains_key(&number) => return None,
        number => number,
    };
    listeners.insert(number, Arc::downgrade(shared));
    Some(number)
}

/// Listens no more.
pub(crate) fn unlisten(number: u64) {
    LISTENERS.lock().remove(&number);
}

/// Connects to the node that listens at a number. Both know each other without proof, since
/// nothing leaves the process.
pub(crate) async fn dial(
    number: u64,
    expected: PeerId,
    shared: &Shared,
) -> Result<Link, AttemptError> {
    let began = Instant::now();
    let listener = LISTENERS.lock().get(&number).and_then(Weak::upgrade);
    let listener = listener.ok_or(AttemptError::NobodyListens)?;
    if listener.peer != expected {
        let (expected, found) = (Box::new(expected), Box::new(listener.peer));
        let error = CertificateError::WrongPeer { expected, found };
        return Err(HandshakeError::Certificate(error).into());
    }
    let mut exporter = [0; 32];
    getrandom::fill(&mut exporter)
        .map_err(|error| HandshakeError::Tls(format!("no random numbers: {error}")))?;
    let address = Endpoint::Memory(number).to_multiaddr();
    let facts = |is_dialer, of: &Shared| Facts {
        is_dialer,
        local: address.clone(),
        remote: address.clone(),
        exporter,
        proven: Proven {
            peer: of.peer,
            representations: of.representations.read().clone(),
            process: of.process,
        },
        began,
        authenticated: Instant::now(),
    };
    let (ours, theirs) = MemoryLink::pair();
    let accepted = Link::new(
        facts(false, shared),
        Carrier::Memory(Box::new(theirs)),
        Arc::clone(&listener.counters),
        None,
    );
    listener.deliver(accepted).await;
    let carrier = Carrier::Memory(Box::new(ours));
    Ok(Link::new(facts(true, &listener), carrier, Arc::clone(&shared.counters), None))
}

static LISTENERS: Mutex<BTreeMap<u64, Weak<Shared>>> = Mutex::new(BTreeMap::new());
