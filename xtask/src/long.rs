//! Reliability lines and scenarios of the laboratory that take longer than a run of the tests
//! allows.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// A line or a scenario, and the long form of the tests that show it.
struct Line {
    name: &'static str,
    about: &'static str,
    package: &'static str,
    target: &'static str,
    tests: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// Which long forms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Forms {
    /// Of the reliability lines.
    Reliability,
    /// Of the laboratory's scenarios.
    Laboratory,
}

impl Forms {
    fn lines(self) -> &'static [Line] {
        match self {
            Self::Reliability => LINES,
            Self::Laboratory => SCENARIOS,
        }
    }

    /// What can be run, one in a line.
    pub(crate) fn list(self) -> String {
        let line = |line: &Line| format!("  {:<12} {}", line.name, line.about);
        self.lines().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Runs the long form of a line's tests in a release build, one after the other. What the
    /// caller's environment says of their size counts.
    pub(crate) fn run(self, mut cargo: Command, name: &str) -> Result<()> {
        let Some(line) = self.lines().iter().find(|line| line.name == name) else {
            bail!("there is no {name:?}; there are\n{}", self.list());
        };
        let unset = line.environment.iter().filter(|(key, _)| std::env::var_os(key).is_none());
        let status = cargo
            .args(["test", "--release", "--package", line.package, "--test", line.target])
            .args(["--", "--nocapture", "--test-threads", "1", "--exact"])
            .args(line.tests)
            .envs(unset.copied())
            .status()
            .context("cargo could not be started")?;
        ensure!(status.success(), "{name} was not reached: {status}");
        Ok(())
    }
}

const LINES: &[Line] = &[
    Line {
        name: "R-1",
        about: "9,000 sessions over TCP in one process answer pings for 10 minutes",
        package: "netcom",
        target: "scale",
        tests: &["hundreds_of_sessions_over_tcp_answer_every_ping"],
        environment: &[("NETCOM_SESSIONS", "9000"), ("NETCOM_SECONDS", "600")],
    },
    Line {
        name: "R-2",
        about: "50,000 sessions over QUIC in one process answer pings for 10 minutes",
        package: "netcom",
        target: "scale",
        tests: &["hundreds_of_sessions_over_quic_answer_every_ping"],
        environment: &[("NETCOM_SESSIONS", "50000"), ("NETCOM_SECONDS", "600")],
    },
    Line {
        name: "R-8",
        about: "20,000 forged first packets of QUIC a second and 2,000 half-open TLS handshakes \
                for a minute harm no session and keep nobody out",
        package: "netcom-lab",
        target: "floods",
        tests: &["handshakes::a_flood_of_handshakes_costs_sessions_nothing_and_keeps_nobody_out"],
        environment: &[
            ("NETCOM_INITIALS", "20000"),
            ("NETCOM_HALF_OPEN", "2000"),
            ("NETCOM_SECONDS", "60"),
        ],
    },
    Line {
        name: "R-15",
        about: "10,000,000 datagrams and 200,000 connections of garbage slow no flow, end nothing",
        package: "netcom-lab",
        target: "floods",
        tests: &[
            "garbage::garbage_at_the_tcp_port_ends_nothing_and_fills_no_log",
            "garbage::garbage_at_the_udp_port_ends_nothing_and_fills_no_log",
        ],
        environment: &[
            ("NETCOM_RATE", "20000"),
            ("NETCOM_DATAGRAMS", "10000000"),
            ("NETCOM_CONNECTIONS", "200000"),
            ("NETCOM_SECONDS", "20"),
        ],
    },
    Line {
        name: "R-17",
        about: "a node in 256 MiB sheds three times the load it has room for, and recovers",
        package: "netcom-lab",
        target: "floods",
        tests: &["memory::three_times_the_load_is_shed_by_name_and_leaves_no_trace"],
        environment: &[("NETCOM_SESSIONS", "400")],
    },
    Line {
        name: "T-20",
        about: "a million comparisons of secrets, whose times tell equal ones from others or not",
        package: "netcom-session",
        target: "timing",
        tests: &["t_20_how_long_keys_are_compared_tells_nothing_of_them"],
        environment: &[("NETCOM_SAMPLES", "1000000")],
    },
];

const SCENARIOS: &[Line] = &[
    Line {
        name: "cuts",
        about: "links cut and turned into black holes under load: how long nothing new comes",
        package: "netcom-lab",
        target: "nodes",
        tests: &[
            "cuts::a_transfer_outlives_the_cut_of_its_link_with_a_standby",
            "cuts::a_transfer_outlives_a_black_hole_with_a_standby",
            "cuts::a_transfer_outlives_a_black_hole_by_another_address",
        ],
        environment: &[("NETCOM_CUTS", "200")],
    },
    Line {
        name: "stripe",
        about: "a transfer over two links side by side, equal and unequal ones: how much faster",
        package: "netcom-lab",
        target: "nodes",
        tests: &["bonds::two_links_carry_a_transfer_side_by_side"],
        environment: &[("NETCOM_MEGABYTES", "100"), ("NETCOM_RUNS", "5")],
    },
    Line {
        name: "mirror",
        about: "requests over two links that lose 5 % each way: how long answers take",
        package: "netcom-lab",
        target: "nodes",
        tests: &["bonds::mirrored_links_answer_in_spite_of_losses"],
        environment: &[("NETCOM_REQUESTS", "2000")],
    },
];
