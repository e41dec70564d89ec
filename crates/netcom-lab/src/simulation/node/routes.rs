//! Which session a link belongs to, and making sessions.

use netcom_session::{
    Accept, AttachError, Code, LinkId, Session, SessionId, SessionSpec, State,
    wire::{Hello, Purpose as HelloPurpose, SessionKey},
};

use super::{
    Context, Handle, Node, Timer,
    dial::Purpose,
    driver::Role,
    sessions::{Held, HeldLink},
};
use crate::{
    Random,
    simulation::{network::HostId, transport::ConnectionId},
};

impl Node {
    /// Gives a dialled connection to the session it was dialled for.
    pub(super) fn attach(
        &mut self,
        id: ConnectionId,
        to: HostId,
        purpose: Purpose,
        cx: &mut Context<'_>,
    ) {
        match purpose {
            Purpose::Connect => self.attach_any(id, to, cx),
            Purpose::Need(handle, _) => {
                if self.dial_link(handle, id, cx).is_err() {
                    self.forget_connection(id, cx);
                }
            }
        }
        if let Purpose::Need(handle, need) = purpose {
            self.pause_redial(handle, need, cx);
        }
    }

    /// Gives a link that came in to its session, or refuses it.
    pub(super) fn welcome(&mut self, id: ConnectionId, hello: &Hello, cx: &mut Context<'_>) {
        if let Err(purpose) = self.route(id, hello, cx) {
            self.refuse(id, hello, purpose, cx);
        }
    }

    /// Gives a link to the session there is with its peer, or to a new one.
    fn attach_any(&mut self, id: ConnectionId, to: HostId, cx: &mut Context<'_>) {
        for _ in 0..ATTEMPTS {
            let next = Handle(self.fresh());
            let Ok((handle, is_new)) = self.endpoint.dial(&cx.peers.id(to), || next) else { break };
            if is_new {
                self.make(handle, to, true, cx);
            } else if !self.sessions.get(&handle).is_some_and(Held::is_open) {
                self.forget(handle, to, Code::NO_ERROR, cx);
                continue;
            }
            match self.dial_link(handle, id, cx) {
                Ok(()) => {
                    self.hold(handle, cx);
                    self.set_timer(cx.now + self.spec.linger, Timer::LetGo(handle));
                    let is_early = |held: &Held| held.session.state() != State::Detached;
                    if self.sessions.get(&handle).is_some_and(is_early) {
                        // What is sent goes along with its HELLO, a round trip earlier.
                        self.open_wishes(handle, cx);
                    }
                    return;
                }
                Err(AttachError::SessionEnded(code)) => self.forget(handle, to, code, cx),
                Err(_) => break,
            }
        }
        self.forget_connection(id, cx);
        self.connect_later(to, cx);
    }

    fn dial_link(
        &mut self,
        handle: Handle,
        id: ConnectionId,
        cx: &mut Context<'_>,
    ) -> Result<(), AttachError> {
        let gone = AttachError::SessionEnded(Code::CANCELLED);
        let Some(held) = self.sessions.get_mut(&handle) else { return Err(gone) };
        let Some(carrier) = self.carriers.get_mut(&id) else { return Err(gone) };
        let link = held.session.dial_link(carrier.link_spec(), cx.now)?;
        carrier.role = Role::Carrying { handle, link };
        held.links.push(HeldLink { id: link, connection: id, is_ended: false, began: cx.at });
        self.touched.insert(handle);
        self.note_link(handle, link, id, cx);
        Ok(())
    }

    /// Finds or makes the session a link belongs to that came in.
    fn route(
        &mut self,
        id: ConnectionId,
        hello: &Hello,
        cx: &mut Context<'_>,
    ) -> Result<(), HelloPurpose> {
        let Some(carrier) = self.carriers.get(&id) else { return Ok(()) };
        let (from, spec) = (carrier.peer(), carrier.link_spec());
        for _ in 0..ATTEMPTS {
            let next = Handle(self.fresh());
            let accept = self.endpoint.accept(&cx.peers.id(from), hello, cx.now, || next);
            let (handle, is_new, superseded) = match accept {
                Accept::Refuse(purpose) => return Err(purpose),
                Accept::Session { session, is_new, superseded } => (session, is_new, superseded),
            };
            if is_new {
                self.make(handle, from, false, cx);
            }
            for old in superseded {
                if let Some(held) = self.sessions.get_mut(&old) {
                    held.session.peer_restarted(cx.now);
                    self.touched.insert(old);
                }
            }
            let Some(held) = self.sessions.get_mut(&handle) else { break };
            self.touched.insert(handle);
            match held.session.accept_link(spec.clone(), hello, cx.now) {
                Ok(link) => {
                    let began = cx.at;
                    held.links.push(HeldLink { id: link, connection: id, is_ended: false, began });
                    if let Some(carrier) = self.carriers.get_mut(&id) {
                        carrier.role = Role::Carrying { handle, link };
                    }
                    self.note_link(handle, link, id, cx);
                    return Ok(());
                }
                Err(AttachError::SessionEnded(code)) => {
                    self.forget(handle, from, code, cx);
                    if matches!(hello.purpose, HelloPurpose::Join { .. }) {
                        return Err(HelloPurpose::Gone { code });
                    }
                }
                Err(error) => {
                    held.abandon_unattached(cx.now);
                    return Err(refused(error.code()));
                }
            }
        }
        Err(refused(Code::OVERLOADED))
    }

    fn make(&mut self, handle: Handle, host: HostId, is_dialer: bool, cx: &mut Context<'_>) {
        let spec = SessionSpec {
            local: cx.peers.id(self.host),
            remote: cx.peers.id(host),
            instance: self.instance(),
            supersedes: self.supersedes,
            token: SessionId(draw(cx.random)),
            key: SessionKey(draw(cx.random)),
            is_dialer,
            config: self.spec.config.clone(),
        };
        let mut session = Session::new(spec, cx.now);
        session.limit_rate(self.spec.rate, cx.now);
        self.sessions.insert(handle, Held::new(session, host, cx.at));
    }

    /// Takes a session that is over out of the table.
    fn forget(&mut self, handle: Handle, host: HostId, code: Code, cx: &Context<'_>) {
        self.endpoint.end(&cx.peers.id(host), &handle, code, cx.now);
    }

    fn note_link(&self, handle: Handle, link: LinkId, id: ConnectionId, cx: &mut Context<'_>) {
        let host = self.host.0;
        let facts = [5, host as u64, handle.0, link.0, id.0];
        cx.trace.note(cx.at, &facts, || {
            format!("{host}.{} takes {:x} as its link {link}", handle.0, id.0)
        });
    }
}

fn refused(code: Code) -> HelloPurpose {
    HelloPurpose::Refused { code, retry_after_ms: 1000 }
}

fn draw<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random.u64().to_be_bytes()[..chunk.len()]);
    }
    bytes
}

/// How often a link is offered to a session that ends at that moment.
const ATTEMPTS: usize = 3;
