//! The drivers of links: batches of frames from sessions to connections, and back.

use std::{collections::BTreeMap, time::Duration};

use bytes::BytesMut;
use netcom_session::{
    Batch, LaneId, LinkId, LinkKind, LinkLoss, LinkSpec, Poll, Time,
    wire::{self, Frame, FrameLimits, Hello, Purpose},
};

use super::{Context, Handle, Node, Timer, dial::DialId};
use crate::simulation::{
    network::{Address, HostId},
    transport::{Connection, ConnectionEvent, ConnectionId, Packet},
};

/// A connection and what this process does with it.
pub(super) struct Carrier {
    pub(super) connection: Connection,
    pub(super) role: Role,
    /// Whole frames are taken out as soon as they are there.
    unread: BTreeMap<LaneId, BytesMut>,
    /// When the connection has something to do, if nothing else happens.
    pub(super) due: Option<Time>,
}

/// What a connection is to its process.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// It begins, beside others of a dial.
    Dialling(DialId),
    /// A peer dialled it and has not said HELLO.
    Arriving,
    /// A session's link.
    Carrying { handle: Handle, link: LinkId },
    /// The driver says goodbye, and then tells the session, if that does not know yet.
    Leaving { tells: Option<(Handle, LinkId, LinkLoss)>, is_answer: bool },
    /// Nothing; its last packets are the kernel's.
    Forgotten,
}

impl Carrier {
    pub(super) fn accepted(connection: Connection) -> Self {
        Self::new(connection, Role::Arriving)
    }

    pub(super) fn new(connection: Connection, role: Role) -> Self {
        Self { connection, role, unread: BTreeMap::new(), due: None }
    }

    /// What a session must know of it.
    pub(super) fn link_spec(&self) -> LinkSpec {
        let kind = self.connection.kind();
        let mut exporter = [0; 32];
        exporter[..8].copy_from_slice(&self.connection.id().0.to_be_bytes());
        let (max_lanes, max_data_body) = match kind {
            LinkKind::Quic => (MAX_LANES, wire::MAX_DATA_BODY_QUIC),
            _ => (0, wire::MAX_DATA_BODY),
        };
        let (local, remote) = (self.connection.local(), self.connection.remote());
        let path = [remote.host.0, remote.card, local.card].map(|part| part as u64);
        let path = path.into_iter().fold(0, |path, part| path << 16 | part);
        let process = self.connection.remote_process().map_or(0, u64::from);
        LinkSpec { kind, exporter, max_lanes, max_data_body, path, process }
    }

    /// The host at the other end.
    pub(super) fn peer(&self) -> HostId {
        self.connection.remote().host
    }

    /// Takes in what came.
    fn read(&mut self) {
        while let Some((lane, bytes)) = self.connection.read() {
            self.unread.entry(lane).or_default().extend_from_slice(&bytes);
        }
    }

