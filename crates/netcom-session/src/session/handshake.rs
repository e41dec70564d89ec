//! How a link becomes part of the session: HELLO, JOIN, KEY.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    Bound, Session, State,
    config::{DUPLICATE_LINK_GRACE, MAX_LINKS},
    event::{AttachError, Event, Violation},
    link::{Control, Link, LinkSpec, Phase},
};
use crate::{
    Code, LinkId, Time,
    wire::{Hello, Purpose, SessionKey},
};

impl Session {
    /// Adds a link this side dialled. HELLO, then proof of the session or early data, wait in
    /// [`poll_batch`](Self::poll_batch).
    ///
    /// # Errors
    /// Close the link: the session is over or has as many links as it may.
    pub fn dial_link(&mut self, spec: LinkSpec, now: Time) -> Result<LinkId, AttachError> {
        self.advance(now);
        self.check_room()?;
        let id = LinkId(self.dialled << 1 | u64::from(!self.core.is_keeper));
        self.dialled += 1;
        let purpose = match self.bound {
            Some(Bound { token: session, .. }) => Purpose::Join { session },
            None => Purpose::New,
        };
        // The keeper has the secret before it knows that the other side has it.
        let join = self.bound.and_then(|_| self.mac(&spec, Side::Dialer, id)).map(Box::new);
        let deadline = now + self.core.config.hello_timeout;
        let mut link = Link::new(id, spec, true, Phase::AwaitAnswer { deadline, held: false });
        link.hello = Some(Box::new(self.hello(id, purpose)));
        link.join = join;
        // Before the proof, which may be wanted by then, nothing counts.
        link.is_mute = self.bound.is_some() && link.join.is_none();
        link.is_open_to_all = self.bound.is_none();
        if link.is_open_to_all {
            self.turn_early_to(link.spec.process, true);
        }
        self.links.push(link);
        if self.active.is_none() {
            self.active = Some(id);
        }
        Ok(id)
    }

    /// Adds a link the peer dialled, whose first frame was `hello`; the answer waits in
    /// [`poll_batch`](Self::poll_batch).
    ///
    /// # Errors
    /// Answer the link with a refusal and close it.
    pub fn accept_link(
        &mut self,
        spec: LinkSpec,
        hello: &Hello,
        now: Time,
    ) -> Result<LinkId, AttachError> {
        self.advance(now);
        let join_of = match hello.purpose {
            Purpose::Join { session } => Some(session),
            _ => None,
        };
        if join_of.is_some_and(|session| session != self.local.token) {
            return Err(AttachError::UnknownSession);
        }
        self.check_room()?;
        let id = hello.link;
        let has_peer_parity = (id.0 & 1 == 0) != self.core.is_keeper;
        if !has_peer_parity || self.peer_dialled.is_some_and(|highest| id <= highest) {
            return Err(AttachError::BadLinkId);
        }
        self.watch.count_attach(now)?;
        let token = hello.session.ok_or(AttachError::OtherInstance)?;
        let bound = Bound {
            instance: hello.instance,
            token,
            process: spec.process,
            // Who has the session dials by Join; who asks for one may have had it, and ended it.
            has_early: join_of.is_some(),
        };
        self.bind(bound)?;
        self.peer_dialled = Some(id);
        let deadline = now + self.core.config.join_timeout;
        let mut link = Link::new(id, spec, false, Phase::AwaitJoin { deadline });
        link.peer_finals.clone_from(&hello.finals);
        // Without the secret there is nothing to be proven.
        let attaches = !self.is_settled();
        link.may_prove = attaches && join_of.is_some();
        if !attaches && join_of.is_none() {
            link.hello = Some(Box::new(self.hello(id, Purpose::NeedJoin)));
        }
        self.links.push(link);
        if attaches {
            self.learn_terms(hello);
            // Who dials holds the session until it says otherwise.
            self.want.peer_held |= self.want.peer_sequence == 0;
            self.answer_attached(id, now);
        }
        Ok(id)
    }

