//! What there is to send.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    MAX_ENTRIES,
    manifest::{Manifest, ManifestError},
    message::{Entry, Kind},
};
use crate::failure::{Failure, Outcome};

/// A manifest and where its entries are.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) manifest: Manifest,
    /// One for each entry; empty for stdin.
    pub(crate) paths: Vec<PathBuf>,
    /// Links, sockets and devices that were left out.
    pub(crate) skipped: u64,
}

/// Looks through a file or a folder; `-` is stdin. A link given by its name is followed, one
/// inside a folder is an error or, with `skip_special`, left out.
pub(crate) fn scan(source: &Path, name: Option<&str>, skip_special: bool) -> Outcome<Scan> {
    if source == Path::new("-") {
        let entry = Entry { path: String::new(), is_folder: false, size: 0, mode: 0o644 };
        let manifest = Manifest::new(name.unwrap_or("stdin"), Kind::Stream, vec![entry]);
        return Ok(Scan { manifest: manifest.map_err(refused)?, paths: vec![], skipped: 0 });
    }
    let failed = |error: io::Error| cannot_read(source, &error);
    let metadata = fs::metadata(source).map_err(failed)?;
    let own_name = match name {
        Some(name) => name.to_owned(),
        // `.` and `..` have a name too.
        None => text_name(&fs::canonicalize(source).map_err(failed)?)?,
    };
    let mut found = Found { skip_special, ..Found::default() };
    let kind = if metadata.is_dir() {
        found.folder(source, "")?;
        Kind::Folder
    } else if metadata.is_file() {
        found.add(String::new(), source.to_owned(), &metadata)?;
        Kind::File
    } else {
        let message = format!("{} is neither a file nor a folder", source.display());
        return Err(Failure::failed("not_a_file", message).hint("send - and give it on stdin"));
    };
    let manifest = Manifest::new(&own_name, kind, found.entries).map_err(refused)?;
    Ok(Scan { manifest, paths: found.paths, skipped: found.skipped })
}

#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    paths: Vec<PathBuf>,
    skip_special: bool,
    skipped: u64,
}

impl Found {
    /// Adds what is in a folder, which is `below` the top; in the order of names.
    fn folder(&mut self, top: &Path, below: &str) -> Outcome {
        // A list of what is left instead of recursion, whose depth a folder would set.
        let mut left = vec![(top.to_owned(), below.to_owned())];
        while let Some((folder, below)) = left.pop() {
            let failed = |error: io::Error| cannot_read(&folder, &error);
            let mut children = Vec::new();
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                children.push((text_name(&entry.path())?, entry.path()));
            }
            children.sort();
            for (name, path) in children {
                let below = if below.is_empty() { name } else { format!("{below}/{name}") };
                let metadata =
                    fs::symlink_metadata(&path).map_err(|error| cannot_read(&path, &error))?;
                if metadata.is_dir() {
                    left.push((path.clone(), below.clone()));
                } else if !metadata.is_file() {
                    self.special(&path)?;
                    continue;
                }
                self.add(below, path, &metadata)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, place: PathBuf, metadata: &fs::Metadata) -> Outcome {
        if self.entries.len() >= MAX_ENTRIES {
            let count = self.entries.len() as u64 + 1;
            return Err(refused(ManifestError::TooMany(count)));
        }
        let is_folder = metadata.is_dir();
        let size = if is_folder { 0 } else { metadata.len() };
        let mode = metadata.permissions().mode() & 0o777;
        self.entries.push(Entry { path, is_folder, size, mode });
        self.paths.push(place);
        Ok(())
    }

    fn special(&mut self, path: &Path) -> Outcome {
        if self.skip_special {
            self.skipped += 1;
            return Ok(());
        }
        let message = format!("{} is a link, a socket or a device", path.display());
        Err(Failure::failed("not_a_file", message)
            .hint("--skip-special leaves such entries out, or send a copy made by cp -rL"))
    }
}

fn text_name(path: &Path) -> Outcome<String> {
    match path.file_name().map(|name| name.to_str()) {
        Some(Some(name)) => Ok(name.to_owned()),
        Some(None) => {
            let message = format!("the name of {} is not UTF-8", path.display());
            Err(Failure::failed("name_refused", message).hint("rename it"))
        }
        None => {
            let message = format!("{} has no name", path.display());
            Err(Failure::failed("name_refused", message).hint("give one with --name"))
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn refused(error: ManifestError) -> Failure {
    let hint = match &error {
        ManifestError::Name(_) | ManifestError::Duplicate(_) => "rename it",
        ManifestError::TooMany(_) => "send parts of it, or an archive through stdin",
        ManifestError::Version(_) | ManifestError::Contradiction => "send parts of it",
    };
    Failure::failed("name_refused", error.to_string()).hint(hint)
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::io(format_args!("{} cannot be read", path.display()), error)
}
