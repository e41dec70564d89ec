//! What the two sources of a domain say, and which document that comes to.

use netcom_identity::{EntityDocument, NetId, UnixTime};
use tokio::time::timeout;

use super::{
    answer::{Answer, is_meant},
    error::NameError,
    evidence::{Dnssec, Evidence, Ground, Https, Pin, Refusal},
    pins::Pinned,
    resolver::ASKING,
    source::{Dns, Txt, Web, WebError},
};

/// What one source said.
pub(crate) enum Heard {
    Answer(Answer),
    Bad(String),
    Nothing(String),
}

/// What the domain's web server says.
pub(crate) async fn ask_web(web: &dyn Web, name: &str, now: UnixTime) -> Heard {
    match timeout(ASKING, web.get(name, WELL_KNOWN)).await {
        Ok(Ok(page)) => match Answer::from_json(&page, now) {
            Ok(answer) => Heard::Answer(answer),
            Err(error) => Heard::Bad(error.to_string()),
        },
        Ok(Err(error @ (WebError::Bad { .. } | WebError::Certificate { .. }))) => {
            Heard::Bad(error.to_string())
        }
        Ok(Err(error @ (WebError::Absent { .. } | WebError::Missing))) => {
            Heard::Nothing(error.to_string())
        }
        Err(_) => Heard::Nothing(format!("no answer within {ASKING:?}")),
    }
}

/// What the DNS says, and how far it is proven.
pub(crate) async fn ask_dns(dns: &dyn Dns, name: &str, now: UnixTime) -> (Heard, Dnssec) {
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
pub(crate) fn weigh(
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
    let earlier: Vec<_> = answers.into_iter().flatten().flat_map(|it| &it.earlier).collect();
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
            (Some(pinned), Some(answer)) if pinned.leads_to(answer.document.netid(), &earlier) => {
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
