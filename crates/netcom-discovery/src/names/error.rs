//! Why a name leads to nobody.

use netcom_identity::NetId;

use super::{directory::DirectoryFault, pins::PinError};

/// Why a name leads to nobody. Nothing was sent to anybody who might be meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nobody answers for the name. Look for a typing error, or try again with a network.
    #[error(
        "nothing says whose {name} is; its web server: {web}; its DNS: {dns}: look for a typing \
         error, or use a NetID or a ticket"
    )]
    Unknown {
        /// The name.
        name: String,
        /// What its web server said.
        web: String,
        /// What the DNS said.
        dns: String,
    },
    /// The DNS answer lacks the proof that its zone promises, or is no document. Whoever runs the
    /// zone must mend it, or somebody forges answers on the way, or a part of the proof was lost.
    #[error(
        "the DNS answer for {name} is wrong ({reason}): its zone is broken, or somebody forges \
         answers: try from another network"
    )]
    Bogus {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// What the web server says is no answer. Whoever runs it must mend that.
    #[error(
        "https://{name}/.well-known/netid.json is not what it should be ({reason}): ask who runs \
         {name}"
    )]
    BadAnswer {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The zone says whose name it is, without DNSSEC.
    #[error(
        "only a DNS record without DNSSEC says whose {name} is, which anybody on the way can \
         write: its owner must sign the zone or serve https://{name}/.well-known/netid.json"
    )]
    Unproven {
        /// The name.
        name: String,
    },
    /// Two authenticated sources say different things.
    #[error(
        "the web server of {name} says {web}, its DNS says {dns}: ask who runs {name} which is \
         right"
    )]
    Different {
        /// The name.
        name: String,
        /// The key that the web server gives.
        web: NetId,
        /// The key that the DNS gives.
        dns: NetId,
    },
    /// The key itself does not claim the name.
    #[error("{netid} does not give {name} as its primary name: ask who runs {name}")]
    NotNamed {
        /// The name.
        name: String,
        /// The key.
        netid: NetId,
    },
    /// Another key than before.
    #[error(
        "{name} was {known} and is {found} now, and the old key named no successor: ask its owner \
         by other means which is right"
    )]
    Changed {
        /// The name.
        name: String,
        /// The key until now.
        known: NetId,
        /// The key it would be now.
        found: NetId,
    },
    /// The document, or the directory's entry, is older than one that was seen before.
    #[error(
        "the answer for {name} is number {sequence}, and number {seen} was seen before: somebody \
         repeats an old one, or its server was set back"
    )]
    Replayed {
        /// The name.
        name: String,
        /// The document's number.
        sequence: u64,
        /// The number seen before.
        seen: u64,
    },
    /// No directory is configured for names like that one, so nobody was asked.
    #[error("{name} is in the directory for .{suffix}, and none is configured")]
    NoDirectoryFor {
        /// The name.
        name: String,
        /// The suffix.
        suffix: String,
    },
    /// What a directory's names end in is no name.
    #[error("{suffix} is a directory: put a name and a dot before it")]
    SuffixAlone {
        /// The suffix.
        suffix: String,
    },
    /// The directory has no such name. Look for a typing error.
    #[error("the directory at {directory} has no {name}: look for a typing error")]
    NotInDirectory {
        /// The name.
        name: String,
        /// The directory's url.
        directory: String,
    },
    /// The directory does not answer, and nothing it said before still holds. Try again.
    #[error("the directory at {directory} does not say whose {name} is: {reason}")]
    DirectorySilent {
        /// The name.
        name: String,
        /// The directory's url.
        directory: String,
        /// What happened.
        reason: String,
    },
    /// What the directory says must not be believed.
    #[error("what the directory at {directory} says of {name} is refused: {fault}")]
    BadDirectory {
        /// The name.
        name: String,
        /// The directory's url.
        directory: String,
        /// What is wrong with it.
        fault: Box<DirectoryFault>,
    },
    /// The key says of itself that another one took its place.
    #[error(
        "the key that is given for {name} says that {successor} took its place: ask who runs {name}"
    )]
    Replaced {
        /// The name.
        name: String,
        /// The key that took its place.
        successor: NetId,
    },
    /// Somebody else changed what is remembered of the name at the same time. Try again.
    #[error("what is remembered of {name} has just been changed: try again")]
    Busy {
        /// The name.
        name: String,
    },
    /// The node asks nobody beyond its machine.
    #[error(
        "{name} is asked for beyond this machine, and this node looks no further: use a NetID or a \
         ticket, or let discovery reach the LAN"
    )]
    Offline {
        /// The name.
        name: String,
    },
    /// What was remembered cannot be read or written.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// There is nowhere to remember it.
    #[error("only a data directory remembers which key a name has: give one with --data-dir")]
    NoDirectory,
    /// The runtime ends.
    #[error("the node is closed")]
    Closed,
}

impl NameError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "name_unknown",
            Self::Bogus { .. } => "name_bogus",
            Self::BadAnswer { .. } => "name_bad_answer",
            Self::Unproven { .. } => "name_unproven",
            Self::Different { .. } => "name_different",
            Self::NotNamed { .. } => "name_not_claimed",
            Self::Changed { .. } => "name_changed",
            Self::Replayed { .. } => "name_replayed",
            Self::Replaced { .. } => "name_replaced",
            Self::NoDirectoryFor { .. } => "name_no_directory",
            Self::SuffixAlone { .. } => "name_suffix_alone",
            Self::NotInDirectory { .. } => "name_not_in_directory",
            Self::DirectorySilent { .. } => "name_directory_silent",
            Self::BadDirectory { .. } => "name_bad_directory",
            Self::Busy { .. } => "name_busy",
            Self::Offline { .. } => "name_offline",
            Self::Pin(_) => "name_pin",
            Self::NoDirectory => "no_data_dir",
            Self::Closed => "closed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Different { name, .. } => {
                Some(format!("[naming.static] {name} = \"n1…\" in config.toml"))
            }
            Self::Changed { name, found, .. } => Some(format!("netcom names trust {name} {found}")),
            Self::NoDirectoryFor { suffix, .. } => Some(format!(
                "[naming.directories] {suffix} = {{ url = \"https://…\", key = \"n1…\" }} in \
                 config.toml"
            )),
            Self::BadDirectory { directory, fault, .. } => Some(fault.hint(directory)),
            Self::Pin(PinError::File(error)) => error.hint(),
            Self::Pin(PinError::Full { .. }) => {
                Some("netcom names forget NAME, one that is used no more".to_owned())
            }
            _ => None,
        }
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unknown { .. }
            | Self::Bogus { .. }
            | Self::Busy { .. }
            | Self::DirectorySilent { .. } => true,
            Self::Pin(PinError::File(error)) => error.is_retryable(),
            _ => false,
        }
    }
}
