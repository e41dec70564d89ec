//! From a name with dots to a key: asks, judges, remembers.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use netcom_identity::{
    DirectoryName, DirectorySuffixes, DomainName, DottedName, EntityDocument, MAX_DELEGATIONS,
    Multiaddr, NetId, UnixTime,
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    cache::{Cache, KEPT_SECONDS, Said},
    directories::Directories,
    directory::{Question, Verdict},
    dnssec::Dnssec,
    domain::{ask_dns, ask_web, weigh},
    error::NameError,
    evidence::Ground,
    hints::public_hints,
    https::Https,
    pins::{Pinned, PinnedEntry, Pins},
    source::{Dns, NoDns, Web, WebError},
};

/// Finds the key behind a name.
///
/// What the user set comes first and asks nobody. A name under a directory's suffix is asked of
/// that directory and of nobody else. A domain's web server and the DNS are asked both, whichever
/// is faster; neither is believed before the other was heard or had its time.
#[derive(Clone)]
pub struct Names {
    fixed: BTreeMap<String, NetId>,
    pins: Option<Pins>,
    sources: Option<(Arc<dyn Web>, Arc<dyn Dns>)>,
    directories: Directories,
    cache: Cache,
    kept_seconds: u64,
}

/// Whom a name means.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// The entity.
    pub netid: NetId,
    /// Where nodes of it may be reached, each ending in its `/p2p`; mere hints.
    pub hints: Vec<Multiaddr>,
    /// Proofs of Representation below it are revoked.
    pub lowest_sequence: u64,
    /// Proofs of Representation with more delegations are refused.
    pub delegations: u8,
    /// Who says so, for people.
    pub ground: &'static str,
}

impl Names {
    /// Asks `web` and `dns`. Nothing is remembered until [`remembering`](Self::remembering).
    #[must_use]
    pub fn new(web: Arc<dyn Web>, dns: Arc<dyn Dns>) -> Self {
        Self { sources: Some((web, dns)), ..Self::offline() }
    }

    /// Asks web servers, and the DNS by the system's configuration.
    #[must_use]
    pub fn system() -> Self {
        let dns: Arc<dyn Dns> = match Dnssec::system() {
            Ok(dns) => Arc::new(dns),
            Err(error) => {
                tracing::warn!(%error, "Names are asked of web servers alone");
                Arc::new(NoDns)
            }
        };
        Self::new(Arc::new(Https::new()), dns)
    }

    /// Asks nobody beyond this machine: what the user set counts, and directories at loopback
    /// addresses.
    #[must_use]
    pub fn offline() -> Self {
        Self {
            fixed: BTreeMap::new(),
            pins: None,
            sources: None,
            directories: Directories::default(),
            cache: Cache::default(),
            kept_seconds: KEPT_SECONDS,
        }
    }

    /// Asks directories for the names under their suffixes.
    #[must_use]
    pub fn directories(mut self, directories: Directories) -> Self {
        self.directories = directories;
        self
    }

    /// Gives names keys that nobody is asked about.
    #[must_use]
    pub fn fixed<N: Into<DottedName>>(
        mut self,
        names: impl IntoIterator<Item = (N, NetId)>,
    ) -> Self {
        let names = names.into_iter().map(|(name, netid)| (name.into(), netid));
        self.fixed.extend(names.map(|(name, netid)| (name.as_str().to_owned(), netid)));
        self
    }

    /// The suffixes whose names directories answer.
    #[must_use]
    pub fn suffixes(&self) -> &DirectorySuffixes {
        self.directories.suffixes()
    }

    /// Remembers in a data directory which key a name led to.
    #[must_use]
    pub fn remembering(mut self, data: &Path) -> Self {
        self.pins = Some(Pins::new(data));
        self
    }

    /// Sets how long what a domain's sources said counts before they are asked again; that they
    /// said nothing counts 5 s at most. A directory is asked each time. Default: a minute.
    #[must_use]
    pub fn keeping(mut self, time: Duration) -> Self {
        self.kept_seconds = time.as_secs();
        self
    }

    /// The key behind a name.
    ///
    /// # Errors
    /// [`NameError`] says what speaks against it and who can mend that.
    pub async fn resolve(&self, name: &DottedName, now: UnixTime) -> Result<Resolved, NameError> {
        if let Some(netid) = self.fixed.get(name.as_str()) {
            return Ok(Resolved::fixed(*netid));
        }
        match name {
            DottedName::Domain(name) => self.domain(name, now).await,
            DottedName::Directory(name) => self.directory(name, now).await,
        }
    }

    async fn domain(&self, domain: &DomainName, now: UnixTime) -> Result<Resolved, NameError> {
        let name = domain.as_str();
        // Whoever read the name may not have known the suffix.
        match DirectoryName::parse(name, self.directories.suffixes()) {
            Ok(None) => {}
            Ok(Some(name)) => return self.directory(&name, now).await,
            Err(_) => {
                // The suffix alone is nobody, and no domain either.
                return Err(NameError::SuffixAlone { suffix: name.to_owned() });
            }
        }
        let said = self.said(name, now).await?;
        let pinned = self.pinned(name).await?;
        let (document, ground) =
            weigh(name, &said.web, &said.dns, said.dnssec, pinned.as_ref(), now)?;
        let ground = match ground {
            Ground::Both => "its web server and DNSSEC say so",
            Ground::Https => "its web server says so",
            Ground::Dnssec => "DNSSEC says so",
            Ground::Pin => AS_BEFORE,
        };
        let mut resolved = Resolved::of(&document, ground);
        public_hints(&mut resolved.hints);
        let document = Some(document);
        self.pin(name, pinned, Pinned { netid: resolved.netid, document, entry: None }).await?;
        Ok(resolved)
    }