    /// Whole frames of a lane, at most so many.
    fn frames(&mut self, lane: LaneId, most: usize) -> Result<Vec<Frame>, wire::DecodeError> {
        let limits = match self.connection.kind() {
            LinkKind::Quic => FrameLimits::QUIC,
            _ => FrameLimits::TLS,
        };
        let mut frames = Vec::new();
        let Some(unread) = self.unread.get_mut(&lane) else { return Ok(frames) };
        while frames.len() < most
            && let Some(frame) = wire::decode(unread, limits)?
        {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Queues frames, each on its lane.
    fn queue(&mut self, batch: &Batch) {
        let mut joined: Option<(LaneId, BytesMut)> = None;
        for frame in batch.frames() {
            if let Some((lane, bytes)) = joined.take_if(|(lane, _)| *lane != frame.lane) {
                self.connection.write(lane, bytes.freeze());
            }
            let (_, bytes) = joined.get_or_insert_with(|| (frame.lane, BytesMut::new()));
            bytes.extend_from_slice(frame.head);
            frame.payload.iter().for_each(|part| bytes.extend_from_slice(part));
        }
        if let Some((lane, bytes)) = joined {
            self.connection.write(lane, bytes.freeze());
        }
    }
}

impl Node {
    /// Lets a connection's driver do what it can: take, tell, give.
    pub(super) fn turn(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        self.take(id, cx);
        while let Some(event) = self.carriers.get_mut(&id).and_then(|it| it.connection.poll_event())
        {
            match event {
                ConnectionEvent::Established => self.established(id, cx),
                ConnectionEvent::Ended(loss) => self.ended(id, &loss, cx),
            }
        }
        self.transmit(id, cx);
        self.flush(id, cx);
    }

    /// Moves what a session has for a link to its connection, as far as that takes it.
    pub(super) fn transmit(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        loop {
            let Some(carrier) = self.carriers.get_mut(&id) else { return };
            let Role::Carrying { handle, link } = carrier.role else { return };
            let Some(held) = self.sessions.get_mut(&handle) else { return };
            if !carrier.connection.has_room() {
                return;
            }
            self.batch.clear();
            let poll = held.session.poll_batch(link, BATCH, &mut self.batch, cx.now);
            carrier.queue(&self.batch);
            self.touched.insert(handle);
            match poll {
                Poll::More => {}
                Poll::Idle => return,
                Poll::Finish => {
                    let tells = Some((handle, link, LinkLoss::Local));
                    return self.say_goodbye(id, tells, cx);
                }
            }
        }
    }

    /// Sends the packets of a connection, and forgets it once it is over.
    pub(super) fn flush(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        let connection = &mut carrier.connection;
        while let Some(body) = connection.poll_transmit(cx.now) {
            let from = source(connection, cx);
            let packet = Packet {
                from,
                to: connection.remote(),
                connection: id,
                kind: connection.kind(),
                process: self.process,
                for_process: connection.remote_process(),
                body,
            };
            cx.out.push(packet);
        }
        carrier.due = connection.poll_timeout();
        let is_free = matches!(carrier.role, Role::Forgotten | Role::Arriving);
        if connection.is_gone() && is_free {
            self.carriers.remove(&id);
        }
    }

    /// A peer whose link came in said nothing.
    pub(super) fn hello_over(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let is_silent =
            self.carriers.get(&id).is_some_and(|carrier| matches!(carrier.role, Role::Arriving));
        if is_silent {
            self.forget_connection(id, cx);
        }
    }

    /// A peer did not answer a goodbye in time.
    pub(super) fn goodbye_over(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        self.goodbye_said(id, cx);
        self.flush(id, cx);
    }

    /// Refuses a link.
    pub(super) fn refuse(
        &mut self,
        id: ConnectionId,
        hello: &Hello,
        purpose: Purpose,
        cx: &mut Context<'_>,
    ) {
        let answer = Hello {
            instance: self.instance(),
            supersedes: self.supersedes,
            link: hello.link,
            purpose,
            session: None,
            limits: wire::Limits { streams: 0, data_window: 0, error_window: 0 },
            resume_window_ms: None,
            features: Vec::new(),
            finals: Vec::new(),
        };
        let mut bytes = BytesMut::new();
        wire::encode(&Frame::Hello(Box::new(answer)), &mut bytes);
        if let Some(carrier) = self.carriers.get_mut(&id) {
            carrier.connection.write(LaneId(0), bytes.freeze());
        }
        self.say_goodbye(id, None, cx);
    }

    /// Lets a connection go that carries nothing.
    pub(super) fn forget_connection(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        if let Some(carrier) = self.carriers.get_mut(&id) {
            carrier.role = Role::Forgotten;
            carrier.connection.close(cx.now);
        }
        self.flush(id, cx);
    }

    /// Ends a link without a goodbye, because it was given up.
    pub(super) fn abandon(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        let Role::Carrying { handle, link } = carrier.role else { return };
        carrier.role = Role::Forgotten;
        carrier.connection.abandon();
        self.lost(handle, link, &LinkLoss::Local, cx);
        self.flush(id, cx);
    }

    /// The connection of a session's link.
    pub(super) fn connection_of(&self, handle: Handle, link: LinkId) -> Option<ConnectionId> {
        let held = self.sessions.get(&handle)?;
        held.links.iter().find(|known| known.id == link).map(|known| known.connection)
    }

    /// Takes what came and gives it to the session.
    fn take(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        carrier.read();
        if matches!(carrier.role, Role::Arriving) {
            self.take_hello(id, cx);
        }
        let Some(carrier) = self.carriers.get(&id) else { return };
        for lane in carrier.unread.keys().copied().collect::<Vec<_>>() {
            self.hand_over(id, lane, cx);
        }
        let is_finished = self.carriers.get(&id).is_some_and(|it| it.connection.is_finished());
        if is_finished {
            self.peer_finished(id, cx);
        }
    }

    /// Reads the first frame of a link that came in.
    fn take_hello(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        match carrier.frames(LaneId(0), 1).map(|mut frames| frames.pop()) {
            Ok(None) => {}
            Ok(Some(Frame::Hello(hello))) => self.welcome(id, &hello, cx),
            other => cx.ledger.broken(cx.at, || format!("a link began with {other:?}")),
        }
    }

    fn hand_over(&mut self, id: ConnectionId, lane: LaneId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        let Role::Carrying { handle, link } = carrier.role else {
            if matches!(carrier.role, Role::Leaving { .. } | Role::Forgotten) {
                carrier.unread.clear();
            }
            return;
        };
        match carrier.frames(lane, usize::MAX) {
            Ok(mut frames) => {
                let Some(held) = self.sessions.get_mut(&handle) else { return };
                if !frames.is_empty() {
                    held.session.handle_batch(link, lane, &mut frames, cx.now);
                    self.touched.insert(handle);
                }
            }
            Err(error) => cx.ledger.broken(cx.at, || format!("bytes were no frames: {error}")),
        }
    }

    /// The peer has said its last byte.
    fn peer_finished(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        // The session's last turn to send; what it says then matters no more.
        self.transmit(id, cx);
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        match carrier.role {
            Role::Carrying { handle, link } => {
                let is_whole = carrier.unread.values().all(BytesMut::is_empty);
                let loss = if is_whole { LinkLoss::Closed } else { LinkLoss::Reset };
                carrier.connection.finish();
                if carrier.connection.kind() == LinkKind::Quic {
                    // Waits for the peer to close, which closes when this arrived.
                    let tells = Some((handle, link, loss));
                    carrier.role = Role::Leaving { tells, is_answer: true };
                    self.set_timer(cx.now + GOODBYE_TIMEOUT, Timer::GoodbyeOver(id));
                } else {
                    carrier.role = Role::Forgotten;
                    carrier.connection.close(cx.now);
                    self.lost(handle, link, &loss, cx);
                }
            }
            Role::Arriving => self.forget_connection(id, cx),
            Role::Leaving { is_answer: false, .. } => self.goodbye_said(id, cx),
            Role::Leaving { .. } | Role::Dialling(_) | Role::Forgotten => {}
        }
    }

    fn established(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get(&id) else { return };
        match carrier.role {
            Role::Dialling(dial) => self.dial_won(dial, id, cx),
            Role::Arriving => self.set_timer(cx.now + HELLO_TIMEOUT, Timer::HelloOver(id)),
            _ => {}
        }
    }

    /// The connection is over, and nobody here ended it.
    fn ended(&mut self, id: ConnectionId, loss: &LinkLoss, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        match std::mem::replace(&mut carrier.role, Role::Forgotten) {
            Role::Dialling(dial) => self.attempt_failed(dial, id, cx),
            Role::Carrying { handle, link } => self.lost(handle, link, loss, cx),
            Role::Leaving { tells: Some((handle, link, loss)), .. } => {
                self.lost(handle, link, &loss, cx);
            }
            Role::Leaving { .. } | Role::Arriving | Role::Forgotten => {}
        }
    }

    /// Says goodbye: the rest, the end of each lane; then waits for the peer's.
    fn say_goodbye(
        &mut self,
        id: ConnectionId,
        tells: Option<(Handle, LinkId, LinkLoss)>,
        cx: &mut Context<'_>,
    ) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        carrier.role = Role::Leaving { tells, is_answer: false };
        carrier.connection.finish();
        let is_answered = carrier.connection.is_finished();
        self.set_timer(cx.now + GOODBYE_TIMEOUT, Timer::GoodbyeOver(id));
        if is_answered {
            self.goodbye_said(id, cx);
        }
    }

    /// Both ends have said goodbye, or this one has waited long enough.
    fn goodbye_said(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(carrier) = self.carriers.get_mut(&id) else { return };
        let Role::Leaving { tells, .. } = &carrier.role else { return };
        let tells = tells.clone();
        carrier.role = Role::Forgotten;
        carrier.connection.close(cx.now);
        if let Some((handle, link, loss)) = tells {
            self.lost(handle, link, &loss, cx);
        }
    }
}

/// Where a connection's packets come from: TCP's address stays what it was.
fn source(connection: &Connection, cx: &Context<'_>) -> Address {
    match connection.kind() {
        LinkKind::Quic => cx.network.renewed(connection.local()),
        _ => connection.local(),
    }
}

/// Unidirectional lanes of a QUIC link in each direction.
const MAX_LANES: usize = 64;
/// Bytes that a session is asked for at a time.
const BATCH: usize = 64 << 10;
/// How long a link may exist without a HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
