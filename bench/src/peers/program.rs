//! The program of a peer's ends: this one, or one of its own that is built apart.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// A program beside this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    /// The package, which names the program too.
    package: &'static str,
    manifest: &'static str,
}

/// iroh, zenoh and tonic, whose many dependencies would make each build of ours a long one.
pub(super) const OTHERS: Program = Program {
    package: "netcom-bench-others",
    manifest: concat!(env!("CARGO_MANIFEST_DIR"), "/others/Cargo.toml"),
};
/// tentacle, whose dependencies agree with nobody else's.
pub(super) const TENTACLE: Program = Program {
    package: "netcom-bench-tentacle",
    manifest: concat!(env!("CARGO_MANIFEST_DIR"), "/tentacle/Cargo.toml"),
};

impl Program {
    /// Builds it beside this program.
    pub(super) fn build(self) -> Result<()> {
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
