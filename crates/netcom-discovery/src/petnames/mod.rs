//! The petname book: what this user calls others, in a file that can be read and edited by hand.

mod file;
pub(crate) mod fuzzing;
mod near;

use std::path::PathBuf;

use netcom_identity::{
    AddressError, MAX_ADDRESSES, Multiaddr, NetId, PeerId, Petname, with_own_peer_id,
};

use self::file::Book;
pub use self::file::BookError;

/// A user's own names for entities and nodes, kept in `names.toml` in a data directory.
///
/// Every call reads the file, so changes by other processes count at once; writers wait for each
/// other. The calls do file I/O and block for its time.
#[derive(Clone, Debug)]
pub struct PetnameBook {
    directory: PathBuf,
}

/// What a petname stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PetnameEntry {
    /// Whom the name means.
    pub id: Named,
    /// Where that one was reachable, each address ending in a `/p2p`. May be empty.
    pub addresses: Vec<Multiaddr>,
}

/// Whom a petname means.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Named {
    /// An entity.
    NetId(NetId),
    /// One node.
    Peer(PeerId),
}

/// What [`PetnameBook::add`] does with a name that is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IfTaken {
    /// Leave it as it is and say so.
    Refuse,
    /// Put the new entry in its place.
    Replace,
}

/// Why [`PetnameBook::add`] failed; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The name stands for somebody already. Choose another one, or replace it on purpose.
    #[error("{name} already means {current}")]
    Taken {
        /// The name.
        name: Petname,
        /// Whom it means.
        current: Box<Named>,
    },
    /// There is no room; remove some names.
    #[error("the petname book holds {MAX_NAMES} names, no more fit")]
    Full,
    /// An address cannot be kept.
    #[error("{address} cannot be kept with the name")]
    Address {
        /// The address.
        address: Multiaddr,
        /// What is wrong with it.
        source: Box<AddressError>,
    },
    /// There are too many addresses; leave some out.
    #[error("a name keeps at most {MAX_ADDRESSES} addresses, not {count}")]
    Addresses {
        /// How many there were.
        count: usize,
    },
    /// The book cannot be read or written.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// Why [`PetnameBook::resolve`] or [`PetnameBook::remove`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The book has no such name; perhaps a similar one was meant.
    #[error("there is no name {name} in the petname book{}", near::did_you_mean(.suggestion))]
    Unknown {
        /// The name.
        name: Petname,
        /// The most similar name there is.
        suggestion: Option<Petname>,
    },
    /// The book cannot be read or written.
    #[error(transparent)]
    Book(#[from] BookError),
}

/// A book holds at most this many names.
pub const MAX_NAMES: usize = 10_000;

impl PetnameBook {
    /// Uses the book in a data directory, which is made when the first name is added.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The file the names are in, which need not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(file::NAME)
    }

    /// Adds a name.
    ///
    /// # Errors
    /// The name is taken, or the entry or the book is not in order.
    pub fn add(
        &self,
        name: &Petname,
        mut entry: PetnameEntry,
        if_taken: IfTaken,
    ) -> Result<(), AddError> {
        entry.check()?;
        let lock = file::lock(&self.directory)?;
        let mut book = Book::read(&self.path())?;
        match book.entry(name) {
            Some(current) if if_taken == IfTaken::Refuse => {
                let current = Box::new(current?.id);
                return Err(AddError::Taken { name: name.clone(), current });
            }
            None if book.len() >= MAX_NAMES => return Err(AddError::Full),
            _ => {}
        }
        book.put(name, &entry);
        Ok(book.write(&self.path(), &lock)?)
    }

    /// Removes a name and tells what it stood for, if that could be read.
    ///
    /// # Errors
    /// There is no such name, or the book is not in order.
    pub fn remove(&self, name: &Petname) -> Result<Option<PetnameEntry>, ResolveError> {
        let lock = file::lock(&self.directory)?;
        let mut book = Book::read(&self.path())?;
        let entry = book.entry(name).ok_or_else(|| unknown(&book, name))?.ok();
        book.remove(name);
        book.write(&self.path(), &lock)?;
        Ok(entry)
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// There is no such name, or the book is not in order.
    pub fn resolve(&self, name: &Petname) -> Result<PetnameEntry, ResolveError> {
        let book = Book::read(&self.path())?;
        Ok(book.entry(name).ok_or_else(|| unknown(&book, name))??)
    }

    /// All names, in order.
    ///
    /// # Errors
    /// The book is not in order.
    pub fn list(&self) -> Result<Vec<(Petname, PetnameEntry)>, BookError> {
        Book::read(&self.path())?.entries()
    }
}

impl PetnameEntry {
    /// An entry for an entity or a node.
    #[must_use]
    pub fn new(id: Named) -> Self {
        Self { id, addresses: Vec::new() }
    }

    /// Keeps addresses with the name. Default: none.
    #[must_use]
    pub fn addresses(mut self, addresses: Vec<Multiaddr>) -> Self {
        self.addresses = addresses;
        self
    }

    fn check(&mut self) -> Result<(), AddError> {
        if self.addresses.len() > MAX_ADDRESSES {
            return Err(AddError::Addresses { count: self.addresses.len() });
        }
        for address in &mut self.addresses {
            match complete(&self.id, address) {
                Ok(complete) => *address = complete,
                Err(source) => {
                    let source = Box::new(source);
                    return Err(AddError::Address { address: address.clone(), source });
                }
            }
        }
        Ok(())
    }
}

fn unknown(book: &Book, name: &Petname) -> ResolveError {
    let suggestion = near::nearest(name, book.names());
    ResolveError::Unknown { name: name.clone(), suggestion }
}

/// The address with the node it leads to: the named one, or one of the entity's.
fn complete(id: &Named, address: &Multiaddr) -> Result<Multiaddr, AddressError> {
    let peer = match id {
        Named::Peer(peer) => *peer,
        Named::NetId(_) => crate::mdns::address::peer_of(address).ok_or(AddressError::NoPeer)?,
    };
    with_own_peer_id(address, &peer)
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NetId(netid) => netid.fmt(f),
            Self::Peer(peer) => peer.fmt(f),
        }
    }
}

impl From<NetId> for Named {
    fn from(netid: NetId) -> Self {
        Self::NetId(netid)
    }
}

impl From<PeerId> for Named {
    fn from(peer: PeerId) -> Self {
        Self::Peer(peer)
    }
}

#[cfg(test)]
mod tests;
