//! Dialling a peer at several addresses: the first that authenticates wins.

use std::{future::Future, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use netcom_identity::{Multiaddr, PeerId};
use netcom_session::LinkKind;
use tokio::time::{self, Instant};

use crate::{
    address::{AddressError, Endpoint},
    certificate::CertificateError,
    handshake::HandshakeError,
    link::Link,
    memory, quic, tcp,
    transport::Shared,
};

/// How to dial.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DialOptions {
    /// How long all attempts together may take. Default: 10 s.
    pub timeout: Duration,
    /// How long an attempt gets before the next one begins beside it. Default: 250 ms, as
    /// [RFC 8305 section 8](https://www.rfc-editor.org/rfc/rfc8305#section-8) recommends.
    pub attempt_delay: Duration,
}

/// Why [`Transport::dial`](crate::Transport::dial) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No address led to the peer. Retry when the network or the addresses change.
    #[error("no address led to {peer}: {}", list(.attempts))]
    Unreachable {
        /// Who was asked for.
        peer: PeerId,
        /// What went wrong where.
        attempts: Vec<Attempt>,
    },
    /// Somebody else answered. The addresses are wrong or somebody interferes; get new ones.
    #[error("{found} answered instead of {expected}")]
    WrongPeer {
        /// Who was asked for.
        expected: Box<PeerId>,
        /// Who answered.
        found: Box<PeerId>,
    },
    /// The peer's security layer refused this node. Do not retry with the same identity.
    #[error("{peer} refused the handshake: {alert}")]
    Denied {
        /// Who refused.
        peer: PeerId,
        /// What it said.
        alert: String,
    },
    /// Nobody authenticated in time. Worth retrying.
    #[error("{peer} did not answer within {timeout:?}: {}", list(.attempts))]
    Timeout {
        /// Who was asked for.
        peer: PeerId,
        /// The time given.
        timeout: Duration,
        /// What went wrong where, for the attempts that ended.
        attempts: Vec<Attempt>,
    },
    /// No address can be dialled at all. Give one that a transport speaks.
    #[error("no address of {peer} can be dialled: {}", list(.attempts))]
    NoUsableAddress {
        /// Who was asked for.
        peer: PeerId,
        /// What is wrong with which address.
        attempts: Vec<Attempt>,
    },
    /// The peer is this very node.
    #[error("a node does not dial itself")]
    SelfDial,
}

/// One address that did not lead to the peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub address: Multiaddr,
    /// What went wrong.
    pub error: AttemptError,
}

/// Why one address did not lead to the peer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The address cannot be dialled.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The connection or its handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// No node of this process listens there.
    #[error("nobody listens there")]
    NobodyListens,
    /// Neither an answer nor a refusal came before the dial's time was over.
    #[error("no answer in time")]
    NoAnswer,
    /// More addresses were given than are tried.
    #[error("only the first {MAX_ADDRESSES} addresses are tried")]
    TooMany,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), attempt_delay: Duration::from_millis(250) }
    }
}

impl DialOptions {
    /// Sets how long all attempts together may take. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long an attempt gets before the next one begins. Default: 250 ms.
    #[must_use]
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = delay;
        self
    }
}

/// Dials `expected` and returns the first link that authenticates.
pub(crate) async fn dial(
    shared: &Shared,
    expected: PeerId,
    addresses: &[Multiaddr],
    options: &DialOptions,
) -> Result<Link, DialError> {
    if expected == shared.peer {
        return Err(DialError::SelfDial);
    }
    let (endpoints, mut failed) = usable(addresses, &expected);
    if endpoints.is_empty() {
        return Err(DialError::NoUsableAddress { peer: expected, attempts: failed });
    }
    // Collected, because a closure held across an await keeps callers' futures from being `Send`.
    let attempts: Vec<_> =
        endpoints.iter().map(|endpoint| attempt(shared, expected, *endpoint)).collect();
    let mut race = Race::new(attempts.into_iter(), options.attempt_delay);
    let result = time::timeout(options.timeout, race.run()).await;
    let losers = race.finished();
    let begun = endpoints.len() - race.waiting.len();
    let is_over = |index: &usize| race.errors.iter().any(|(ended, _)| ended == index);
    let unanswered =
        (0..begun).filter(|index| !is_over(index)).map(|i| (i, AttemptError::NoAnswer));
    let unanswered: Vec<_> = if result.is_err() { unanswered.collect() } else { Vec::new() };
    for (index, error) in race.errors.into_iter().chain(unanswered) {
        let address = endpoints[index].to_multiaddr();
        tracing::debug!(%address, %error, "Dial attempt failed");
        failed.push(Attempt { address, error });
    }
    match result {
        Ok(Some(winner)) => {
            for loser in losers {
                tokio::spawn(loser.close());
            }
            Ok(winner)
        }
        Ok(None) => Err(judge(expected, failed, None)),
        Err(_) => Err(judge(expected, failed, Some(options.timeout))),
    }
}

