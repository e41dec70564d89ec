//! The Python package: built as a wheel, installed in an environment of its own, and tested there.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::run::succeed;

/// An environment that holds the wheel and what tests it.
pub(crate) struct Environment {
    root: PathBuf,
    folder: PathBuf,
}

impl Environment {
    /// Makes the environment in the target folder, or takes the one that is there. `None` where
    /// there is no Python that is new enough.
    pub(crate) fn open(root: &Path) -> Result<Option<Self>> {
        let Some(python) = PYTHONS.into_iter().find(|python| is_new_enough(python)) else {
            return Ok(None);
        };
        let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let folder = target.join("python");
        let this = Self { root: root.to_owned(), folder };
        let wanted = fs::read_to_string(root.join(REQUIREMENTS))
            .with_context(|| format!("{REQUIREMENTS} cannot be read"))?;
        let mark = this.folder.join("requirements.txt");
        if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
            return Ok(Some(this));
        }
        let venv = this.folder.join("venv");
        succeed(Command::new(python).args(["-m", "venv", "--clear"]).arg(&venv))?;
        succeed(this.python().args(PIP).args(["-r", REQUIREMENTS]))?;
        fs::write(&mark, wanted).context("the environment cannot be marked as complete")?;
        Ok(Some(this))
    }

    /// Installs the package from the source tree by `pip install .`, as its users may, in the
    /// profile of the tests and with the maturin that is there.
    pub(crate) fn install(&self) -> Result<()> {
        let locked = env::var_os("CI").map_or("", |_| " --locked");
        let programs = env::var_os("PATH").unwrap_or_default();
        let programs = env::split_paths(&programs);
        let programs = env::join_paths([self.folder.join("venv/bin")].into_iter().chain(programs))
            .context("the folder for what is built has a colon in its name")?;
        let mut install = self.python();
        install
            .args(PIP)
            .args(["--no-build-isolation", "--force-reinstall", "--no-deps", "."])
            .env("MATURIN_PEP517_ARGS", format!("--profile dev{locked}"))
            .env("PATH", programs);
        succeed(&mut install)
    }

    /// Writes the native module's stubs, or with `check` fails if the committed ones are not what
    /// would be written.
    pub(crate) fn stubs(&self, check: bool) -> Result<()> {
        let made = self.folder.join("stubs");
        succeed(self.maturin().args(["generate-stubs", "--quiet", "--out"]).arg(&made))?;
        let made = fs::read_to_string(made.join("netcom/_native.pyi"));
        let made = made.context("no stubs were made")?;
        let committed = self.root.join(STUBS);
        if !check {
            return fs::write(&committed, made).with_context(|| format!("write {STUBS}"));
        }
        let committed = fs::read_to_string(&committed).unwrap_or_default();
        ensure!(committed == made, "{STUBS} is not what the code says: run `cargo xtask stubs`");
        Ok(())
    }

    /// Checks how the package, its tests and everything else in Python are written.
    pub(crate) fn style(&self) -> Result<()> {
        succeed(self.ruff().args(["format", "--check"]).args(SOURCES))?;
        succeed(self.ruff().arg("check").args(SOURCES))
    }

    /// Checks the types of the package and its examples, and that its stubs agree with what runs.
    pub(crate) fn types(&self) -> Result<()> {
        succeed(self.python().args(["-m", "mypy", "python/netcom"]))?;
        succeed(self.python().args(["-m", "mypy", "--strict", "examples/python"]))?;
        succeed(self.python().args(["-m", "mypy.stubtest", "netcom", "--concise"]))
    }

    /// A run of the tests, the examples in docstrings among them.
    pub(crate) fn tests(&self) -> Command {
        let mut tests = self.python();
        tests.args(["-m", "pytest", "--color=no", "-p", "no:cacheprovider"]);
        tests
    }

    fn python(&self) -> Command {
        self.tool("python")
    }

    fn maturin(&self) -> Command {
        self.tool("maturin")
    }

    fn ruff(&self) -> Command {
        let mut ruff = self.tool("ruff");
        ruff.env("RUFF_NO_CACHE", "true");
        ruff
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(self.folder.join("venv/bin").join(name));
        tool.current_dir(&self.root).stdin(Stdio::null());
        tool
    }
}

/// Whether tests of the package have names that begin so.
pub(crate) fn has_tests(root: &Path, prefix: &str) -> Result<bool> {
    let wanted = format!("def {prefix}");
    for entry in fs::read_dir(root.join("python/tests")).context("there are no tests in Python")? {
        let path = entry?.path();
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        if is_python && fs::read_to_string(&path)?.contains(&wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_new_enough(python: &str) -> bool {
    let asked = "import sys, venv; sys.exit(sys.version_info < (3, 11))";
    let mut ask = Command::new(python);
    ask.args(["-c", asked]).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

const PYTHONS: [&str; 4] = ["python3", "python3.13", "python3.12", "python3.11"];
const PIP: [&str; 5] = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
/// Where there is Python; `pyproject.toml` says how it is written.
const SOURCES: [&str; 3] = ["python", "examples/python", "bench/python"];
const REQUIREMENTS: &str = "python/requirements-test.txt";
const STUBS: &str = "python/netcom/_native.pyi";