    /// Takes the acceptor's answer on a link this side dialled.
    pub(super) fn handle_answer(
        &mut self,
        id: LinkId,
        hello: &Hello,
        now: Time,
    ) -> Result<(), Violation> {
        if hello.link != id {
            return Err(Violation::because(
                Code::PROTOCOL_VIOLATION,
                "the answer names another link",
            ));
        }
        if let Some(link) = self.link_mut(id) {
            link.is_open_to_all = false;
        }
        let is_peer = self.bound.is_none_or(|bound| bound.instance == hello.instance);
        let replaces_peer =
            self.bound.is_some_and(|bound| hello.supersedes == Some(bound.instance));
        if replaces_peer {
            self.end(Code::PEER_RESTARTED, "the peer's process was replaced", true, now);
            return Ok(());
        }
        match hello.purpose {
            Purpose::New | Purpose::Join { .. } => {
                let what = "an acceptor cannot ask for a session";
                Err(Violation::because(Code::PROTOCOL_VIOLATION, what))
            }
            _ if !is_peer => {
                if hello.purpose == Purpose::Attached {
                    self.fail_streams_of(id);
                }
                self.end_link(id, Code::INSTANCE_CHANGED);
                Ok(())
            }
            Purpose::Attached => self.answered_attached(id, hello, now),
            Purpose::NeedJoin => self.answered_need_join(id, hello, now),
            Purpose::Gone { code } if self.is_linked() => {
                self.end_link(id, code);
                Ok(())
            }
            Purpose::Gone { code } => {
                self.end(code, "the peer had ended the session", true, now);
                Ok(())
            }
            Purpose::Refused { code, .. } => {
                let was_joining = self.bound.is_some() && code == Code::UNKNOWN_SESSION;
                self.end_link(id, code);
                if was_joining && !self.is_linked() {
                    self.end(Code::RESUME_EXPIRED, "the peer no longer has the session", true, now);
                }
                Ok(())
            }
        }
    }

    /// Whether a link is part of the session. Where that is over for the peer, its last word is on
    /// its way there, behind the acknowledgement of what arrived; or the link dies.
    fn is_linked(&self) -> bool {
        self.links.iter().any(Link::is_attached)
    }

    /// Checks the dialer's proof that the session is its own.
    pub(super) fn handle_join(
        &mut self,
        id: LinkId,
        mac: &[u8; 32],
        now: Time,
    ) -> Result<(), Violation> {
        let Some(link) = self.links.iter().find(|link| link.id == id) else { return Ok(()) };
        if self.verify(&link.spec.clone(), Side::Dialer, id, mac) {
            self.answer_attached(id, now);
            return Ok(());
        }
        let refusal = Purpose::Refused { code: Code::BAD_JOIN, retry_after_ms: 0 };
        let hello = self.hello(id, refusal);
        if let Some(link) = self.link_mut(id) {
            link.hello = Some(Box::new(hello));
            link.phase = Phase::Ended;
        }
        self.core.events.push_back(Event::LinkEnded { link: id, code: Code::BAD_JOIN });
        Ok(())
    }

    /// Takes the session's secret from its keeper.
    pub(super) fn handle_key(&mut self, key: SessionKey) -> Result<bool, Violation> {
        if self.core.is_keeper {
            let what = "the keeper makes the session's secret";
            return Err(Violation::because(Code::PROTOCOL_VIOLATION, what));
        }
        match &self.key {
            Some(known) if *known == key => Ok(false),
            Some(_) => {
                let what = "a session has one secret";
                Err(Violation::because(Code::PROTOCOL_VIOLATION, what))
            }
            None => {
                self.key = Some(key);
                self.is_key_shared = true;
                self.prove_links();
                Ok(true)
            }
        }
    }

    /// Sends the proof on links that were dialled before this side could make it: the acceptor may
    /// wait for it.
    fn prove_links(&mut self) {
        let waits = |link: &Link| {
            let is_asked = matches!(link.phase, Phase::AwaitAnswer { held: false, .. });
            is_asked && link.is_mute && !link.is_open_to_all
        };
        for at in 0..self.links.len() {
            let Some(link) = self.links.get(at).filter(|link| waits(link)) else { continue };
            let join = self.mac(&link.spec, Side::Dialer, link.id).map(Box::new);
            let link = &mut self.links[at];
            (link.join, link.is_mute) = (join, false);
        }
    }