async fn attempt(
    shared: &Shared,
    expected: PeerId,
    endpoint: Endpoint,
) -> Result<Link, AttemptError> {
    match endpoint {
        Endpoint::Tcp(remote) => Ok(tcp::dial(remote, expected, shared).await?),
        Endpoint::Quic(remote) => Ok(quic::dial(remote, expected, shared).await?),
        Endpoint::Memory(number) => memory::dial(number, expected, shared).await,
    }
}

/// What the failures together mean, the most telling one first.
fn judge(peer: PeerId, attempts: Vec<Attempt>, timeout: Option<Duration>) -> DialError {
    for attempt in &attempts {
        if let AttemptError::Handshake(HandshakeError::Certificate(CertificateError::WrongPeer {
            expected,
            found,
        })) = &attempt.error
        {
            let (expected, found) = (expected.clone(), found.clone());
            return DialError::WrongPeer { expected, found };
        }
    }
    for attempt in &attempts {
        if let AttemptError::Handshake(HandshakeError::Denied(alert)) = &attempt.error {
            return DialError::Denied { peer, alert: alert.clone() };
        }
    }
    match timeout {
        Some(timeout) => DialError::Timeout { peer, timeout, attempts },
        None => DialError::Unreachable { peer, attempts },
    }
}

/// The endpoints to dial in order, and the addresses that lead nowhere.
fn usable(addresses: &[Multiaddr], expected: &PeerId) -> (Vec<Endpoint>, Vec<Attempt>) {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut failed = Vec::new();
    for address in addresses {
        match Endpoint::for_peer(address, expected) {
            Ok(endpoint) if endpoints.contains(&endpoint) => {}
            Ok(_) if endpoints.len() >= MAX_ADDRESSES => {
                failed.push(Attempt { address: address.clone(), error: AttemptError::TooMany });
                break;
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(error) => {
                failed.push(Attempt { address: address.clone(), error: error.into() });
            }
        }
    }
    (interleave(endpoints), failed)
}

/// Alternates the families, IPv6 first, and within a family TCP and QUIC, so that one broken
/// family or protocol costs one delay. Otherwise keeps the caller's order.
fn interleave(endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut groups: [Vec<Endpoint>; 5] = Default::default();
    for endpoint in endpoints {
        let is_v4 = endpoint.socket().is_some_and(|socket| socket.is_ipv4());
        let group = match (endpoint.kind(), is_v4) {
            (LinkKind::Memory, _) => 0,
            (LinkKind::Tcp, false) => 1,
            (LinkKind::Quic, true) => 2,
            (LinkKind::Quic, false) => 3,
            _ => 4,
        };
        groups[group].push(endpoint);
    }
    let mut groups = groups.map(Vec::into_iter);
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(groups.iter_mut().filter_map(Iterator::next));
        if order.len() == before {
            return order;
        }
    }
}

/// Attempts that begin one after the other and run beside each other.
struct Race<Attempts: Iterator, T, E>
where
    Attempts::Item: Future<Output = Result<T, E>>,
{
    waiting: std::iter::Peekable<std::iter::Enumerate<Attempts>>,
    running: FuturesUnordered<Numbered<Attempts::Item>>,
    delay: Duration,
    errors: Vec<(usize, E)>,
}

type Numbered<F> = futures_util::future::Join<std::future::Ready<usize>, F>;

