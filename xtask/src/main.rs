//! The project's own chores. `cargo xtask help` lists them.

mod lint;
mod long;
mod proto;
mod python;
mod run;
mod tally;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use self::long::Forms;

const HELP: &str = "\
cargo xtask COMMAND
  test [-p CRATE]…   every check and every test; ends with `N passed, N failed, N skipped`
  lint               the project's own rules: lengths, stubs, paths, manifests, generated code
  proto [--check]    writes the code generated from proto/, or checks that it is current
  stubs              writes the type stubs of the Python package's native half
  threat T-N         the tests of one threat of docs/security.md, with what they measure
  bench [ARGS…]      measures against peers; --quick takes minutes, all of it half an hour
  rel LINE           the long form of a reliability line, such as R-1; without LINE: which there are
  lab SCENARIO       a scenario of the laboratory in its long form; without one: which there are
  lab rivals [ARGS…] links that fail and links side by side, next to aggligator and iroh
  help               this text";

fn main() -> ExitCode {
    chore().unwrap_or_else(|error| {
        // Without the backtrace: what failed is in the checkout, not here.
        say(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn chore() -> Result<ExitCode> {
    let mut args = env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    let args: Vec<String> = args.collect();
    match command.as_str() {
        "test" => run::all(&root(), &args),
        "lint" => lint_or_fail().map(|()| ExitCode::SUCCESS),
        "proto" => {
            let check = match args.as_slice() {
                [] => false,
                [only] if only == "--check" => true,
                _ => bail!("usage: cargo xtask proto [--check]"),
            };
            proto::generate(check).map(|()| ExitCode::SUCCESS)
        }
        "stubs" => {
            let environment = python::Environment::open(&root())?;
            let environment = environment.context("Python 3.11 or later is needed, with venv")?;
            environment.stubs(false).map(|()| ExitCode::SUCCESS)
        }
        "threat" => threat(&args).map(|()| ExitCode::SUCCESS),
        "bench" => bench("bench/Cargo.toml", &args).map(|()| ExitCode::SUCCESS),
        "rel" => long(Forms::Reliability, &args),
        "lab" => match args.split_first() {
            Some((name, args)) if name == "rivals" => {
                bench("bench/lab/Cargo.toml", args).map(|()| ExitCode::SUCCESS)
            }
            _ => long(Forms::Laboratory, &args),
        },
        "help" | "--help" | "-h" => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("no command {other:?}\n{HELP}"),
    }
}

fn long(forms: Forms, args: &[String]) -> Result<ExitCode> {
    match args {
        [] => say(forms.list()),
        [name] => forms.run(cargo(), name)?,
        _ => bail!("one name, or none for a list of them"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says one line, or several, to whoever ran the chore.
#[expect(clippy::print_stdout, reason = "a chore talks to the terminal")]
fn say(text: impl std::fmt::Display) {
    println!("{text}");
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a folder of the workspace").to_owned()
}

fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn lint_or_fail() -> Result<()> {
    let findings = lint::findings(&root())?;
    for finding in &findings {
        say(finding);
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

/// Runs the tests that are named after a threat.
fn threat(args: &[String]) -> Result<()> {
    let number = match args {
        [only] => only.strip_prefix("T-").and_then(|number| number.parse::<u32>().ok()),
        _ => None,
    };
    let number = number.context("usage: cargo xtask threat T-6")?;
    let in_python = python::has_tests(&root(), &format!("test_t_{number:02}_"))?;
    let status = cargo()
        .args(["nextest", "run", "--workspace", "--success-output", "final"])
        .args(["-E", &format!("test(/(^|::)t_{number:02}_/)")])
        .args(in_python.then_some("--no-tests=pass"))
        .status()
        .context("cargo could not be started")?;
    ensure!(status.success(), "the tests of T-{number}: {status}");
    if in_python {
        let environment = python::Environment::open(&root())?;
        let environment = environment.context("Python 3.11 or later is needed, with venv")?;
        environment.install()?;
        run::succeed(environment.tests().args(["-v", "-k", &format!("test_t_{number:02}_")]))?;
    }
    Ok(())
}

/// Runs benchmarks, which are workspaces of their own: peers' dependencies stay out of ours.
fn bench(manifest: &str, args: &[String]) -> Result<()> {
    let manifest = root().join(manifest);
    ensure!(manifest.exists(), "there is no bench/ in this checkout");
    // Peers may ask for a newer Rust than they need; ours is checked by the tests.
    let status = cargo()
        .args(["run", "--quiet", "--release", "--ignore-rust-version", "--manifest-path"])
        .arg(manifest)
        .arg("--")
        .args(args)
        .status()
        .context("cargo could not be started")?;
    ensure!(status.success(), "the benchmark failed: {status}");
    Ok(())
}
