//! The sessions of a process: whom a link belongs to, and what follows from what they tell.

use std::{collections::BTreeMap, time::Duration};

use netcom_session::{Closed, Code, Event, LinkId, LinkLoss, Session, State, StreamId, Time};

use super::{Context, Handle, Node, dial::Purpose, redial::Need};
use crate::simulation::{network::HostId, transport::ConnectionId, troubles::Setting};

/// A session and what is kept beside it.
pub(super) struct Held {
    pub(super) session: Session,
    /// Where the peer is.
    pub(super) host: HostId,
    pub(super) links: Vec<HeldLink>,
    /// When the session has something to do, if nothing else happens.
    pub(super) due: Option<Time>,
    /// On the world's clock.
    pub(super) began: Time,
    pub(super) holds: u32,
    was_attached: bool,
    /// Why the last link that did not become part of the session ended.
    attach_failure: Option<Code>,
    /// What it is dialled for, with the longest pause before it is dialled again.
    pub(super) needs: BTreeMap<Need, Duration>,
}

/// A link of a session.
pub(super) struct HeldLink {
    pub(super) id: LinkId,
    pub(super) connection: ConnectionId,
    pub(super) is_ended: bool,
    pub(super) began: Time,
}

impl Node {
    /// A dial led to nobody.
    pub(super) fn dial_failed(&mut self, to: HostId, purpose: Purpose, cx: &mut Context<'_>) {
        match purpose {
            Purpose::Connect => self.connect_later(to, cx),
            Purpose::Need(handle, need) => self.pause_redial(handle, need, cx),
        }
    }

    /// Somebody uses a session.
    pub(super) fn hold(&mut self, handle: Handle, cx: &mut Context<'_>) {
        if let Some(held) = self.sessions.get_mut(&handle) {
            held.holds += 1;
            held.session.hold(true, cx.now);
            self.touched.insert(handle);
        }
    }

    /// Somebody who used a session does no longer.
    pub(super) fn let_go(&mut self, handle: Handle, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        held.holds -= 1;
        if held.holds == 0 {
            held.session.hold(false, cx.now);
            held.abandon_unattached(cx.now);
            self.touched.insert(handle);
        }
    }

