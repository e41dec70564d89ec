//! What the settings say about names with dots.

use std::{collections::BTreeMap, error::Error, fs::File, io::Read as _, path::PathBuf};

use netcom::{
    DirectorySuffixes, NetId, Scope,
    names::{Directories, Directory, DottedName, Names},
};
use serde::{Deserialize, Serialize};

use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    settings::Settings,
};

/// A directory as the settings have it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    url: String,
    key: String,
    /// A file of certificates in PEM that may vouch for the server; one without a `/` before it is
    /// in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

/// The directories by their suffixes.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// Whom names are asked of, and where what they led to is remembered.
pub(crate) fn names(context: &Context) -> Outcome<Names> {
    let scope = context.settings.discovery.value.as_deref().map(scope).transpose()?;
    let names = match scope.unwrap_or_default() >= Scope::Lan {
        true => Names::system(),
        false => Names::offline(),
    };
    let names = names.fixed(fixed(context)?).directories(directories(context)?);
    // What is remembered is in a data directory, with its version.
    context.data_dir()?;
    Ok(names.remembering(context.directory()))
}

/// Reads how far a node looks.
pub(crate) fn scope(text: &str) -> Outcome<Scope> {
    text.parse().map_err(|error| {
        Failure::from_error(Exit::Usage, "bad_scope", &error).hint("--discovery host")
    })
}

/// The names whose keys nobody is asked about.
pub(crate) fn fixed(context: &Context) -> Outcome<Vec<(DottedName, NetId)>> {
    let suffixes = suffixes(&context.settings)?;
    let read = |(name, netid): (&String, &String)| {
        let wrong = |error: &dyn Error| {
            let message = format!("naming.static: {name} = {netid:?}: {error}");
            Failure::new(Exit::Usage, "config", message)
                .hint("\"example.org\" = \"n1…\" under [naming.static]")
        };
        let known = DottedName::parse(name, &suffixes).map_err(|error| wrong(&error))?;
        let netid: NetId = netid.parse().map_err(|error| wrong(&error))?;
        Ok((known, netid))
    };
    context.settings.names.value.iter().map(read).collect()
}

/// The suffixes whose names are never domains.
pub(crate) fn suffixes(settings: &Settings) -> Outcome<DirectorySuffixes> {
    let mut suffixes = DirectorySuffixes::default();
    for suffix in settings.directories.value.keys() {
        suffixes = suffixes.with(suffix).map_err(|error| wrong(suffix, &error))?;
    }
    Ok(suffixes)
}

/// Reads the directories, with the files of their authorities.
pub(crate) fn directories(context: &Context) -> Outcome<Directories> {
    let mut directories = Directories::default();
    for (suffix, entry) in &context.settings.directories.value {
        let key: NetId = entry.key.parse().map_err(|error| wrong(suffix, &error))?;
        let directory = Directory::new(suffix, &entry.url, key);
        let mut directory = directory.map_err(|error| wrong(suffix, &error))?;
        if let Some(path) = &entry.ca {
            let path = context.directory().join(path);
            let mut pem = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(MAX_AUTHORITY).read_to_end(&mut pem))
                .map_err(|error| {
                    Failure::io(format_args!("{} cannot be read", path.display()), &error)
                })?;
            directory = directory.authority(&pem).map_err(|error| wrong(suffix, &error))?;
        }
        directories = directories.with(directory).map_err(|error| wrong(suffix, &error))?;
    }
    Ok(directories)
}

fn wrong(suffix: &str, error: &dyn Error) -> Failure {
    let message = format!("naming.directories: {suffix}: {error}");
    Failure::new(Exit::Usage, "config", message)
        .hint("netcom = { url = \"https://…\", key = \"n1…\" } under [naming.directories]")
}

/// What is longer is cut, and no list of certificates then.
const MAX_AUTHORITY: u64 = 1 << 20;
