//! Runs every check and every test, and counts them.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo, lint_or_fail,
    python::Environment,
    say,
    tally::{Tally, skip_reason},
};

/// Runs all phases, also after one failed, so that one run shows everything. Ends with the tally,
/// in which a failed check counts as one failed test.
pub(crate) fn all(root: &Path, args: &[String]) -> Result<ExitCode> {
    let scope = scope(args)?;
    let mut run = Run::default();

    run.check("format", || succeed(cargo().args(["fmt", "--all", "--check"])));
    run.check("lint", lint_or_fail);
    run.check("clippy", || {
        let mut clippy = cargo();
        clippy.arg("clippy").args(&scope).args(locked()).arg("--all-targets");
        succeed(clippy.args(["--", "-D", "warnings"]))
    });
    if has("deny") {
        run.check("dependencies", || {
            let mut deny = cargo();
            deny.arg("deny").args(locked()).args(["--log-level", "error", "check"]);
            succeed(deny.args(["bans", "licenses", "sources"]))
        });
        run.note("advisories are not part of this run: `make audit` asks the advisory database");
    } else {
        run.skip("dependencies: cargo-deny is not installed");
    }
    if is_python_alone(&scope) {
        run.note("the tests of netcom-python are those of the Python package");
    } else if has("nextest") {
        run.tests("tests", |tally| nextest(root, &scope, tally));
    } else {
        run.note("cargo-nextest is not installed: tests share processes, without a time limit");
        run.tests("tests", |tally| {
            let mut tests = cargo();
            tests.arg("test").args(&scope).args(["--no-fail-fast", "--all-targets"]);
            tests.args(locked()).args(["--", "--show-output"]);
            watch(&mut tests, tally)
        });
    }
    if has_library(root, &scope) {
        documentation(&mut run, &scope);
    }
    if scope.iter().any(|word| word == "--workspace" || word == PYTHON) {
        python(root, &mut run);
    }
    Ok(run.close(env::var_os("NETCOM_NO_SKIP").is_some_and(|set| set == "1")))
}

