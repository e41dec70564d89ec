//! What went wrong between hosts, and which ends of sessions that explains.

use std::time::Duration;

use netcom_session::{Code, Time};

use super::network::{Fault, HostId};

/// Everything that may cost sessions.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    list: Vec<Trouble>,
    /// Processes that ended.
    ends: Vec<(HostId, Time)>,
}

/// Where and when something ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Whose it was, and with whom.
    pub(super) pair: [HostId; 2],
    /// The path between them may lose something again and again at the best of times.
    pub(super) is_lossy: bool,
    /// When it began.
    pub(super) began: Time,
    pub(super) at: Time,
}

#[derive(Debug)]
struct Trouble {
    what: What,
    /// When it ended, if it has.
    until: Option<Time>,
}

#[derive(Debug)]
enum What {
    /// With its number.
    Fault(u64, Fault),
    Host(HostId),
}

impl Troubles {
    /// Something goes wrong.
    pub(super) fn fault_begins(&mut self, number: u64, fault: Fault) {
        self.list.push(Trouble { what: What::Fault(number, fault), until: None });
    }

    /// It does no longer.
    pub(super) fn fault_ends(&mut self, number: u64, at: Time) {
        self.end(at, |what| matches!(what, What::Fault(known, _) if *known == number));
    }

    /// A host sleeps or is off, and has not come back.
    pub(super) fn host_leaves(&mut self, host: HostId) {
        self.list.push(Trouble { what: What::Host(host), until: None });
    }

    /// A host is there again.
    pub(super) fn host_returns(&mut self, host: HostId, at: Time) {
        self.end(at, |what| matches!(what, What::Host(known) if *known == host));
    }

    /// A host is elsewhere from now on.
    pub(super) fn host_moves(&mut self, host: HostId, at: Time) {
        self.list.push(Trouble { what: What::Host(host), until: Some(at) });
    }

    /// A host's process ends.
    pub(super) fn process_ends(&mut self, host: HostId, at: Time) {
        self.ends.push((host, at));
    }

    /// Whether what happened to hosts and network explains that something ended with this.
    pub(super) fn explain(&self, ended: Setting, code: Code) -> bool {
        match code {
            Code::PEER_RESTARTED | Code::INSTANCE_CHANGED => self.is_restarted(ended),
            Code::RESUME_EXPIRED
            | Code::LINK_LOST
            | Code::NO_ERROR
            | Code::UNKNOWN_SESSION
            | Code::HANDSHAKE_TIMEOUT
            | Code::CANCELLED
            | Code::ABANDONED
            | Code::DEADLINE => self.are_felt(ended),
            _ => false,
        }
    }

    /// Whether anything went wrong between the two since something began, or shortly before.
    pub(super) fn are_felt(&self, by: Setting) -> bool {
        let [one, other] = by.pair;
        let is_felt = |trouble: &Trouble| {
            let concerns = match &trouble.what {
                What::Fault(_, fault) => fault.concerns(one, other),
                What::Host(host) => by.pair.contains(host),
            };
            concerns && trouble.until.is_none_or(|until| until + AFTERMATH >= by.began)
        };
        by.is_lossy || self.is_restarted(by) || self.list.iter().any(is_felt)
    }

    /// Whether a process of either ended since something began; packets of one that was gone by
    /// then may have begun it.
    fn is_restarted(&self, by: Setting) -> bool {
        let is_one =
            |(host, at): &(HostId, Time)| by.pair.contains(host) && *at + AFTERMATH >= by.began;
        self.ends.iter().any(is_one)
    }

    fn end(&mut self, at: Time, is_it: impl Fn(&What) -> bool) {
        for trouble in self.list.iter_mut().filter(|trouble| is_it(&trouble.what)) {
            trouble.until.get_or_insert(at);
        }
    }
}

/// How long trouble is felt after it ended: until silence is noticed, sessions are no longer
/// waited for, and dialling again has paused for longest.
const AFTERMATH: Duration = Duration::from_secs(150);

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: [HostId; 2] = [HostId(0), HostId(1)];

    /// Something between the two that began and ended so many seconds after the beginning.
    fn setting(began: u64, at: u64) -> Setting {
        let time = |seconds| Time(0) + Duration::from_secs(seconds);
        Setting { pair: PAIR, is_lossy: false, began: time(began), at: time(at) }
    }

    #[test]
    fn nothing_explains_the_end_of_a_session_where_nothing_happened() {
        let mut troubles = Troubles::default();
        troubles.fault_begins(1, Fault::OneWay { from: HostId(0), to: HostId(2) });
        troubles.host_leaves(HostId(2));
        assert!(!troubles.explain(setting(0, 100), Code::RESUME_EXPIRED));
    }

    #[test]
    fn trouble_explains_what_it_may_have_cost_and_only_for_a_while() {
        let mut troubles = Troubles::default();
        troubles.fault_begins(1, Fault::OneWay { from: HostId(1), to: HostId(0) });
        assert!(troubles.explain(setting(50, 60), Code::RESUME_EXPIRED));
        troubles.fault_ends(1, setting(0, 70).at);
        assert!(troubles.explain(setting(100, 110), Code::RESUME_EXPIRED));
        assert!(!troubles.explain(setting(500, 510), Code::RESUME_EXPIRED));
        assert!(!troubles.explain(setting(50, 60), Code::PEER_RESTARTED));
        assert!(!troubles.explain(setting(50, 60), Code::PROTOCOL_VIOLATION));
    }

    #[test]
    fn a_process_that_ended_explains_that_sessions_with_it_did() {
        let mut troubles = Troubles::default();
        troubles.process_ends(HostId(1), setting(0, 70).at);
        assert!(troubles.explain(setting(0, 5000), Code::PEER_RESTARTED), "noticed late");
        assert!(!troubles.explain(setting(1000, 5000), Code::PEER_RESTARTED));
    }
}