    /// What the sources of a domain say, or said lately.
    async fn said(&self, name: &str, now: UnixTime) -> Result<Arc<Said>, NameError> {
        let Some((web, dns)) = &self.sources else {
            return Err(NameError::Offline { name: name.to_owned() });
        };
        if let Some(said) = self.cache.at(name, now) {
            return Ok(said);
        }
        let (web, (dns, dnssec)) =
            tokio::join!(ask_web(&**web, name, now), ask_dns(&**dns, name, now));
        let said = Arc::new(Said { web, dns, dnssec });
        self.cache.keep(name, Arc::clone(&said), now, self.kept_seconds);
        Ok(said)
    }

    async fn directory(&self, name: &DirectoryName, now: UnixTime) -> Result<Resolved, NameError> {
        // By the suffixes there are here, of which the longest counts.
        let own = DirectoryName::parse(name.as_str(), self.directories.suffixes()).ok().flatten();
        let suffix = own.as_ref().unwrap_or(name).suffix();
        let name = name.as_str();
        let Some(directory) = self.directories.of(suffix) else {
            let (name, suffix) = (name.to_owned(), suffix.to_owned());
            return Err(NameError::NoDirectoryFor { name, suffix });
        };
        if self.sources.is_none() && !directory.is_on_this_host() {
            return Err(NameError::Offline { name: name.to_owned() });
        }
        let pinned = self.pinned(name).await?;
        let path = directory.path(name);
        let page = timeout(ASKING, directory.web().get(directory.host(), &path)).await;
        let page = page.unwrap_or_else(|_| {
            Err(WebError::Absent { reason: format!("no answer within {ASKING:?}") })
        });
        let question = Question { name, key: directory.key(), url: directory.url(), now };
        let mut resolved = match question.judge(page.as_deref(), pinned.as_ref())? {
            Verdict::Before(document) => Resolved::of(&document, AS_BEFORE),
            Verdict::Entry(entry) => {
                let resolved = Resolved::of(entry.document(), "its directory says so");
                let (netid, document) = (resolved.netid, Some(entry.document().clone()));
                let entry = Some(PinnedEntry::of(&entry));
                self.pin(name, pinned, Pinned { netid, document, entry }).await?;
                resolved
            }
        };
        if !directory.is_near() {
            public_hints(&mut resolved.hints);
        }
        Ok(resolved)
    }

    /// Lets a name lead to a key from now on, until another one takes its place with that key's
    /// consent, because the user says so. Does file I/O.
    ///
    /// # Errors
    /// The data directory cannot be written, or there is none, or it remembers too many names.
    pub fn trust(&self, name: &DottedName, netid: NetId) -> Result<(), NameError> {
        let (name, pins) = (name.as_str(), self.pins.as_ref().ok_or(NameError::NoDirectory)?);
        let pins = pins.lock()?;
        // What was seen of the same key and directory stays seen; a damaged pin is what this mends.
        let (document, entry) = match pins.read(name).ok().flatten() {
            Some(before) if before.netid == netid => (before.document, before.entry),
            Some(before) => (None, before.entry),
            None => (None, None),
        };
        Ok(pins.write(name, &Pinned { netid, document, entry })?)
    }

    /// Forgets which key a name led to, so that the next answer counts as the first. Tells whether
    /// one was remembered. Does file I/O.
    ///
    /// # Errors
    /// The data directory cannot be written, or there is none.
    pub fn forget(&self, name: &DottedName) -> Result<bool, NameError> {
        let pins = self.pins.as_ref().ok_or(NameError::NoDirectory)?;
        Ok(pins.lock()?.remove(name.as_str())?)
    }

    async fn pinned(&self, name: &str) -> Result<Option<Pinned>, NameError> {
        let Some(pins) = self.pins.clone() else { return Ok(None) };
        let name = name.to_owned();
        Ok(spawn_blocking(move || pins.read(&name)).await.map_err(|_| NameError::Closed)??)
    }

    /// Remembers a key, unless somebody else had another one remembered in the meantime.
    async fn pin(&self, name: &str, was: Option<Pinned>, new: Pinned) -> Result<(), NameError> {
        let Some(pins) = self.pins.clone() else { return Ok(()) };
        if was.as_ref() == Some(&new) {
            return Ok(());
        }
        let name = name.to_owned();
        let write = move || {
            let pins = pins.lock()?;
            match pins.read(&name)? {
                current if current == was => Ok(pins.write(&name, &new)?),
                // Who looked for the same name at the same time found the same key.
                Some(current) if current.netid == new.netid => {
                    let merged = current.clone().merged(new);
                    if merged == current { Ok(()) } else { Ok(pins.write(&name, &merged)?) }
                }
                _ => Err(NameError::Busy { name }),
            }
        };
        spawn_blocking(write).await.map_err(|_| NameError::Closed)?
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("fixed", &self.fixed).finish_non_exhaustive()
    }
}

impl Resolved {
    fn fixed(netid: NetId) -> Self {
        Self {
            netid,
            hints: Vec::new(),
            lowest_sequence: 0,
            delegations: MAX_DELEGATIONS,
            ground: "the configuration says so",
        }
    }

    fn of(document: &EntityDocument, ground: &'static str) -> Self {
        let description = document.description();
        Self {
            netid: *document.netid(),
            hints: description.hints.clone(),
            lowest_sequence: description.lowest_sequence,
            delegations: description.delegations,
            ground,
        }
    }
}

/// Why a name leads where it led before.
const AS_BEFORE: &str = "it was so before, and nobody answers now";
/// How long a source may take.
pub(crate) const ASKING: Duration = Duration::from_secs(5);