fn documentation(run: &mut Run, scope: &[String]) {
    // The examples of the Python package are Python, and its tests run them.
    if !is_python_alone(scope) {
        run.tests("doctests", |tally| {
            let mut tests = cargo();
            tests.arg("test").args(scope).args(["--no-fail-fast", "--doc"]).args(locked());
            watch(&mut tests, tally)
        });
    }
    run.check("documentation", || {
        let mut doc = cargo();
        doc.arg("doc").args(scope).args(locked()).args(["--lib", "--no-deps"]);
        succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
}

fn python(root: &Path, run: &mut Run) {
    let mut environment = None;
    run.check("python setup", || {
        environment = Environment::open(root)?;
        Ok(())
    });
    let Some(environment) = environment else {
        run.skip("Python: there is no environment to test in; python3 3.11 and venv are needed");
        return;
    };
    run.check("python style", || environment.style());
    run.check("python wheel", || environment.install());
    run.check("python stubs", || environment.stubs(true));
    run.check("python types", || environment.types());
    run.tests("python tests", |tally| watch(&mut environment.tests(), tally));
}

/// What has happened so far.
#[derive(Default)]
struct Run {
    tally: Tally,
    skips: Vec<String>,
    notes: Vec<&'static str>,
    phases: Vec<(&'static str, Duration, Result<()>)>,
}

impl Run {
    fn check(&mut self, name: &'static str, check: impl FnOnce() -> Result<()>) {
        let result = self.phase(name, check);
        self.tally.failed += u64::from(!result);
    }

    fn tests(&mut self, name: &'static str, tests: impl FnOnce(&mut Counted) -> Result<()>) {
        let mut counted = Counted::default();
        let passed = self.phase(name, || tests(&mut counted));
        // A runner that failed without saying how many tests did so did not get as far as tests.
        counted.tally.failed = counted.tally.failed.max(u64::from(!passed));
        counted.tally.skip(counted.skips.len() as u64);
        self.tally += counted.tally;
        self.skips.append(&mut counted.skips);
    }

    fn skip(&mut self, what: &str) {
        self.tally.skipped += 1;
        self.skips.push(what.to_owned());
    }

    fn note(&mut self, note: &'static str) {
        self.notes.push(note);
    }

    fn phase(&mut self, name: &'static str, phase: impl FnOnce() -> Result<()>) -> bool {
        say(format_args!("\n==> {name}"));
        let start = Instant::now();
        let result = phase();
        if let Err(error) = &result {
            say(format_args!("{name}: {error:#}"));
        }
        let passed = result.is_ok();
        self.phases.push((name, start.elapsed(), result));
        passed
    }

    fn close(self, skipping_forbidden: bool) -> ExitCode {
        say("\n==> summary");
        for (name, took, result) in &self.phases {
            let verdict = if result.is_ok() { "ok" } else { "FAILED" };
            say(format_args!("{name:14} {verdict:6} {:6.1} s", took.as_secs_f64()));
        }
        for note in &self.notes {
            say(format_args!("note: {note}"));
        }
        for skip in &self.skips {
            say(format_args!("SKIP: {skip}"));
        }
        let refused = skipping_forbidden && self.tally.skipped > 0;
        if refused {
            say("NETCOM_NO_SKIP=1 and something was skipped: that is a failure");
        }
        if self.tally.passed == 0 {
            say("no test passed: that is a failure");
        }
        say(self.tally);
        if refused || self.tally.failed > 0 || self.tally.passed == 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// What one runner reported.
#[derive(Default)]
struct Counted {
    tally: Tally,
    skips: Vec<String>,
}

impl Counted {
    fn take(&mut self, line: &str) {
        if let Some(tally) = Tally::parse(line) {
            self.tally += tally;
        }
        if let Some(reason) = skip_reason(line) {
            self.skips.push(reason.to_owned());
        }
    }
}

/// Which crates: all of them, or those named by `-p`.
fn scope(args: &[String]) -> Result<Vec<String>> {
    let mut scope = Vec::new();
    for pair in args.chunks(2) {
        match pair {
            [flag, name] if flag == "-p" || flag == "--package" => {
                scope.extend(["--package".to_owned(), name.clone()]);
            }
            _ => bail!("usage: cargo xtask test [-p CRATE]…"),
        }
    }
    if scope.is_empty() {
        scope.push("--workspace".to_owned());
    }
    Ok(scope)
}

/// Whether there is something to document: cargo refuses a choice of programs alone.
fn has_library(root: &Path, scope: &[String]) -> bool {
    scope.iter().any(|word| {
        word == "--workspace" || root.join("crates").join(word).join("src/lib.rs").exists()
    })
}

fn is_python_alone(scope: &[String]) -> bool {
    scope.last().is_some_and(|word| word == PYTHON) && scope.len() == 2
}

/// On CI the committed lock file is what is tested.
fn locked() -> Option<&'static str> {
    env::var_os("CI").map(|_| "--locked")
}

fn has(subcommand: &str) -> bool {
    let mut probe = cargo();
    probe.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    if status.success() { Ok(()) } else { bail!("{status}") }
}

/// Runs the tests in a process each. What they said stands in the report that the runner writes.
fn nextest(root: &Path, scope: &[String], counted: &mut Counted) -> Result<()> {
    let report = root.join("target/nextest/default/junit.xml");
    // An old report would speak for a run that does not get as far as writing its own.
    if report.exists() {
        fs::remove_file(&report).context("the previous test report cannot be removed")?;
    }
    let mut tests = cargo();
    tests.args(["nextest", "run", "--profile", "default", "--no-tests", "fail"]);
    tests.args(scope).args(locked());
    let result = watch(&mut tests, counted);
    if let Ok(report) = fs::read_to_string(&report) {
        counted.skips.extend(skips_in_report(&report));
    }
    result
}

/// Runs a test runner, passes on what it says and counts it.
fn watch(command: &mut Command, counted: &mut Counted) -> Result<()> {
    watch_into(command, io::stdout(), io::stderr(), counted)
}

fn watch_into(
    command: &mut Command,
    out: impl Write,
    err: impl Write + Send + 'static,
    counted: &mut Counted,
) -> Result<()> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{command:?} could not be started"))?;
    let stdout = child.stdout.take().expect("piped above");
    let stderr = child.stderr.take().expect("piped above");
    let other = thread::spawn(move || {
        let mut counted = Counted::default();
        pass_on(BufReader::new(stderr), err, &mut counted);
        counted
    });
    pass_on(BufReader::new(stdout), out, counted);
    let mut other = other.join().expect("passing lines on does not panic");
    counted.tally += other.tally;
    counted.skips.append(&mut other.skips);
    let status = child.wait().context("the runner's end cannot be awaited")?;
    if status.success() { Ok(()) } else { bail!("{status}") }
}

fn pass_on(mut from: impl BufRead, mut to: impl Write, counted: &mut Counted) {
    let mut line = Vec::new();
    while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
        // Nobody listening is no reason to stop counting.
        let _ = to.write_all(&line);
        counted.take(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// The skips in a JUnit report, one for each test that said so.
fn skips_in_report(report: &str) -> Vec<String> {
    let mut skips = Vec::new();
    for case in report.split("<testcase ").skip(1) {
        let name = case.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        let reason = case.lines().find_map(|line| {
            // The first line of an output follows its tag.
            skip_reason(line.rsplit_once("<system-out>").map_or(line, |(_, text)| text))
                .or_else(|| skip_reason(line.rsplit_once("<system-err>")?.1))
        });
        if let Some(reason) = reason {
            let reason = reason.split("</system-").next().unwrap_or(reason);
            skips.push(format!("{}: {}", name.unwrap_or("a test"), unescape(reason)));
        }
    }
    skips
}

fn unescape(text: &str) -> String {
    const ENTITIES: [(&str, &str); 5] =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    ENTITIES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The crate whose tests are in Python.
const PYTHON: &str = "netcom-python";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_found_in_the_report() {
        let report = r#"<testsuite name="netcom-lab" tests="2">
            <testcase name="a_node_is_found" classname="netcom-lab" time="0.1">
                <system-out>
running 1 test
SKIP: no namespaces &lt;needs root&gt;
test a_node_is_found ... ok
</system-out>
            </testcase>
            <testcase name="quick" classname="netcom-lab"><system-err>SKIP: why</system-err>
            </testcase>
            <testcase name="other" classname="netcom-lab"/>"#;
        assert_eq!(
            skips_in_report(report),
            ["a_node_is_found: no namespaces <needs root>", "quick: why"]
        );
    }

    #[test]
    fn only_packages_narrow_a_run() {
        let args = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(scope(&[]).unwrap(), ["--workspace"]);
        assert_eq!(scope(&args(&["-p", "netcom"])).unwrap(), ["--package", "netcom"]);
        assert!(scope(&args(&["-p"])).is_err());
        assert!(scope(&args(&["--release"])).is_err());
    }

    #[test]
    fn a_runner_is_counted_and_its_failure_kept() {
        let mut counted = Counted::default();
        let script = "echo 'test result: ok. 2 passed; 0 failed'; echo 'SKIP: x' >&2; exit 3";
        let mut runner = Command::new("sh");
        runner.args(["-c", script]);
        let result = watch_into(&mut runner, io::sink(), io::sink(), &mut counted);
        assert!(result.unwrap_err().to_string().contains('3'));
        assert_eq!(counted.tally.passed, 2);
        assert_eq!(counted.skips, ["x"]);
    }
}
