//! From a domain to a key: asks, weighs, remembers.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use netcom_identity::{DomainName, EntityDocument, MAX_DELEGATIONS, Multiaddr, NetId, UnixTime};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    answer::{Answer, is_meant},
    error::NameError,
    evidence::{Dnssec, Evidence, Ground, Https, Pin, Refusal},
    pins::{Pinned, Pins},
    source::{Dns, Txt, Web, WebError},
};

/// Finds the key behind a name.
///
/// What the user set comes first and asks nobody. A domain's web server and the DNS are then asked
/// both, whichever is faster; neither is believed before the other was heard or had its time.
#[derive(Clone)]
pub struct Names {
    fixed: BTreeMap<DomainName, NetId>,
    pins: Option<Pins>,
    sources: Option<(Arc<dyn Web>, Arc<dyn Dns>)>,
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

/// What one source said.
enum Heard {
    Answer(Answer),
    Bad(String),
    Nothing(String),
}

impl Names {
    /// Asks `web` and `dns`. Nothing is remembered until [`remembering`](Self::remembering).
    #[must_use]
    pub fn new(web: Arc<dyn Web>, dns: Arc<dyn Dns>) -> Self {
        Self { fixed: BTreeMap::new(), pins: None, sources: Some((web, dns)) }
    }

    /// Asks nobody: what the user set counts alone.
    #[must_use]
    pub fn offline() -> Self {
        Self { fixed: BTreeMap::new(), pins: None, sources: None }
    }

    /// Gives domains keys that nobody is asked about.
    #[must_use]
    pub fn fixed(mut self, names: impl IntoIterator<Item = (DomainName, NetId)>) -> Self {
        self.fixed.extend(names);
        self
    }

    /// Remembers in a data directory which key a name led to.
    #[must_use]
    pub fn remembering(mut self, data: &Path) -> Self {
        self.pins = Some(Pins::new(data));
        self
    }

    /// The key behind a domain.
    ///
    /// # Errors
    /// [`NameError`] says what speaks against it and who can mend that.
    pub async fn domain(&self, domain: &DomainName, now: UnixTime) -> Result<Resolved, NameError> {
        let name = domain.as_str();
        if let Some(netid) = self.fixed.get(domain) {
            return Ok(Resolved::fixed(*netid));
        }
        let Some((web, dns)) = &self.sources else {
            return Err(NameError::Offline { name: name.to_owned() });
        };
        let pinned = self.pinned(name).await?;
        let (web, (dns, dnssec)) =
            tokio::join!(ask_web(&**web, name, now), ask_dns(&**dns, name, now));
        let (document, ground) = weigh(name, &web, &dns, dnssec, pinned.as_ref(), now)?;
        let resolved = Resolved::of(&document, ground);
        let now_pinned = Pinned { netid: resolved.netid, document: Some(document) };
        if pinned.as_ref() != Some(&now_pinned) {
            self.pin(name, pinned, now_pinned).await?;
        }
        Ok(resolved)
    }

    /// Lets a domain lead to a key from now on because the user says so. Does file I/O.
    ///
    /// # Errors
    /// The data directory cannot be written, or there is none.
    pub fn trust(&self, domain: &DomainName, netid: NetId) -> Result<(), NameError> {
        let pins = self.pins.as_ref().ok_or(NameError::NoDirectory)?;
        // What was seen of the same key stays seen; a damaged pin is what this mends.
        let before = pins.read(domain.as_str()).ok().flatten();
        let document = before.filter(|before| before.netid == netid).and_then(|it| it.document);
        Ok(pins.write(domain.as_str(), &Pinned { netid, document })?)
    }

    async fn pinned(&self, name: &str) -> Result<Option<Pinned>, NameError> {
        let Some(pins) = self.pins.clone() else { return Ok(None) };
        let name = name.to_owned();
        Ok(spawn_blocking(move || pins.read(&name)).await.map_err(|_| NameError::Closed)??)
    }

