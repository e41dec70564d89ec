//! Generates Rust code from `proto/`. The result is committed, so that a build needs no generator.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use prost_build::{Config, Module};

/// Generates every module, or with `check` fails if a committed one is not what would be generated.
pub(crate) fn generate(check: bool) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the xtask folder lies in the workspace's root")?;
    for target in TARGETS {
        let code = target.code(root).with_context(|| format!("generate {}", target.output))?;
        let path = root.join(target.output);
        if !check {
            fs::write(&path, code).with_context(|| format!("write {}", target.output))?;
            continue;
        }
        let committed =
            fs::read_to_string(&path).with_context(|| format!("read {}", target.output))?;
        if committed != code {
            bail!("{} is not what proto/ says: run `cargo xtask proto`", target.output);
        }
    }
    Ok(())
}

/// One package of `proto/` and the file its code goes to.
struct Target {
    package: &'static str,
    files: &'static [&'static str],
    output: &'static str,
}

const TARGETS: &[Target] = &[
    Target {
        package: "netcom.identity.v1",
        files: &["netcom/identity/v1/identity.proto"],
        output: "crates/netcom-identity/src/proto/identity.rs",
    },
    Target {
        package: "netcom.stream.v1",
        files: &["netcom/stream/v1/stream.proto"],
        output: "crates/netcom/src/proto/stream.rs",
    },
];

impl Target {
    fn code(&self, root: &Path) -> anyhow::Result<String> {
        let includes = root.join("proto");
        let files: Vec<PathBuf> = self.files.iter().map(|file| includes.join(file)).collect();
        let descriptors = protox::compile(&files, [&includes])?;
        let requests = descriptors
            .file
            .into_iter()
            .map(|file| (Module::from_protobuf_package_name(file.package()), file))
            .collect();
        let mut modules = Config::new().generate(requests)?;
        let code = modules
            .remove(&Module::from_protobuf_package_name(self.package))
            .with_context(|| format!("no package {}", self.package))?;
        ensure!(modules.is_empty(), "{} needs packages of other targets", self.package);
        format(&format!("// @generated from proto/ by `cargo xtask proto`: do not edit.\n{code}"))
    }
}

/// Passes code through rustfmt, so that generated files follow the same style as written ones.
fn format(code: &str) -> anyhow::Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt: install it with `rustup component add rustfmt`")?;
    // Formatted code comes only after the whole input was read, so writing cannot block for good.
    rustfmt.stdin.take().context("stdin is piped")?.write_all(code.as_bytes())?;
    let output = rustfmt.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
