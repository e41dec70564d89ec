//! Applications: exchanges that wait for a session, streams, datagrams.

use std::time::Duration;

use bytes::Bytes;
use netcom_session::{Code, Flow, Time};

use super::{Context, Handle, Held, Node, Place, Timer, dial::Purpose, redial::Need};
use crate::simulation::{
    check::Failure,
    exchange::Attempt,
    network::HostId,
    task::{Task, Turn},
};

/// An exchange that waits for a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    to: HostId,
    /// On the world's clock.
    since: Time,
}

impl Node {
    /// Begins an exchange as soon as there is a session, unless somebody lost interest.
    pub(super) fn wish(&mut self, exchange: u64, cx: &mut Context<'_>) {
        let Some((_, wanted)) = cx.ledger.next_attempt(exchange) else { return };
        let to = wanted.to;
        self.wishes.insert(exchange, Wish { to, since: cx.at });
        self.connect(to, cx);
    }

    /// Sees to it that whoever waits for a host gets a session.
    pub(super) fn connect(&mut self, to: HostId, cx: &mut Context<'_>) {
        let handles: Vec<Handle> = self.endpoint.sessions_of(&cx.peers.id(to)).copied().collect();
        let is = |handle: &Handle, state: fn(&Held) -> bool| {
            self.sessions.get(handle).is_some_and(state)
        };
        let ready = handles.iter().find(|handle| is(handle, Held::is_ready)).copied();
        let is_late = |wish: &Wish| wish.to == to && cx.at - wish.since > CONNECT_TIMEOUT;
        let late = self.wishes.iter().find(|(_, wish)| ready.is_none() && is_late(wish));
        if let Some((exchange, wish)) = late {
            cx.ledger.waits(*exchange, self.setting(to, wish.since, cx));
        }
        let is_attaching = handles.iter().any(|handle| is(handle, Held::is_attaching));
        if let Some(ready) = ready {
            self.open_wishes(ready, cx);
        }
        if !self.wishes.values().any(|wish| wish.to == to) {
            return;
        }
        self.connect_later(to, cx);
        let is_dialled =
            self.dials.values().any(|dial| dial.to == to && dial.purpose == Purpose::Connect);
        if ready.is_none() && !is_attaching && !is_dialled {
            let ways = self.ways(to, cx);
            self.dial(to, Purpose::Connect, ways, cx);
        }
    }

    /// Looks again after a while, once for all who wait.
    pub(super) fn connect_later(&mut self, to: HostId, cx: &Context<'_>) {
        let is_wanted = self.wishes.values().any(|wish| wish.to == to);
        if is_wanted && self.connecting.insert(to) {
            self.set_timer(cx.now + CONNECT_PAUSE, Timer::Connect(to));
        }
    }

    /// Opens a stream for each exchange that waits for the session's peer.
    pub(super) fn open_wishes(&mut self, handle: Handle, cx: &mut Context<'_>) {
        let Some(to) = self.sessions.get(&handle).map(|held| held.host) else { return };
        let wishes = self.wishes.iter().filter(|(_, wish)| wish.to == to);
        for exchange in wishes.map(|(exchange, _)| *exchange).collect::<Vec<_>>() {
            let Some((attempt, wanted)) = cx.ledger.next_attempt(exchange) else {
                self.wishes.remove(&exchange);
                continue;
            };
            let Some(held) = self.sessions.get_mut(&handle) else { return };
            // One that is full tells when it is not, another one is looked for where it ends.
            let opened = held.session.open(wanted.class, attempt.protocol(), cx.now);
            let Ok(stream) = opened else { return };
            let task = Task::new(attempt, wanted, true, cx.at);
            cx.ledger.opened(attempt);
            self.wishes.remove(&exchange);
            self.hold(handle, cx);
            self.begin((handle, stream), task, cx);
        }
    }

    /// Takes the streams that the peer opened.
    pub(super) fn accept(&mut self, handle: Handle, cx: &mut Context<'_>) {
        while let Some(incoming) =
            self.sessions.get_mut(&handle).and_then(|held| held.session.accept())
        {
            let attempt = Attempt::of_protocol(&incoming.protocol);
            let known = attempt.and_then(|it| Some((it, cx.ledger.exchange(it.exchange)?)));
            let Some((attempt, wanted)) = known else {
                cx.ledger.broken(cx.at, || format!("nobody opened {incoming:?}"));
                return;
            };
            let task = Task::new(attempt, wanted, false, cx.at);
            cx.ledger.run(attempt, cx.at);
            self.begin((handle, incoming.id), task, cx);
        }
    }