    /// A link's transport is gone.
    pub(super) fn lost(
        &mut self,
        handle: Handle,
        link: LinkId,
        loss: &LinkLoss,
        cx: &mut Context<'_>,
    ) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        held.session.link_lost(link, loss, cx.now);
        held.links.retain(|known| known.id != link);
        held.abandon_unattached(cx.now);
        self.touched.insert(handle);
    }

    /// Drains what a session tells and wakes its links' drivers.
    pub(super) fn settle_session(&mut self, handle: Handle, cx: &mut Context<'_>) {
        for _ in 0..MAX_ROUNDS {
            let Some(held) = self.sessions.get_mut(&handle) else { return };
            if let Some(event) = held.session.poll_event() {
                self.handle(handle, event, cx);
                continue;
            }
            let Some(link) = held.session.poll_wakeup() else {
                return self.leave_session(handle, cx);
            };
            if let Some(id) = self.connection_of(handle, link) {
                self.transmit(id, cx);
                self.flush(id, cx);
            }
        }
        let host = self.host.0;
        cx.ledger.broken(cx.at, || format!("a session of {host} never comes to rest"));
    }

    /// After a session has told all: its limits, its clock, and its end.
    fn leave_session(&mut self, handle: Handle, cx: &mut Context<'_>) {
        self.look_at_needs(handle, cx);
        self.touched.remove(&handle);
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        held.due = held.session.poll_timeout();
        cx.ledger.bounds(self.host, &held.session.stats(), &self.spec.config, cx.at);
        let is_used = self.tasks.range((handle, StreamId(0))..=(handle, StreamId(u64::MAX))).next();
        if held.session.is_done() && is_used.is_none() {
            self.sessions.remove(&handle);
        }
    }

    fn handle(&mut self, handle: Handle, event: Event, cx: &mut Context<'_>) {
        let host = self.host.0;
        let facts = [1, host as u64, handle.0];
        cx.trace.note(cx.at, &facts, || format!("{host}.{} {event:?}", handle.0));
        match event {
            Event::Attached { .. } => self.attached(handle, cx),
            Event::LinkEnded { link, code } => self.link_ended(handle, link, code, cx),
            Event::Detached => self.redial(handle, Need::Any, cx),
            Event::LinkWanted => self.redial(handle, Need::Beside, cx),
            Event::Incoming => self.accept(handle, cx),
            Event::Readable(id, _) | Event::Writable(id, _) | Event::Finished(id, _) => {
                self.advance((handle, id), cx);
            }
            Event::Stopped(id, _, code) => self.stopped((handle, id), code, cx),
            Event::StreamsAvailable => self.open_wishes(handle, cx),
            Event::Datagram => self.take_datagrams(handle, cx),
            Event::Closed(closed) => self.session_over(handle, &closed, cx),
            _ => {}
        }
    }

    fn attached(&mut self, handle: Handle, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        held.was_attached = true;
        held.attach_failure = None;
        let peer = cx.peers.id(held.host);
        if let Some(bound) = held.session.bound_to() {
            self.endpoint.bind(&peer, &handle, bound);
        }
        self.open_wishes(handle, cx);
    }

    fn link_ended(&mut self, handle: Handle, link: LinkId, code: Code, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        let to = held.host;
        if !held.was_attached {
            held.attach_failure = Some(code);
        } else if code == Code::INSTANCE_CHANGED {
            self.endpoint.lead_elsewhere(&cx.peers.id(to), &handle);
        }
        let is_over = held.session.closed().is_some();
        let Some(known) = held.links.iter_mut().find(|known| known.id == link) else { return };
        known.is_ended = true;
        let (began, connection) = (known.began, known.connection);
        if code == Code::LINK_LOST {
            self.abandon(connection, cx);
        }
        if !is_over {
            cx.ledger.link_ended(self.setting(to, began, cx), code);
        }
    }

    fn session_over(&mut self, handle: Handle, closed: &Closed, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get(&handle) else { return };
        let (to, began) = (held.host, held.began);
        let is_needed = held.holds > 0 || held.session.stats().streams > 0;
        let was = [held.was_attached, is_needed];
        cx.ledger.session_ended(self.setting(to, began, cx), closed, was);
        self.endpoint.end(&cx.peers.id(to), &handle, closed.code, cx.now);
        let places = self.tasks.range((handle, StreamId(0))..=(handle, StreamId(u64::MAX)));
        for place in places.map(|(place, _)| *place).collect::<Vec<_>>() {
            self.advance(place, cx);
        }
        self.connect(to, cx);
    }

    /// Where and when something of this process and a host's ended that began then.
    pub(super) fn setting(&self, host: HostId, began: Time, cx: &Context<'_>) -> Setting {
        let is_lossy = cx.network.is_lossy(self.host, host);
        Setting { pair: [self.host, host], is_lossy, began, at: cx.at }
    }
}

impl Held {
    /// Keeps a new session with a host.
    pub(super) fn new(session: Session, host: HostId, began: Time) -> Self {
        Self {
            session,
            host,
            links: Vec::new(),
            due: None,
            began,
            holds: 0,
            was_attached: false,
            attach_failure: None,
            needs: BTreeMap::new(),
        }
    }

    /// Whether streams can be opened at once.
    pub(super) fn is_ready(&self) -> bool {
        self.session.state() == State::Live && self.session.takes_streams()
    }

    /// Whether the session waits for its first link.
    pub(super) fn is_attaching(&self) -> bool {
        self.session.state() == State::Attaching
    }

    /// Whether links can be added.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.session.state(), State::Closing | State::Closed)
    }

    /// Ends a session whose links all ended before one became part of it.
    pub(super) fn abandon_unattached(&mut self, now: Time) {
        if self.links.iter().all(|link| link.is_ended) && self.is_attaching() {
            let code = self.attach_failure.unwrap_or(Code::CANCELLED);
            self.session.close(code, "no link became part of the session", now);
        }
    }
}

/// Events and wake-ups of a session that one call may cause.
const MAX_ROUNDS: usize = 100_000;