impl<Attempts, T, E> Race<Attempts, T, E>
where
    Attempts: Iterator,
    Attempts::Item: Future<Output = Result<T, E>>,
{
    fn new(attempts: Attempts, delay: Duration) -> Self {
        Self {
            waiting: attempts.enumerate().peekable(),
            running: FuturesUnordered::new(),
            delay,
            errors: Vec::new(),
        }
    }

    /// Runs until one attempt succeeds, or all have failed. A failure starts the next at once.
    async fn run(&mut self) -> Option<T> {
        self.start_next();
        let mut next_start = Instant::now() + self.delay;
        loop {
            tokio::select! {
                Some((index, result)) = self.running.next() => match result {
                    Ok(winner) => return Some(winner),
                    Err(error) => {
                        self.errors.push((index, error));
                        self.start_next();
                        next_start = Instant::now() + self.delay;
                    }
                },
                () = time::sleep_until(next_start), if self.waiting.peek().is_some() => {
                    self.start_next();
                    next_start = Instant::now() + self.delay;
                }
                else => return None,
            }
        }
    }

    /// The attempts that succeeded in the same moment as the winner. The others are dropped.
    fn finished(&mut self) -> Vec<T> {
        let mut finished = Vec::new();
        while let Some(Some((index, result))) = self.running.next().now_or_never() {
            match result {
                Ok(loser) => finished.push(loser),
                Err(error) => self.errors.push((index, error)),
            }
        }
        self.running.clear();
        finished
    }

    fn start_next(&mut self) {
        if let Some((index, attempt)) = self.waiting.next() {
            let number = std::future::ready(index);
            self.running.push(futures_util::future::join(number, attempt));
        }
    }
}

fn list(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "no address was given".into();
    }
    let each = attempts.iter().map(|attempt| format!("{} ({})", attempt.address, attempt.error));
    each.collect::<Vec<_>>().join(", ")
}

/// Addresses dialled for one peer.
const MAX_ADDRESSES: usize = 32;

#[cfg(test)]
mod tests {
    use netcom_identity::SecretKey;

    use super::*;

    fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
        let parse = |text: &&str| Endpoint::parse(&text.parse().unwrap()).unwrap().0;
        texts.iter().map(parse).collect()
    }

    #[test]
    fn families_and_protocols_take_turns() {
        let given = endpoints(&[
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.2/tcp/1",
            "/ip4/192.0.2.1/udp/1/quic-v1",
            "/ip6/2001:db8::1/udp/1/quic-v1",
            "/ip6/2001:db8::1/tcp/1",
            "/memory/1",
        ]);
        let expected = endpoints(&[
            "/memory/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip4/192.0.2.1/udp/1/quic-v1",
            "/ip6/2001:db8::1/udp/1/quic-v1",
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.2/tcp/1",
        ]);
        assert_eq!(interleave(given), expected);
    }

    #[test]
    fn repeated_and_foreign_addresses_are_not_dialled() {
        let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
        let other = SecretKey::from_bytes(&[2; 32]).peer_id();
        let addresses: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/tcp/1".to_owned(),
            format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}"),
            format!("/ip4/127.0.0.1/tcp/2/p2p/{other}"),
            "/dns4/example.com/tcp/1".to_owned(),
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let (endpoints, failed) = usable(&addresses, &peer);
        assert_eq!(endpoints.len(), 1);
        assert_eq!(failed.len(), 2);
        assert!(matches!(
            failed[0].error,
            AttemptError::Address(AddressError::OtherPeer(found)) if found == other
        ));
    }

    /// An attempt that ends after a time.
    async fn after(millis: u64, result: Result<u64, u64>) -> Result<u64, u64> {
        time::sleep(Duration::from_millis(millis)).await;
        result
    }

    async fn race(attempts: Vec<(u64, Result<u64, u64>)>) -> (Option<u64>, u64, Vec<u64>) {
        let began = Instant::now();
        let attempts = attempts.into_iter().map(|(millis, result)| after(millis, result));
        let mut race = Race::new(attempts, Duration::from_millis(250));
        let winner = race.run().await;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        (winner, took, race.finished())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_attempt_is_overtaken_by_a_quick_second_one() {
        assert_eq!(race(vec![(5000, Ok(1)), (10, Ok(2))]).await, (Some(2), 260, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_attempt_starts_the_next_at_once() {
        assert_eq!(race(vec![(20, Err(1)), (10, Ok(2))]).await, (Some(2), 30, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_first_attempt_wins_alone() {
        assert_eq!(race(vec![(100, Ok(1)), (0, Ok(2))]).await, (Some(1), 100, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_succeed_together_leave_losers_to_close() {
        let (winner, took, losers) = race(vec![(300, Ok(1)), (50, Ok(2))]).await;
        assert_eq!(took, 300);
        let mut all: Vec<u64> = winner.into_iter().chain(losers).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_wins_when_all_fail() {
        assert_eq!(race(vec![(20, Err(1)), (700, Err(2)), (0, Err(3))]).await.0, None);
    }
}
