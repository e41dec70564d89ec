//! Where peers are: the same-host registry, multicast DNS, the book of petnames, and names with
//! dots ([`names`]).
//!
//! [`Discovery`] asks all its [`Source`]s at once. What they find proves itself ([`Found::Record`])
//! or is a mere hint that the handshake with the peer has to prove ([`Found::Hint`]), so a lying
//! source costs time and nothing else. Runs on Unix; all async parts need a tokio runtime.

mod discovery;
#[doc(hidden)]
pub mod fuzzing;
pub mod mdns;
pub mod names;
mod petnames;
pub mod private_file;
mod registry;
mod scope;
mod source;
#[cfg(test)]
mod testing;

pub use self::{
    discovery::{Discovery, DiscoveryConfig, Lookup, MAX_PEERS_FOUND},
    mdns::{Interfaces, Mdns, MdnsConfig, MdnsError},
    petnames::{
        AddError, BookError, IfTaken, MAX_NAMES, Named, PetnameBook, PetnameEntry, ResolveError,
    },
    registry::{HostRegistry, RegistryError},
    scope::{ParseScopeError, Scope},
    source::{
        Finding, Findings, Found, LookupOver, PublishError, Query, Source, Task, VerifiedRecord,
    },
};