    /// Whether both sides have the secret, so that a further link must prove it.
    pub(super) fn is_settled(&self) -> bool {
        self.bound.is_some() && self.is_key_shared
    }

    fn check_room(&self) -> Result<(), AttachError> {
        if let Some(closed) = &self.core.ended {
            return Err(AttachError::SessionEnded(closed.code));
        }
        if let Some(closing) = self.closing.as_ref().filter(|_| self.bound.is_none()) {
            // A link would wait for what nobody is there to take, and end with it.
            return Err(AttachError::SessionEnded(closing.code));
        }
        let living = self.links.iter().filter(|link| link.phase != Phase::Ended).count();
        if living >= MAX_LINKS || self.links.len() >= 2 * MAX_LINKS {
            return Err(AttachError::TooManyLinks(self.links.len()));
        }
        Ok(())
    }

    /// The session is one with this process, which a link led to.
    fn bind(&mut self, bound: Bound) -> Result<(), AttachError> {
        match self.bound {
            Some(known) if (known.instance, known.token) == (bound.instance, bound.token) => {}
            Some(_) => return Err(AttachError::OtherInstance),
            None => {
                self.bound = Some(bound);
                self.turn_early_to(bound.process, bound.has_early);
                self.mute_open_links();
            }
        }
        Ok(())
    }

    fn answered_attached(&mut self, id: LinkId, hello: &Hello, now: Time) -> Result<(), Violation> {
        let Some(token) = hello.session else {
            let what = "an attached link belongs to a named session";
            return Err(Violation::because(Code::PROTOCOL_VIOLATION, what));
        };
        let Some(process) = self.link_mut(id).map(|link| link.spec.process) else { return Ok(()) };
        let bound = Bound { instance: hello.instance, token, process, has_early: true };
        if self.bind(bound).is_err() {
            // The same process made a new session: it no longer has this one.
            self.end(Code::RESUME_EXPIRED, "the peer no longer has the session", true, now);
            return Ok(());
        }
        if !self.is_settled() {
            // A further link of a session renegotiates nothing.
            self.learn_terms(hello);
        }
        if let Some(link) = self.link_mut(id) {
            link.peer_finals.clone_from(&hello.finals);
        }
        self.attached(id, now)
    }

    fn answered_need_join(
        &mut self,
        id: LinkId,
        hello: &Hello,
        now: Time,
    ) -> Result<(), Violation> {
        let Some(link) = self.link_mut(id) else { return Ok(()) };
        if matches!(link.phase, Phase::AwaitAnswer { held: true, .. }) {
            return Err(Violation::because(Code::PROTOCOL_VIOLATION, "asked for proof twice"));
        }
        let spec = link.spec.clone();
        let (instance, process) = (hello.instance, spec.process);
        let bound = hello.session.map(|token| Bound { instance, token, process, has_early: true });
        let is_same = bound.is_some_and(|bound| self.bind(bound).is_ok());
        let mac = self.mac(&spec, Side::Dialer, id).filter(|_| is_same);
        let Some(mac) = mac else {
            self.end_link(id, Code::UNKNOWN_SESSION);
            return Ok(());
        };
        let deadline = now + self.core.config.hello_timeout;
        let held = {
            let Some(link) = self.link_mut(id) else { return Ok(()) };
            link.join = Some(Box::new(mac));
            link.phase = Phase::AwaitAnswer { deadline, held: true };
            let held = link.take_held();
            link.restart_counts();
            held
        };
        // What went before the proof was not counted at the other end.
        held.into_iter().for_each(|item| self.core.lost(item));
        Ok(())
    }

    /// Takes what the peer's first hello allows.
    fn learn_terms(&mut self, hello: &Hello) {
        self.core.learn_limits(hello.limits);
        let window = hello.resume_window_ms.map_or(DEFAULT_WINDOW, Duration::from_millis);
        self.resume_window = self.resume_window.min(window);
    }

