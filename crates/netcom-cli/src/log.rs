//! Logs, for who asked for some.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing_subscriber::EnvFilter;

use crate::{
    args::Global,
    failure::{Failure, Outcome},
};

/// Logs to stderr, or to the file that is named, what `-v` or `NETCOM_LOG` ask for, up to a bound,
/// so that no peer fills a disk. What is left out for want of permissions and the like is told in
/// any case, unless `--quiet`.
pub(crate) fn start(global: &Global) -> Outcome {
    let Some(filter) = filter(global) else { return Ok(()) };
    let file = global.log_file.as_deref().map(open).transpose()?;
    let (file, left) = (file.map(Arc::new), Arc::new(AtomicU64::new(MAX_LOG_BYTES)));
    let has_colours = file.is_none() && io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(has_colours)
        .with_writer(move || Capped { left: Arc::clone(&left), file: file.clone() })
        .finish();
    // There is no other one: this is the first thing that runs.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// What is logged; `None` for nothing.
fn filter(global: &Global) -> Option<String> {
    let given = std::env::var("NETCOM_LOG").ok().filter(|filter| !filter.is_empty());
    // Who names a file wants something in it.
    let verbose = global.verbose.max(u8::from(global.log_file.is_some()));
    given.or_else(|| match verbose {
        0 if global.quiet => None,
        0 => Some(WARNINGS.to_owned()),
        1 => Some("info".to_owned()),
        2 => Some("debug".to_owned()),
        _ => Some("trace".to_owned()),
    })
}

/// Logs name addresses and peers, so they are for their owner alone.
fn open(path: &Path) -> Outcome<File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|error| {
        Failure::io(format_args!("{} cannot be written", path.display()), &error)
            .hint("--log-file with a file in a folder of yours")
    })
}

/// A file or stderr, up to a number of bytes.
struct Capped {
    left: Arc<AtomicU64>,
    file: Option<Arc<File>>,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = bytes.len() as u64;
        let fits = |left: u64| left.checked_sub(size);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok() {
            match &self.file {
                Some(file) => (&**file).write_all(bytes)?,
                None => io::stderr().lock().write_all(bytes)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &self.file {
            Some(file) => (&**file).flush(),
            None => io::stderr().lock().flush(),
        }
    }
}

/// What concerns people who asked for no log: what is left out until they mend their setup. Neither
/// what the network lacks is among it, nor anything that a peer brings about.
const WARNINGS: &str = "netcom::setup=warn";
/// A process logs at most this much.
const MAX_LOG_BYTES: u64 = 64 << 20;
