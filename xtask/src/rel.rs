//! Reliability lines that take longer than a run of the tests allows.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A line, and the long form of the test that shows it.
struct Line {
    name: &'static str,
    about: &'static str,
    package: &'static str,
    target: &'static str,
    test: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

/// What can be run, one in a line.
pub(crate) fn list() -> String {
    let line = |line: &Line| format!("  {:<5} {}", line.name, line.about);
    LINES.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Runs the long form of a line's test in a release build.
pub(crate) fn run(mut cargo: Command, name: &str) -> Result<()> {
    let Some(line) = LINES.iter().find(|line| line.name == name) else {
        bail!("no line {name:?}; there are\n{}", list());
    };
    let status = cargo
        .args(["test", "--release", "--package", line.package, "--test", line.target])
        .args(["--", "--nocapture", "--exact", line.test])
        .envs(line.environment.iter().copied())
        .status()
        .context("cargo could not be started")?;
    ensure!(status.success(), "{name} was not reached: {status}");
    Ok(())
}

const LINES: &[Line] = &[
    Line {
        name: "R-1",
        about: "9,000 sessions over TCP in one process answer pings for 10 minutes",
        package: "netcom",
        target: "scale",
        test: "hundreds_of_sessions_over_tcp_answer_every_ping",
        environment: &[("NETCOM_SESSIONS", "9000"), ("NETCOM_SECONDS", "600")],
    },
    Line {
        name: "R-2",
        about: "50,000 sessions over QUIC in one process answer pings for 10 minutes",
        package: "netcom",
        target: "scale",
        test: "hundreds_of_sessions_over_quic_answer_every_ping",
        environment: &[("NETCOM_SESSIONS", "50000"), ("NETCOM_SECONDS", "600")],
    },
];
