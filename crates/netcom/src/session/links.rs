//! The links of a session: which there are, whether they answer, and waiting for others.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use netcom_session::{LinkId, LinkStats};

use super::{LinkView, SharedSession, effects::Effects, shared::Inner};
use crate::config::Links;

impl SharedSession {
    /// The session's links, in the order in which they came.
    pub(crate) fn links(&self) -> Vec<LinkView> {
        let inner = self.inner.lock();
        let view = |stats: LinkStats| {
            let entry = inner.links.iter().find(|entry| entry.id == stats.id)?;
            let (info, driver) = (Arc::clone(&entry.info), entry.driver.clone());
            Some(LinkView { stats, info, driver })
        };
        inner.engine.links().filter_map(view).collect()
    }

    /// Ends one link in order; the others carry on.
    pub(crate) fn close_link(self: &Arc<Self>, id: LinkId) {
        self.with(Effects::default(), |inner, now| {
            if inner.engine.closed().is_none() {
                inner.engine.close_link(id, now);
            }
        });
    }

    /// Some addresses of the machine are gone, others have come: a link from one that is gone is
    /// taken for dead until it answers, and one whose way may be another now is asked whether it
    /// does.
    pub(crate) fn addresses_changed(
        self: &Arc<Self>,
        gone: &BTreeSet<IpAddr>,
        come: &BTreeSet<IpAddr>,
    ) {
        self.with(Effects::default(), |inner, now| {
            for entry in &inner.links {
                let Some(local) = entry.info.local.as_ref().and_then(netcom_transport::ip_of)
                else {
                    continue;
                };
                let is_other_way = local.is_unspecified() && !gone.is_empty();
                if gone.contains(&local) {
                    inner.engine.doubt_link(entry.id, now);
                } else if is_other_way || come.contains(&local) {
                    inner.engine.probe_link(entry.id, now);
                }
            }
        });
    }

    /// Loses all links, as if the network had.
    #[cfg(test)]
    pub(crate) fn lose_links(self: &Arc<Self>) {
        self.with(Effects::default(), |inner, now| {
            for entry in std::mem::take(&mut inner.links) {
                inner.engine.link_lost(entry.id, &netcom_session::LinkLoss::Reset, now);
            }
        });
    }

    /// Sets how links are used. Returns whether nobody sees to it yet that there are as many.
    pub(crate) fn use_links(self: &Arc<Self>, policy: Links) -> bool {
        self.with(Effects::default(), |inner, now| {
            inner.policy = policy;
            inner.engine.set_redundancy(policy.redundancy(), now);
            inner.woken.extend(inner.watchers.all());
        });
        !self.has_link_keeper.swap(true, Ordering::AcqRel)
    }

    /// How links are used.
    pub(crate) fn policy(&self) -> Links {
        self.inner.lock().policy
    }

    /// Whether no link answers, and another one should be dialled beside them.
    pub(crate) fn wants_link(&self) -> bool {
        self.inner.lock().engine.wants_link()
    }

    /// Returns once a link answers, or the session is over.
    pub(crate) async fn wait_answer(self: &Arc<Self>) {
        self.watch(|inner| (!inner.engine.wants_link()).then_some(())).await;
    }

    /// How many links answer.
    pub(crate) fn working_links(&self) -> usize {
        self.inner.lock().working_links()
    }

    /// Returns once the session has this many links that answer, uses them in another way than
    /// this, or is over.
    pub(crate) async fn wait_links(self: &Arc<Self>, count: usize, policy: Links) {
        self.watch(|inner| {
            let is_over = inner.engine.closed().is_some() || inner.policy != policy;
            (is_over || inner.working_links() >= count).then_some(())
        })
        .await;
    }

    /// Returns once the session has fewer links that answer, uses them in another way, or is over.
    pub(crate) async fn wait_fewer_links(self: &Arc<Self>, count: usize, policy: Links) {
        self.watch(|inner| {
            let is_over = inner.engine.closed().is_some() || inner.policy != policy;
            (is_over || inner.working_links() < count).then_some(())
        })
        .await;
    }
}

impl Inner {
    /// How many links answer.
    fn working_links(&self) -> usize {
        self.engine.links().filter(|link| link.is_attached && !link.is_suspect).count()
    }
}
