//! What is done to a world.

use super::{
    exchange::Exchange,
    network::{Fault, HostId},
};

/// Something that happens to the world.
#[derive(Clone, Debug)]
pub enum Step {
    /// A host wants something of another.
    Want(Exchange),
    /// A host sends a datagram, if it has a session with the other.
    Datagram {
        /// Who sends it.
        from: HostId,
        /// Whom it is for.
        to: HostId,
        /// The datagram's own number.
        number: u64,
        /// Its length in bytes.
        length: usize,
    },
    /// Something goes wrong, under a number of its own.
    Begin(u64, Fault),
    /// It does no longer.
    End(u64),
    /// A card gets another address.
    Move {
        /// Whose card.
        host: HostId,
        /// Which one.
        card: usize,
    },
    /// A host stops for a while: nothing of it runs.
    Sleep {
        /// Which one.
        host: HostId,
        /// Whether packets for it wait until it goes on.
        keeps_packets: bool,
    },
    /// It goes on.
    Wake {
        /// Which one.
        host: HostId,
        /// Whether its clock went on meanwhile.
        clock_ran: bool,
    },
    /// A host's process ends.
    Stop {
        /// Whose.
        host: HostId,
        /// In which way.
        end: End,
    },
    /// A host starts its next process.
    Start {
        /// Which one.
        host: HostId,
        /// Whether it names the one before it.
        supersedes: bool,
    },
    /// A host closes the link in use with another, in order.
    CloseLink {
        /// Who closes it.
        host: HostId,
        /// The other end.
        with: HostId,
    },
    /// A host dials another link for its session with another.
    StandBy {
        /// Who dials.
        host: HostId,
        /// Whom.
        with: HostId,
    },
}

/// How a process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It closes its sessions, and is killed later.
    Closing,
    /// It is killed; its host answers packets for it.
    Killed,
    /// Its host goes off.
    Off,
}
