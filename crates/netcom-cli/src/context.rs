//! What every command needs: where its identity lives, its settings, and where to answer.

use std::path::PathBuf;

use netcom::{DataDir, IdentityStore, Links, ParseLinksError, PetnameBook, Rate, Target};

use crate::{
    args::{Access, Global, Serve},
    failure::{Exit, Failure, Outcome},
    naming,
    output::Output,
    settings::{Flags, Settings},
};

/// One run of the command.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) settings: Settings,
    directory: PathBuf,
    /// Whether keys of links are written for packet analysers.
    pub(crate) key_log: bool,
}

impl Context {
    pub(crate) fn new(global: &Global, output: Output, flags: Flags) -> Outcome<Self> {
        let directory = DataDir::locate(global.data_dir.as_deref()).map_err(|error| {
            Failure::from_error(Exit::Usage, error.code(), &error).hint_if(error.hint())
        })?;
        let (discovery, links) = (global.discovery.clone(), global.links.clone());
        let flags = Flags { discovery, links, ..flags };
        let settings = Settings::load(&directory, flags)?;
        Ok(Self { output, settings, directory, key_log: global.key_log })
    }

    /// Where the data directory is, whether it exists or not.
    pub(crate) fn directory(&self) -> &PathBuf {
        &self.directory
    }

    /// The data directory, made if need be.
    pub(crate) fn data_dir(&self) -> Outcome<DataDir> {
        DataDir::open(&self.directory).map_err(|error| {
            Failure::from_error(Exit::Failure, error.code(), &error).hint_if(error.hint())
        })
    }

    /// The data directory's keys.
    pub(crate) fn identity(&self) -> Outcome<IdentityStore> {
        Ok(IdentityStore::new(self.data_dir()?))
    }

    /// The data directory with an identity in it, made if need be.
    pub(crate) fn data_dir_with_identity(&self) -> Outcome<DataDir> {
        let data_dir = self.data_dir()?;
        let store = IdentityStore::new(data_dir.clone());
        if !store.has_identity() && store.show().map_err(key_failure)?.netid.is_none() {
            match store.create(None) {
                Ok(netid) => self.output.talk(format_args!(
                    "made the identity {netid} in {}",
                    self.directory.display()
                )),
                // Another process made it meanwhile.
                Err(_) if store.has_identity() => {}
                Err(error) => return Err(key_failure(error)),
            }
        }
        Ok(data_dir)
    }

    /// How many links sessions use, where the settings say.
    pub(crate) fn links(&self) -> Outcome<Option<Links>> {
        let read = |text: &String| {
            text.parse().map_err(|error: ParseLinksError| {
                Failure::from_error(Exit::Usage, "bad_links", &error).hint("--links standby")
            })
        };
        self.settings.links.value.as_ref().map(read).transpose()
    }

    /// The own names for others.
    pub(crate) fn names(&self) -> PetnameBook {
        PetnameBook::new(&self.directory)
    }
}

/// What a node's flags say.
pub(crate) fn serve_flags(serve: &Serve, access: &Access) -> Flags {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    Flags {
        listen: some(&serve.listen),
        allow: some(&access.list.allow),
        allow_all: access.list.allow_all,
        metrics: serve.metrics.clone(),
        metrics_open: serve.metrics_open,
        event_log: serve.event_log.clone(),
        ..Flags::default()
    }
}

/// Reads a target, or says what one looks like.
pub(crate) fn target(context: &Context, text: &str) -> Outcome<Target> {
    let suffixes = naming::suffixes(&context.settings)?;
    Target::parse(text, &suffixes).map_err(|error| {
        Failure::from_error(Exit::Usage, "bad_target", &error)
            .hint("a NetID (n1…), a PeerId, a petname, a ticket or a multiaddr ending in /p2p/…")
    })
}

/// Reads a rate, or says what one looks like.
pub(crate) fn rate(text: &str) -> Outcome<Rate> {
    text.parse().map_err(|error| {
        Failure::from_error(Exit::Usage, "bad_rate", &error).hint("5M, for 5 MB a second")
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
pub(crate) fn key_failure(error: netcom::KeyFileError) -> Failure {
    Failure::from_error(Exit::Failure, error.code(), &error).hint_if(error.hint())
}