    fn answer_attached(&mut self, id: LinkId, now: Time) {
        let hello = self.hello(id, Purpose::Attached);
        if let Some(link) = self.link_mut(id) {
            link.hello = Some(Box::new(hello));
        }
        // Finals the peer sent cannot be wrong in a way that concerns this link's handshake.
        if let Err(violation) = self.attached(id, now) {
            self.fail(&violation, now);
        }
    }

    /// The link belongs to the session now.
    fn attached(&mut self, id: LinkId, now: Time) -> Result<(), Violation> {
        let Some(link) = self.link_mut(id) else { return Ok(()) };
        link.phase = Phase::Attached;
        link.was_attached = true;
        link.health.begin(!link.is_settled(), now);
        let finals = std::mem::take(&mut link.peer_finals);
        self.core.traffic.link_events += 1;
        if self.state != State::Closing {
            self.state = State::Live;
        }
        self.detached_until = None;
        self.watch.link_came();
        self.core.events.push_back(Event::Attached { link: id });
        self.choose_active();
        if self.active != Some(id) {
            // How long a standby takes is known before it is needed.
            self.probe(id, now);
        }
        if self.core.is_keeper {
            self.duplicates_at = Some(now + DUPLICATE_LINK_GRACE);
            if !self.is_key_shared {
                self.queue_control(Control::Key);
            }
        }
        if self.want.sequence > 0 || self.want.held != self.is_known_as_dialer(id) {
            self.want.sequence = self.want.sequence.max(1);
            self.queue_control(Control::Want);
        }
        let deadline = now + self.core.finals_wait();
        let mut dead = Vec::new();
        for link in &mut self.dead {
            link.deadline = Some(deadline);
            dead.push(link.finals.link);
        }
        // A link that died after this one's hello was made is not in it.
        dead.into_iter().for_each(|id| self.queue_control(Control::Dead(id)));
        for final_counts in finals {
            self.handle_finals(final_counts.link, &final_counts.lanes, now)?;
        }
        Ok(())
    }

    fn is_known_as_dialer(&self, id: LinkId) -> bool {
        self.links.iter().any(|link| link.id == id && link.is_dialer)
    }

    pub(super) fn queue_control(&mut self, control: Control) {
        if !self.core.control.contains(&control) {
            self.core.control.push_back(control);
        }
    }

    fn hello(&self, link: LinkId, purpose: Purpose) -> Hello {
        Hello {
            instance: self.local.instance,
            supersedes: self.local.supersedes,
            link,
            purpose,
            session: Some(self.local.token),
            limits: self.core.config.limits(),
            resume_window_ms: u64::try_from(self.core.config.resume_window.as_millis()).ok(),
            features: Vec::new(),
            finals: self.finals(),
        }
    }

    fn mac(&self, spec: &LinkSpec, side: Side, link: LinkId) -> Option<[u8; 32]> {
        Some(self.keyed(spec, side, link)?.finalize().into_bytes().into())
    }

    fn verify(&self, spec: &LinkSpec, side: Side, link: LinkId, mac: &[u8; 32]) -> bool {
        // `verify_slice` compares in constant time.
        self.keyed(spec, side, link).is_some_and(|keyed| keyed.verify_slice(mac).is_ok())
    }

    /// HMAC-SHA256(K, exporter ‖ side ‖ sid ‖ link id): bound to this link, so that a recorded
    /// proof is worth nothing on another.
    fn keyed(&self, spec: &LinkSpec, side: Side, link: LinkId) -> Option<Hmac<Sha256>> {
        let (key, id) = (self.key.as_ref()?, self.id()?);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
        mac.update(&spec.exporter);
        mac.update(&[side as u8]);
        mac.update(&id.0);
        mac.update(&link.0.to_be_bytes());
        Some(mac)
    }
}

/// How long a side that does not say keeps a session without a link.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);

/// Who made a proof.
#[derive(Clone, Copy)]
enum Side {
    Dialer = 0,
}
