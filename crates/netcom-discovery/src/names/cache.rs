//! What the sources of domains said lately. What it comes to is weighed anew each time, so that a
//! pin that changed counts at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use netcom_identity::UnixTime;

use super::{domain::Heard, evidence::Dnssec};

/// What both sources of a domain said.
pub(crate) struct Said {
    pub(crate) web: Heard,
    pub(crate) dns: Heard,
    pub(crate) dnssec: Dnssec,
}

/// What was said lately, by domain. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<Mutex<BTreeMap<String, Kept>>>);

struct Kept {
    said: Arc<Said>,
    since: UnixTime,
    until: UnixTime,
}

impl Cache {
    /// What was said of a domain, unless that is too long ago, or the clock was set back since.
    pub(crate) fn at(&self, name: &str, now: UnixTime) -> Option<Arc<Said>> {
        let kept = self.kept();
        let it = kept.get(name)?;
        (it.since <= now && now < it.until).then(|| Arc::clone(&it.said))
    }

    /// Keeps what was said for `seconds`, or less if it does not hold so long or was no answer.
    pub(crate) fn keep(&self, name: &str, said: Arc<Said>, now: UnixTime, seconds: u64) {
        let until = said.until(now, seconds);
        let mut kept = self.kept();
        kept.retain(|_, it| it.since <= now && now < it.until);
        if kept.len() >= MAX_KEPT
            && !kept.contains_key(name)
            && let Some(first) = kept.iter().min_by_key(|(_, it)| it.until).map(|(name, _)| name)
        {
            let first = first.clone();
            kept.remove(&first);
        }
        kept.insert(name.to_owned(), Kept { said, since: now, until });
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    fn until(&self, now: UnixTime, seconds: u64) -> UnixTime {
        let answers = [&self.web, &self.dns].into_iter().filter_map(|heard| match heard {
            Heard::Answer(answer) => Some(answer.document.description().expires),
            Heard::Bad(_) | Heard::Nothing(_) => None,
        });
        let is_bad = matches!((&self.web, &self.dns), (Heard::Bad(_), _) | (_, Heard::Bad(_)));
        match answers.min().filter(|_| !is_bad) {
            Some(expires) => now.plus_seconds(seconds).min(expires),
            None => now.plus_seconds(seconds.min(FAILURE_SECONDS)),
        }
    }
}

/// How long an answer counts unless somebody says otherwise: what is taken back by a new document
/// counts no longer than this.
pub(crate) const KEPT_SECONDS: u64 = 60;
/// How long the lack of an answer counts: enough against a program that tries again at once.
const FAILURE_SECONDS: u64 = 5;
/// Each is two answers of 16 KiB at most.
const MAX_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use netcom_identity::{EntityDescription, EntityDocument, SecretKey};

    use super::*;
    use crate::names::Answer;

    fn said(expires: u64) -> Arc<Said> {
        let description = EntityDescription::new(1, UnixTime(expires));
        let document = EntityDocument::sign(&SecretKey::from_bytes(&[1; 32]), description).unwrap();
        let web = Heard::Answer(Answer { document, earlier: Vec::new() });
        let dns = Heard::Nothing("no record".to_owned());
        Arc::new(Said { web, dns, dnssec: Dnssec::None })
    }

    fn silence() -> Arc<Said> {
        let [web, dns] = [(); 2].map(|()| Heard::Nothing("no answer".to_owned()));
        Arc::new(Said { web, dns, dnssec: Dnssec::None })
    }

    #[test]
    fn an_answer_counts_a_minute_or_until_it_ends_and_silence_some_seconds() {
        let cache = Cache::default();
        for (said, end) in [(said(9000), 1060), (said(1010), 1010), (silence(), 1005)] {
            cache.keep("example.org", said, UnixTime(1000), KEPT_SECONDS);
            assert!(cache.at("example.org", UnixTime(end - 1)).is_some(), "{end}");
            assert!(cache.at("example.org", UnixTime(end)).is_none(), "{end}");
            assert!(cache.at("example.org", UnixTime(999)).is_none(), "the clock was set back");
            assert!(cache.at("example.com", UnixTime(1000)).is_none());
        }
        cache.keep("example.org", said(9000), UnixTime(1000), 0);
        assert!(cache.at("example.org", UnixTime(1000)).is_none());
    }

    #[test]
    fn when_there_is_no_room_what_ends_first_goes() {
        let cache = Cache::default();
        for index in 0..=MAX_KEPT as u64 {
            let now = UnixTime(1000 + index / 8);
            cache.keep(&format!("n{index}"), said(9000), now, KEPT_SECONDS);
        }
        assert_eq!(cache.kept().len(), MAX_KEPT);
        assert!(cache.at("n0", UnixTime(1010)).is_none());
        assert!(cache.at(&format!("n{MAX_KEPT}"), UnixTime(1010)).is_some());

        cache.keep("n2", said(9000), UnixTime(1011), KEPT_SECONDS);
        assert_eq!(cache.kept().len(), MAX_KEPT, "what is there already takes no other's room");
    }
}
