//! Clients in Python: what they measure, and the environment they run in. Their servers are those
//! of peers in Rust.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use frame::Case;

/// The cases of the clients, which refuse any other.
pub(super) const CASES: [Case; 3] = [Case::Bulk, Case::Request, Case::InFlight100];

/// An environment in the target folder, with what the clients import.
#[derive(Debug)]
pub(super) struct Environment {
    target: PathBuf,
    folder: PathBuf,
}

impl Environment {
    /// Names the one beside this program, whether it was made or not.
    pub(super) fn beside_this() -> Result<Self> {
        let program = env::current_exe()?;
        let target = program.parent().and_then(Path::parent);
        let target = target.context("this program has no folder")?.to_owned();
        Ok(Self { folder: target.join("python"), target })
    }

    /// Whether it was made, of the packages that are wanted now.
    pub(super) fn is_made(&self) -> bool {
        fs::read_to_string(self.mark()).is_ok_and(|installed| installed == REQUIREMENTS)
    }

    /// Makes it if that was not done.
    pub(super) fn make(&self) -> Result<()> {
        if self.is_made() {
            return Ok(());
        }
        eprintln!("fetching what the clients in Python need, which takes a minute or two");
        let python = PYTHONS.into_iter().find(|python| is_new_enough(python));
        let python = python.context("clients in Python need Python 3.11 or later, with venv")?;
        succeed(Command::new(python).args(["-m", "venv", "--clear"]).arg(self.venv()))?;
        let file = here().join("requirements.txt");
        succeed(self.pip().arg("--requirement").arg(file)).context(NOT_FETCHED)?;
        fs::write(self.mark(), REQUIREMENTS).context("the environment cannot be marked as made")
    }

    /// Builds the package netcom as it is shipped, and installs it.
    pub(super) fn install_netcom(&self) -> Result<()> {
        eprintln!("building the Python package netcom, which takes minutes for the first time");
        let wheels = self.folder.join("wheels");
        if wheels.exists() {
            fs::remove_dir_all(&wheels).context("earlier wheels cannot be removed")?;
        }
        let manifest = here().join("../../crates/netcom-python/Cargo.toml");
        let mut build = Command::new(self.venv().join("bin/maturin"));
        build.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]).arg(manifest);
        build.arg("--out").arg(&wheels).arg("--interpreter").arg(self.python());
        build.env("CARGO_TARGET_DIR", &self.target);
        succeed(&mut build)?;
        let mut wheel = fs::read_dir(&wheels).context("no wheel was built")?;
        let wheel = wheel.next().context("no wheel was built")??.path();
        succeed(self.pip().args(["--force-reinstall", "--no-deps"]).arg(wheel))
    }

    /// Runs the client of a peer of that name, and leaves no bytecode in the tree.
    pub(super) fn client(&self, peer: &str) -> Command {
        let mut client = Command::new(self.python());
        client.arg("-B").arg(here().join(peer.replace('-', "_")).with_extension("py"));
        client
    }

    fn pip(&self) -> Command {
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip
    }

    fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    fn venv(&self) -> PathBuf {
        self.folder.join("venv")
    }

    fn mark(&self) -> PathBuf {
        self.folder.join("requirements.txt")
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

fn is_new_enough(python: &str) -> bool {
    let asked = "import sys, venv; sys.exit(sys.version_info < (3, 11))";
    let mut ask = Command::new(python);
    ask.args(["-c", asked]).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

/// Runs a step whose output is of no interest but where it fails.
fn succeed(step: &mut Command) -> Result<()> {
    let name = step.get_program().to_string_lossy().into_owned();
    let status = step.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{name} could not be started"))?;
    ensure!(status.success(), "{name}: {status}, with {:?}", step.get_args().collect::<Vec<_>>());
    Ok(())
}

const PYTHONS: [&str; 4] = ["python3", "python3.13", "python3.12", "python3.11"];
const NOT_FETCHED: &str = "what the clients in Python need could not be fetched; among it is \
    fastecdsa, which is built here and needs a C compiler and the headers of GMP and Python";
const REQUIREMENTS: &str = include_str!("../../python/requirements.txt");

#[cfg(test)]
mod tests {
    use std::{process, time::Duration};

    use frame::{Event, Plan};

    use super::*;

    #[test]
    fn a_client_in_python_measures_every_case_of_its_plan() {
        let Some(events) = hear("right", plan()) else { return };

        let mut events = events.into_iter();
        for case in CASES {
            assert!(matches!(events.next(), Some(Event::Began(began)) if began == case));
            let Some(Event::Measured(measured, found)) = events.next() else {
                panic!("{case:?} was not measured");
            };
            assert_eq!(measured, case);
            assert!(found.value > 0.0 && found.count > 0);
            assert!(found.client_cpu_seconds.is_some_and(|client| client > 0.0));
            assert!(found.cpu_seconds >= found.client_cpu_seconds);
        }
        let Some(Event::Facts(facts)) = events.next() else { panic!("no facts were told") };
        assert!(facts.iter().any(|fact| fact == "right"));
        assert!(matches!(events.next(), Some(Event::Ended)));
    }

    #[test]
    fn a_client_in_python_refuses_wrong_answers_and_wrong_counts() {
        for (case, expected) in CASES.into_iter().zip(["bytes arrived", "is not", "is not"]) {
            let Some(events) = hear("wrong", Plan { cases: vec![case], ..plan() }) else { return };

            let Some(Event::Failed(failed, why)) = events.last() else {
                panic!("{case:?} did not fail");
            };
            assert_eq!(*failed, case);
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn a_client_in_python_that_finds_nobody_tells_why() {
        let Some(events) = hear("nobody", plan()) else { return };

        let [Event::Stopped(why)] = events.as_slice() else { panic!("it went on") };
        assert!(why.contains("nobody is there"), "{why}");
    }

    fn plan() -> Plan {
        let moment = Duration::from_millis(5);
        let cases = CASES.to_vec();
        Plan { warm_up: moment, bulk: moment, rate: moment, latency: moment, sessions: 1, cases }
    }

    /// What a client says that answers by itself; `None` where no Python is new enough.
    fn hear(contact: &str, plan: Plan) -> Option<Vec<Event>> {
        let python = PYTHONS.into_iter().find(|python| is_new_enough(python))?;
        let plan = serde_json::to_string(&plan).unwrap();
        let mut client = Command::new(python);
        client.arg("-B").arg(here().join("double.py")).args(["call", "double", contact]);
        let output = client.arg(process::id().to_string()).arg(plan).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        Some(said.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}
