//! The program of a peer's ends: this one, or one of its own that is built apart.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use frame::Case;

/// A program beside this one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Program {
    /// The package, which names the program too.
    package: &'static str,
    manifest: &'static str,
}

impl Program {
    /// iroh, zenoh and tonic, whose many dependencies would make each build of ours a long one.
    pub(super) const OTHERS: Self = Self {
        package: "netcom-bench-others",
        manifest: concat!(env!("CARGO_MANIFEST_DIR"), "/others/Cargo.toml"),
    };
    /// tentacle, whose dependencies agree with nobody else's.
    pub(super) const TENTACLE: Self = Self {
        package: "netcom-bench-tentacle",
        manifest: concat!(env!("CARGO_MANIFEST_DIR"), "/tentacle/Cargo.toml"),
    };

    /// Builds it beside this program.
    pub(super) fn build(self) -> Result<()> {
        eprintln!("building {}, which takes minutes for the first time", self.package);
        let path = self.path()?;
        let target = path.parent().and_then(Path::parent).context("this program has no folder")?;
        let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--release", "--locked"])
            .args(["--manifest-path", self.manifest, "--target-dir"])
            .arg(target)
            .status()
            .context("cargo could not be started")?;
        ensure!(status.success(), "{} cannot be built: {status}", self.package);
        Ok(())
    }

    pub(super) fn path(self) -> Result<PathBuf> {
        let name = format!("{}{}", self.package, env::consts::EXE_SUFFIX);
        Ok(env::current_exe()?.with_file_name(name))
    }
}

/// The cases of peers that have programs of their own, which refuse any other.
pub(super) const IROH: [Case; 11] = [
    Case::Bulk,
    Case::BulkDown,
    Case::BulkBoth,
    Case::RoundTrip,
    Case::Request,
    Case::InFlight,
    Case::Messages,
    Case::Streams20,
    Case::Streams2000,
    Case::Connect,
    Case::Idle,
];
pub(super) const TENTACLE: [Case; 6] =
    [Case::Bulk, Case::BulkDown, Case::BulkBoth, Case::RoundTrip, Case::InFlight, Case::Messages];
pub(super) const ZENOH: [Case; 7] = [
    Case::Bulk,
    Case::BulkDown,
    Case::BulkBoth,
    Case::RoundTrip,
    Case::Request,
    Case::InFlight,
    Case::Messages,
];
pub(super) const TONIC: [Case; 2] = [Case::Request, Case::InFlight];

/// What zenoh does over TLS when both ends send at once.
pub(super) const ZENOH_TLS: [(Case, &str); 3] =
    [(Case::BulkBoth, TWO_TASKS), (Case::Request, TWO_TASKS), (Case::InFlight, TWO_TASKS)];
const TWO_TASKS: &str = "zenoh-link-tls reads and writes one TLS stream from two tasks without a \
    lock, which breaks the stream when both are busy \
    (https://github.com/eclipse-zenoh/zenoh/issues/2557)";
