//! One measurement: two namespaces, the links between them, a source and a sink, and what happens
//! to the links.

use std::{fmt, thread, time::Duration};

use anyhow::{Result, bail};
use netcom_lab::{Condition, LinkSpec, Pair, Side};
use serde::Serialize;

use crate::{
    ends::{BEFORE, Event, LIMIT, PATIENCE, START, Seen, Task},
    peers::Peer,
    process::Process,
};

/// How a link fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) enum Fault {
    /// Each segment of TCP is answered by a reset.
    Reset,
    /// The reader's card is down, as if its cable were pulled out, and its machine knows.
    Unplugged,
    /// Packets vanish, and nobody is told.
    BlackHole,
}

/// Two ends that have begun.
struct Scene {
    pair: Pair,
    _source: Process,
    sink: Process,
}

/// Fails the link that carries the transfer, and tells what became of that.
pub(crate) fn fail(peer: Peer, fault: Fault) -> Result<Seen> {
    let scene = Scene::new(peer, Task::Gap, &[LinkSpec::new(DELAY); 2])?;
    let Event::Begun = scene.hear(START + SPARE)? else { bail!("the sink says too much") };
    let before = scene.carried();
    thread::sleep(BEFORE);
    let rates = scene.carried().into_iter().zip(before).map(|(after, before)| after - before);
    let used = rates.enumerate().max_by_key(|(_, bytes)| *bytes).map_or(0, |(link, _)| link);
    match fault {
        Fault::Reset => scene.pair.links()[used].set(Condition::Resetting),
        Fault::Unplugged => scene.pair.left().interface_down(used)?,
        Fault::BlackHole => scene.pair.links()[used].set(Condition::Down),
    }
    match scene.hear(LIMIT + SPARE)? {
        Event::Saw(seen) => Ok(seen),
        _ => bail!("the sink saw nothing"),
    }
}

/// What so many links carry together, in megabits a second.
pub(crate) fn rate(peer: Peer, links: usize) -> Result<f64> {
    let scene = Scene::new(peer, Task::Rate, &vec![LinkSpec::new(DELAY).rate(RATE); links])?;
    match scene.hear(START + PATIENCE + SPARE)? {
        Event::Rate(megabits) => Ok(megabits),
        _ => bail!("the sink measured nothing"),
    }
}

impl Scene {
    fn new(peer: Peer, task: Task, specs: &[LinkSpec]) -> Result<Self> {
        let pair = Pair::with_links(specs)?;
        let addresses = (0..specs.len()).map(|link| pair.right().addresses(link)[0].to_string());
        let source = ["source".to_owned(), peer.name(), name(task)].into_iter().chain(addresses);
        let source = Process::start(pair.right(), &source.collect::<Vec<_>>())?;
        let contact = source.line(START)?;
        let links = specs.len().to_string();
        let sink = ["sink".to_owned(), peer.name(), name(task), links, contact];
        let sink = Process::start(pair.left(), &sink)?;
        Ok(Self { pair, _source: source, sink })
    }

    /// What the sink says next.
    fn hear(&self, patience: Duration) -> Result<Event> {
        match serde_json::from_str(&self.sink.line(patience)?)? {
            Event::Failed(why) => bail!(why),
            event => Ok(event),
        }
    }

    /// The bytes that came from the source by each link.
    fn carried(&self) -> Vec<u64> {
        self.pair.links().iter().map(|link| link.counters(Side::Right).bytes).collect()
    }
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::Reset, Self::Unplugged, Self::BlackHole];

    /// Whether the peer's links can fail so: nothing resets UDP.
    pub(crate) fn meets(self, peer: Peer) -> bool {
        self != Self::Reset || !peer.is_quic()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "connections reset",
            Self::Unplugged => "card unplugged",
            Self::BlackHole => "black hole",
        })
    }
}

/// The task's name on the command line.
fn name(task: Task) -> String {
    match task {
        Task::Gap => "gap",
        Task::Rate => "rate",
    }
    .to_owned()
}

const DELAY: Duration = Duration::from_millis(10);
/// Bits a second of each link that a rate is measured over.
const RATE: u64 = 100_000_000;
/// For whatever goes between two things that are waited for.
const SPARE: Duration = Duration::from_secs(5);