    /// Lets the application of a stream do what it can.
    pub(super) fn advance(&mut self, place: Place, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&place.0) else { return };
        let Some(mut task) = self.tasks.remove(&place) else { return };
        let turn = task.advance(&mut held.session, place.1, cx);
        self.touched.insert(place.0);
        match turn {
            Turn::Waits => _ = self.tasks.insert(place, task),
            Turn::ReadsAt(at) => {
                self.tasks.insert(place, task);
                self.set_timer(at, Timer::Read(place));
            }
            Turn::Done | Turn::GaveUp | Turn::Failed(_) => self.end(place, &task, &turn, cx),
        }
    }

    /// The peer wants no more of a stream.
    pub(super) fn stopped(&mut self, place: Place, code: Code, cx: &mut Context<'_>) {
        if let Some(task) = self.tasks.remove(&place) {
            let turn = task.failed(code);
            self.end(place, &task, &turn, cx);
        }
    }

    /// Gives a stream up on which nothing has moved for long.
    pub(super) fn look_whether_stuck(&mut self, place: Place, cx: &mut Context<'_>) {
        if self.tasks.get(&place).is_some_and(|task| !task.is_stuck(cx.at)) {
            return self.set_timer(cx.now + PATIENCE_STEP, Timer::Patience(place));
        }
        let Some(task) = self.tasks.remove(&place) else { return };
        if let Some(held) = self.sessions.get_mut(&place.0) {
            held.session.reset(place.1, Flow::Data, Code::DEADLINE, cx.now);
        }
        self.end(place, &task, &Turn::Failed(Failure::Stuck), cx);
    }

    /// Sends a datagram, if there is a session.
    pub(in crate::simulation) fn send_datagram(
        &mut self,
        to: HostId,
        number: u64,
        length: usize,
        cx: &mut Context<'_>,
    ) {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(length.max(8), 0);
        let found = self.sessions.iter_mut().find(|(_, held)| held.host == to && held.is_ready());
        if let Some((handle, held)) = found {
            // Too long a one, or a session that ends: it is lost like any other.
            let _ = held.session.send_datagram(1, Bytes::from(bytes), DATAGRAM_LIFE, cx.now);
            self.touched.insert(*handle);
        }
        self.settle(cx);
    }

    pub(super) fn take_datagrams(&mut self, handle: Handle, cx: &mut Context<'_>) {
        let Some(held) = self.sessions.get_mut(&handle) else { return };
        while let Some((_, bytes)) = held.session.recv_datagram() {
            match bytes.first_chunk() {
                Some(number) => cx.ledger.datagram(u64::from_be_bytes(*number), cx.at),
                None => cx.ledger.broken(cx.at, || "a datagram was cut".to_owned()),
            }
        }
    }

    /// Closes a link of a session with a host, in order.
    pub(in crate::simulation) fn close_link(&mut self, to: HostId, cx: &mut Context<'_>) {
        let found = self.sessions.iter_mut().find(|(_, held)| held.host == to && held.is_ready());
        if let Some((handle, held)) = found
            && let Some(link) = held.session.active_link()
        {
            held.session.close_link(link, cx.now);
            self.touched.insert(*handle);
        }
        self.settle(cx);
    }

    /// Dials another link for a session with a host.
    pub(in crate::simulation) fn stand_by(&mut self, to: HostId, cx: &mut Context<'_>) {
        let found = self.sessions.iter().find(|(_, held)| held.host == to && held.is_ready());
        if let Some(handle) = found.map(|(handle, _)| *handle) {
            self.dial_for(handle, Need::Standby, cx);
        }
        self.settle(cx);
    }

    fn begin(&mut self, place: Place, task: Task, cx: &mut Context<'_>) {
        self.tasks.insert(place, task);
        self.set_timer(cx.now + PATIENCE_STEP, Timer::Patience(place));
        self.advance(place, cx);
    }

    /// Drops a stream, and begins the exchange again where it failed.
    fn end(&mut self, place: Place, task: &Task, turn: &Turn, cx: &mut Context<'_>) {
        let attempt = task.attempt();
        let Some(held) = self.sessions.get_mut(&place.0) else { return };
        held.session.release(place.1, cx.now);
        self.touched.insert(place.0);
        match turn {
            Turn::GaveUp => cx.ledger.give_up(attempt),
            Turn::Failed(failure) if !task.is_done() => {
                let (host, began) = (held.host, held.began);
                let setting = self.setting(host, began, cx);
                cx.ledger.failed(attempt, task.is_opener(), failure, setting);
                if task.is_opener() {
                    let longest = 1_u64 << attempt.number.min(5);
                    let pause = Duration::from_millis(500 + cx.random.below(longest * 1000));
                    self.set_timer(cx.now + pause, Timer::Again(attempt.exchange));
                }
            }
            _ => {}
        }
        if task.is_opener() {
            self.set_timer(cx.now + self.spec.linger, Timer::LetGo(place.0));
        }
    }
}

/// How long it may take to have a session where nothing is wrong.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_PAUSE: Duration = Duration::from_secs(1);
const PATIENCE_STEP: Duration = Duration::from_secs(30);
const DATAGRAM_LIFE: Duration = Duration::from_millis(200);
