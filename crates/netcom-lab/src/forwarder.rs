//! The thread that carries packets between two devices.

use std::{
    mem,
    num::NonZeroU64,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::setpriority_process,
    thread::{gettid, set_current_timer_slack},
};
use tun_rs::SyncDevice;

use crate::{
    Cause, Condition, Fate, LinkSpec, Path, Random, Side,
    control::View,
    held::Held,
    link::Shared,
    packet::{Packet, Resets},
};

/// Carries packets until the link is over.
pub(crate) struct Forwarder {
    devices: [SyncDevice; 2],
    shared: Arc<Shared>,
    view: View,
    paths: [Path; 2],
    /// One for each direction, so that neither's packets change what becomes of the other's.
    randoms: [Random; 2],
    held: Held,
    /// What all times here are counted from.
    begun: Instant,
    buffer: Box<[u8]>,
}

impl Forwarder {
    pub(crate) fn new(spec: LinkSpec, devices: [SyncDevice; 2], shared: Arc<Shared>) -> Self {
        let mut seeds = Random::new(spec.seed);
        Self {
            devices,
            view: shared.controls.view(),
            shared,
            paths: spec.paths.map(Path::new),
            randoms: [(); 2].map(|()| Random::new(seeds.u64())),
            held: Held::default(),
            begun: Instant::now(),
            buffer: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
        }
    }

    pub(crate) fn run(mut self) {
        let mut is_behind = false;
        while !self.shared.is_over() {
            self.follow_script();
            self.deliver();
            let Some(is_ready) = self.sleep(is_behind) else { return };
            is_behind = false;
            for side in Side::BOTH {
                if is_ready[side.index()] {
                    is_behind |= self.take_from(side);
                }
            }
        }
    }

    /// Does what the script says, when it is time.
    fn follow_script(&mut self) {
        self.refresh();
        let now = Instant::now();
        if self.view.next.is_some_and(|next| next <= now) {
            self.shared.controls.go_on(now);
            self.refresh();
        }
    }

    /// Looks at what was asked for since.
    fn refresh(&mut self) {
        if self.shared.controls.refresh(&mut self.view) {
            for (path, spec) in self.paths.iter_mut().zip(self.view.state.paths) {
                path.set(spec);
            }
        }
    }

    /// Hands over what is due. A packet is never early, and late by as much as the machine is.
    fn deliver(&mut self) {
        loop {
            let now = self.begun.elapsed();
            let Some(parcel) = self.held.pop_due(now) else { return };
            self.refresh();
            match self.view.state.conditions[parcel.from.index()] {
                Condition::Down => self.shared.tallies[parcel.from.index()].lost(Cause::Down),
                Condition::Up | Condition::Resetting => {
                    self.shared.lateness.add(parcel.lateness(now));
                    self.hand_over(parcel.from, &parcel.packet);
                }
            }
            self.held.give_back(parcel);
        }
    }

    /// Takes what was sent at one side, a bounded number at a time so that none that is due waits.
    /// Tells whether there may be more.
    fn take_from(&mut self, side: Side) -> bool {
        let mut buffer = mem::take(&mut self.buffer);
        let mut is_behind = true;
        for _ in 0..BATCH {
            let Ok(length) = self.devices[side.index()].recv(&mut buffer) else {
                is_behind = false;
                break;
            };
            let sent = self.begun.elapsed();
            self.refresh();
            self.take(side, &buffer[..length], sent);
            if self.held.next_due().is_some_and(|due| due + GRACE < sent) {
                break;
            }
        }
        self.buffer = buffer;
        is_behind
    }

    /// Decides about one packet.
    fn take(&mut self, from: Side, packet: &[u8], sent: Duration) {
        let tally = &self.shared.tallies[from.index()];
        tally.sent.add(1);
        self.shared.recording.add(packet);
        let condition = self.view.state.conditions[from.index()];
        if condition == Condition::Down {
            return tally.lost(Cause::Down);
        }
        let parts = Packet::parse(packet);
        if parts.is_some_and(|parts| self.view.state.is_blocked(parts.protocol)) {
            return tally.lost(Cause::Blocked);
        }
        if condition == Condition::Resetting
            && let Some(resets) = parts.and_then(|parts| parts.resets())
        {
            tally.reset.add(1);
            return self.reset(from, &resets);
        }
        let random = &mut self.randoms[from.index()];
        match self.paths[from.index()].pass(packet.len(), sent, random) {
            Fate::Lost(cause) => tally.lost(cause),
            Fate::Arrives { at, again } => {
                if !self.held.put(from, packet, at) {
                    tally.lost(Cause::Queue);
                }
                if again.is_some_and(|again| self.held.put(from, packet, again)) {
                    tally.duplicated.add(1);
                }
            }
        }
    }