    /// Remembers a key unless somebody else changed what was remembered in the meantime.
    async fn pin(&self, name: &str, was: Option<Pinned>, new: Pinned) -> Result<(), NameError> {
        let Some(pins) = self.pins.clone() else { return Ok(()) };
        let name = name.to_owned();
        let write = move || {
            if pins.read(&name)? != was {
                return Err(NameError::Busy { name });
            }
            Ok(pins.write(&name, &new)?)
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

    fn of(document: &EntityDocument, ground: Ground) -> Self {
        let description = document.description();
        Self {
            netid: *document.netid(),
            hints: description.hints.clone(),
            lowest_sequence: description.lowest_sequence,
            delegations: description.delegations,
            ground: match ground {
                Ground::Both => "its web server and DNSSEC say so",
                Ground::Https => "its web server says so",
                Ground::Dnssec => "DNSSEC says so",
                Ground::Pin => "it was so before, and nobody answers now",
            },
        }
    }
}

async fn ask_web(web: &dyn Web, name: &str, now: UnixTime) -> Heard {
    match timeout(ASKING, web.get(name, WELL_KNOWN)).await {
        Ok(Ok(page)) => match Answer::from_json(&page, now) {
            Ok(answer) => Heard::Answer(answer),
            Err(error) => Heard::Bad(error.to_string()),
        },
        Ok(Err(WebError::Bad { reason })) => Heard::Bad(reason),
        Ok(Err(WebError::Absent { reason })) => Heard::Nothing(reason),
        Err(_) => Heard::Nothing(format!("no answer within {ASKING:?}")),
    }
}

async fn ask_dns(dns: &dyn Dns, name: &str, now: UnixTime) -> (Heard, Dnssec) {
    let asked = format!("_netid.{name}");
    let Ok(txt) = timeout(ASKING, dns.txt(&asked)).await else {
        return (Heard::Nothing(format!("no answer within {ASKING:?}")), Dnssec::None);
    };
    match txt {
        Txt::Bogus { reason } => (Heard::Bad(reason), Dnssec::Bogus),
        Txt::Absent { reason } => (Heard::Nothing(reason), Dnssec::None),
        Txt::Insecure(texts) if texts.iter().any(|text| is_meant(text)) => {
            (Heard::Nothing("a record without DNSSEC".to_owned()), Dnssec::Insecure)
        }
        Txt::Insecure(_) => (Heard::Nothing("no record".to_owned()), Dnssec::None),
        Txt::Secure(texts) => match one_of(&texts, now) {
            Some(Ok(answer)) => (Heard::Answer(answer), Dnssec::Secure),
            // Proven to be the zone's, and no document: the zone has to be mended.
            Some(Err(reason)) => (Heard::Bad(reason), Dnssec::Bogus),
            None => (Heard::Nothing("no record".to_owned()), Dnssec::None),
        },
    }
}

/// Decides on what was heard: which document counts, and why.
fn weigh(
    name: &str,
    web: &Heard,
    dns: &Heard,
    dnssec: Dnssec,
    pinned: Option<&Pinned>,
    now: UnixTime,
) -> Result<(EntityDocument, Ground), NameError> {
    let answers = [web, dns].map(|heard| match heard {
        Heard::Answer(answer) => Some(answer),
        _ => None,
    });
    if let [Some(web), Some(dns)] = answers
        && web.document.netid() != dns.document.netid()
    {
        return Err(NameError::Different {
            name: name.to_owned(),
            web: *web.document.netid(),
            dns: *dns.document.netid(),
        });
    }
    let answer = answers
        .into_iter()
        .flatten()
        .reduce(|one, other| if other.document.is_newer_than(&one.document) { other } else { one });
    let document = answer
        .map(|answer| &answer.document)
        .or_else(|| pinned?.document.as_ref().filter(|document| document.verify(now).is_ok()));
    let evidence = Evidence {
        https: match web {
            Heard::Answer(_) => Https::Valid,
            Heard::Bad(_) => Https::Bad,
            Heard::Nothing(_) => Https::None,
        },
        dnssec,
        is_named: document.and_then(EntityDocument::primary_name) == Some(name),
        pin: match (pinned, answer) {
            (Some(_), None) if document.is_some() => Pin::Same,
            (None, _) | (_, None) => Pin::None,
            (Some(pinned), Some(answer)) if follows(answer.document.netid(), answers, pinned) => {
                Pin::Same
            }
            (Some(_), Some(_)) => Pin::Other,
        },
    };
    let ground = evidence.weigh().map_err(|refusal| {
        explain(name, refusal, web, dns, document.map(|document| *document.netid()), pinned)
    })?;
    if let Some(successor) = document.and_then(|document| document.description().successor)
        && ground != Ground::Pin
    {
        return Err(NameError::Replaced { name: name.to_owned(), successor });
    }
    let document = document.ok_or_else(|| NameError::Unknown {
        name: name.to_owned(),
        web: "no document".to_owned(),
        dns: "no document".to_owned(),
    })?;
    if let Some(pinned) = pinned
        && pinned.netid == *document.netid()
        && document.description().sequence < pinned.sequence()
    {
        return Err(NameError::Replayed {
            name: name.to_owned(),
            sequence: document.description().sequence,
            seen: pinned.sequence(),
        });
    }
    Ok((document.clone(), ground))
}

/// Whether `key` is the pinned one, or was named by it as its successor, in one step or several, in
/// documents that are no older than what was seen of it.
fn follows(key: &NetId, answers: [Option<&Answer>; 2], pinned: &Pinned) -> bool {
    let earlier = || answers.into_iter().flatten().flat_map(|answer| &answer.earlier);
    let documents = || pinned.document.iter().chain(earlier());
    let (mut known, mut least) = (pinned.netid, pinned.sequence());
    // As many steps as there are documents: more would go in a circle.
    for _ in 0..=documents().count() {
        if known == *key {
            return true;
        }
        let next = documents().find_map(|document| {
            let description = document.description();
            let counts = *document.netid() == known && description.sequence >= least;
            description.successor.filter(|_| counts)
        });
        let Some(next) = next else { return false };
        (known, least) = (next, 0);
    }
    false
}

fn explain(
    name: &str,
    refusal: Refusal,
    web: &Heard,
    dns: &Heard,
    key: Option<NetId>,
    pinned: Option<&Pinned>,
) -> NameError {
    let (name, web, dns) = (name.to_owned(), web.reason(), dns.reason());
    match (refusal, key, pinned) {
        (Refusal::Bogus, ..) => NameError::Bogus { name, reason: dns },
        (Refusal::BadAnswer, ..) => NameError::BadAnswer { name, reason: web },
        (Refusal::Unproven, ..) => NameError::Unproven { name },
        (Refusal::NotNamed, Some(netid), _) => NameError::NotNamed { name, netid },
        (Refusal::Changed, Some(found), Some(pinned)) => {
            NameError::Changed { name, known: pinned.netid, found }
        }
        _ => NameError::Unknown { name, web, dns },
    }
}

impl Heard {
    fn reason(&self) -> String {
        match self {
            Self::Answer(_) => "an answer".to_owned(),
            Self::Bad(reason) | Self::Nothing(reason) => reason.clone(),
        }
    }
}

/// The answer among the records of a name; several are a mistake.
fn one_of(texts: &[String], now: UnixTime) -> Option<Result<Answer, String>> {
    let mut meant = texts.iter().filter(|text| is_meant(text));
    let text = meant.next()?;
    if meant.next().is_some() {
        return Some(Err("several records that begin with netid1".to_owned()));
    }
    Some(Answer::from_txt(text, now).map_err(|error| error.to_string()))
}

/// Where a domain's web server has the answer.
const WELL_KNOWN: &str = "/.well-known/netid.json";
/// How long a source may take.
const ASKING: Duration = Duration::from_secs(5);
