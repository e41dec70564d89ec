//! All sources at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use netcom_identity::{Multiaddr, NodeRecord, PeerId};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    HostRegistry, Mdns, MdnsConfig, Scope,
    source::{Finding, Findings, Found, PublishError, Query, Source, VerifiedRecord, unix_now},
};

/// Asks all its sources at once and merges what they say.
#[derive(Clone, Default)]
pub struct Discovery {
    sources: Vec<Arc<dyn Source>>,
}

/// What [`Discovery::open`] may be told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiscoveryConfig {
    /// The directory of the same-host registry. Default: the user's runtime directory.
    pub registry: Option<PathBuf>,
    /// Where mDNS works. Default: all interfaces but loopback.
    pub mdns: MdnsConfig,
}

/// The news a lookup brings, best taken one by one; dropping it ends the lookup.
#[derive(Debug)]
pub struct Lookup {
    findings: mpsc::Receiver<Finding>,
}

/// A lookup tells of at most this many nodes.
pub const MAX_PEERS_FOUND: usize = 1_024;
const MAX_HINTED: usize = 32;
const MERGED: usize = 64;

impl Discovery {
    /// Opens the sources that belong to the scope. A source that cannot be opened is left out
    /// with a warning, because the others may do. Needs a tokio runtime.
    #[must_use]
    pub fn open(scope: Scope, config: &DiscoveryConfig) -> Self {
        let mut discovery = Self::default();
        if scope >= Scope::Host {
            let opened = match &config.registry {
                Some(path) => HostRegistry::open(path),
                None => HostRegistry::open_default(),
            };
            match opened {
                Ok(registry) => discovery.add(Arc::new(registry)),
                // A target of its own: this one concerns people who asked for no log.
                Err(error) => tracing::warn!(
                    target: "netcom::setup",
                    %error,
                    "The host's registry is not used"
                ),
            }
        }
        if scope >= Scope::Lan {
            match Mdns::start(config.mdns.clone()) {
                Ok(mdns) => discovery.add(Arc::new(mdns)),
                Err(error) => tracing::warn!(%error, "Multicast DNS is not used"),
            }
        }
        discovery
    }

    /// Adds a source.
    pub fn add(&mut self, source: Arc<dyn Source>) {
        self.sources.push(source);
    }

    /// The names of the sources.
    #[must_use]
    pub fn sources(&self) -> Vec<&'static str> {
        self.sources.iter().map(|source| source.name()).collect()
    }

    /// The records all sources received and refused.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.sources.iter().map(|source| source.rejected()).sum()
    }

    /// Publishes in all sources. What some of them could not do is a warning in the log.
    ///
    /// # Errors
    /// The record is not valid now, or none of the sources took it; the first one's reason.
    pub async fn publish(&self, record: NodeRecord) -> Result<(), PublishError> {
        let record = VerifiedRecord::check(record, unix_now())
            .map_err(|source| PublishError::Invalid { source })?;
        let mut failed = Vec::new();
        for source in &self.sources {
            if let Err(error) = source.publish(record.clone()).await {
                tracing::warn!(source = source.name(), %error, "Record not published");
                failed.push(error);
            }
        }
        let all_failed = failed.len() == self.sources.len();
        failed.into_iter().next().filter(|_| all_failed).map_or(Ok(()), Err)
    }

    /// Takes back what was published.
    pub async fn withdraw(&self) {
        for source in &self.sources {
            source.withdraw().await;
        }
    }

    /// Asks all sources. The lookup ends when they have nothing more to come or the time is up.
    /// Needs a tokio runtime.
    #[must_use]
    pub fn lookup(&self, query: Query, within: Duration) -> Lookup {
        let (merged, findings) = mpsc::channel(MERGED);
        let (from_sources, incoming) = Findings::channel("");
        let mut running = JoinSet::new();
        for source in &self.sources {
            let source = source.clone();
            let findings = from_sources.named(source.name());
            running.spawn(async move { source.lookup(query, findings).await });
        }
        drop(from_sources);
        let deadline = Instant::now() + within;
        let merge = async move {
            let merging = merge(query, incoming, &merged);
            tokio::select! {
                _ = timeout_at(deadline, merging) => {}
                () = merged.closed() => {}
            }
            running.shutdown().await;
        };
        tokio::spawn(merge);
        Lookup { findings }
    }
}

impl DiscoveryConfig {
    /// Chooses the directory of the same-host registry. Default: the user's runtime directory.
    #[must_use]
    pub fn registry(mut self, path: impl Into<PathBuf>) -> Self {
        self.registry = Some(path.into());
        self
    }

    /// Chooses where mDNS works. Default: all interfaces but loopback.
    #[must_use]
    pub fn mdns(mut self, config: MdnsConfig) -> Self {
        self.mdns = config;
        self
    }
}

impl Lookup {
    /// The next news; `None` when the lookup is over. A node may come up again, with a newer
    /// record or with further addresses.
    pub async fn next(&mut self) -> Option<Finding> {
        self.findings.recv().await
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("sources", &self.sources()).finish()
    }
}

/// What was told of one node.
#[derive(Default)]
struct Told {
    record: Option<VerifiedRecord>,
    hinted: BTreeSet<Multiaddr>,
}

impl Told {
    /// Whether this says more than what was told before, which it counts as from now on.
    fn is_news(&mut self, found: &Found) -> bool {
        match found {
            Found::Record(record) => {
                let is_newer = self.record.as_ref().is_none_or(|told| record.is_newer_than(told));
                if is_newer {
                    self.record = Some(record.clone());
                }
                is_newer
            }
            Found::Hint { addresses, .. } => {
                let known = self.record.as_ref().map_or(&[][..], |record| record.addresses());
                let room = MAX_HINTED.saturating_sub(self.hinted.len());
                let news: Vec<_> = addresses
                    .iter()
                    .filter(|address| !known.contains(address) && !self.hinted.contains(*address))
                    .take(room)
                    .cloned()
                    .collect();
                let is_news = !news.is_empty();
                self.hinted.extend(news);
                is_news
            }
        }
    }
}

/// Passes on what answers the query and is news.
async fn merge(
    query: Query,
    mut incoming: mpsc::Receiver<Finding>,
    merged: &mpsc::Sender<Finding>,
) {
    let mut told: BTreeMap<PeerId, Told> = BTreeMap::new();
    while let Some(finding) = incoming.recv().await {
        let peer = finding.found.peer();
        let has_room = told.len() < MAX_PEERS_FOUND || told.contains_key(&peer);
        if has_room
            && finding.found.answers(&query, unix_now())
            && told.entry(peer).or_default().is_news(&finding.found)
            && merged.send(finding).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