    /// Ends a connection at both sides.
    fn reset(&self, from: Side, resets: &Resets) {
        let on = resets.on.iter().map(|packet| (from, packet));
        for (from, packet) in [(from.other(), &resets.back)].into_iter().chain(on) {
            self.shared.recording.add(packet);
            self.hand_over(from, packet);
        }
    }

    fn hand_over(&self, from: Side, packet: &[u8]) {
        let tally = &self.shared.tallies[from.index()];
        match self.devices[from.other().index()].send(packet) {
            Ok(_) => tally.arrived(packet.len()),
            Err(_) => tally.lost(Cause::Device),
        }
    }

    /// Waits for a packet, for the next delivery, for the script or for the end, not at all if this
    /// is behind. Tells at which sides to look for packets, `None` if it cannot wait.
    fn sleep(&self, is_behind: bool) -> Option<[bool; 2]> {
        self.shared.recording.flush();
        let is_crowded = self.held.len() >= CROWD;
        let wait = if is_behind {
            Some(Duration::ZERO)
        } else if is_crowded {
            Some(PACE)
        } else {
            self.until_next()
        };
        let wait =
            wait.map(|wait| Timespec::try_from(wait.min(LONGEST_SLEEP)).expect("an hour fits"));
        let [left, right] = &self.devices;
        let mut sources = [
            PollFd::new(&self.shared.wake, PollFlags::IN),
            PollFd::new(left, PollFlags::IN),
            PollFd::new(right, PollFlags::IN),
        ];
        // In a crowd nobody is woken for one packet, which would cost more than the packet.
        let heard = if is_crowded { &mut sources[..1] } else { &mut sources[..] };
        match poll(heard, wait.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Some([false; 2]),
            Err(_) => return None,
        }
        let [woken, left, right] = sources.map(|source| source.revents());
        if woken.contains(PollFlags::IN) {
            // Whether it is over, or what has changed, stands elsewhere.
            let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
        }
        let is_gone = [left, right].iter().any(|events| events.intersects(GONE));
        let is_ready = |events: PollFlags| is_crowded || events.contains(PollFlags::IN);
        (!is_gone).then(|| [left, right].map(is_ready))
    }

    /// How long it is until the next delivery, or until the script goes on; `None` for ever.
    fn until_next(&self) -> Option<Duration> {
        let delivery = self.held.next_due().map(|due| self.begun + due);
        let next = delivery.into_iter().chain(self.view.next).min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }
}

/// Has the system wake the calling thread when it asked for it, and before all others, so that the
/// network is not slower where its ends are busy. Where that is refused the link is less exact, as
/// its [`Lateness`](crate::Lateness) then says.
pub(crate) fn hurry() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    // On Linux a thread's, not the process's.
    let _ = setpriority_process(None, HIGHEST_PRIORITY);
    // Among threads of one kind the highest priority still waits for others' turns to end. There
    // is no safe call to become one of the other kind.
    let thread = gettid().as_raw_pid().to_string();
    let mut command = Command::new("chrt");
    command.args(["--fifo", "--pid", LEAST_REAL_TIME, &thread]);
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Packets taken from one side before the others have their turn.
const BATCH: usize = 64;
/// By how much packets may be late because others are taken: a system call costs a hundredth.
const GRACE: Duration = Duration::from_micros(200);
/// So many packets on their way are carried in rounds, not each for itself.
const CROWD: usize = 64;
/// How long a round of a crowd lasts.
const PACE: Duration = Duration::from_micros(100);
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
const HIGHEST_PRIORITY: i32 = -20;
/// Above everything that is not real-time, below everything that is.
const LEAST_REAL_TIME: &str = "1";
/// What a device says that does not exist any more.
const GONE: PollFlags = PollFlags::ERR.union(PollFlags::NVAL);
