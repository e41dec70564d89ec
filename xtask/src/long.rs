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
        name: "R-16",
        about: "one greedy stream beside 99 polite ones, and equal streams beside each other",
        package: "netcom-lab",
        target: "nodes",
        tests: FAIRNESS,
        environment: &[("NETCOM_SECONDS", "20")],
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
        name: "R-18",
        about: "1,000 random networks on virtual time, each twice: the traces are the same",
        package: "netcom-lab",
        target: "simulation",
        tests: &["the_same_seed_gives_the_same_trace"],
        environment: &[("NETCOM_TWICE", "1000")],
    },
    Line {
        name: "T-15",
        about: "a million forged and repeated packets between the packets of a QUIC link",
        package: "netcom",
        target: "threats",
        tests: &["quic::t_15_forged_and_repeated_packets_move_no_state"],
        environment: &[("NETCOM_LONG_TESTS", "1")],
    },
    Line {
        name: "T-20",
        about: "a million comparisons of secrets, whose times tell equal ones from others or not",
        package: "netcom-session",
        target: "timing",
        tests: &["t_20_how_long_keys_are_compared_tells_nothing_of_them"],
        environment: &[("NETCOM_SAMPLES", "1000000")],
    },
    Line {
        name: "T-28",
        about: "two nodes with one key make requests beside each other for a minute",
        package: "netcom",
        target: "threats",
        tests: &["identity::t_28_two_nodes_with_one_key_do_not_chase_each_other_away"],
        environment: &[("NETCOM_LONG_TESTS", "1")],
    },
];

/// The tests of a line and of a scenario.
const FAIRNESS: &[&str] = &[
    "fairness::a_greedy_stream_leaves_ninety_nine_polite_ones_their_turns",
    "fairness::equal_streams_share_a_link_equally",
];

const SCENARIOS: &[Line] = &[
    Line {
        name: "blocked",
        about: "UDP, TCP or long packets lost, at first or later: which link is used in the end",
        package: "netcom-lab",
        target: "nodes",
        tests: &[
            "blocked::a_session_comes_up_on_what_passes",
            "blocked::a_session_stays_up_on_what_passes",
        ],
        environment: &[],
    },
    Line {
        name: "cuts",
        about: "links cut and turned into black holes under load: how long nothing new comes",
        package: "netcom-lab",
        target: "nodes",
        tests: &[
            "cuts::a_transfer_outlives_the_cut_of_its_link_with_a_standby",
            "cuts::a_transfer_outlives_a_black_hole_with_a_standby",
            "cuts::a_transfer_outlives_the_cut_of_its_link_by_another_address",
            "cuts::a_transfer_outlives_a_black_hole_by_another_address",
        ],
        environment: &[("NETCOM_CUTS", "200"), ("NETCOM_AT_ONCE", "4")],
    },
    Line {
        name: "far",
        about: "one stream over 100 ms and 200 Mbit/s, with losses, and beside the kernel's cubic",
        package: "netcom-lab",
        target: "nodes",
        tests: &[
            "far::one_stream_fills_a_far_link",
            "far::one_lost_packet_of_a_thousand_leaves_a_stream_over_quic_half_of_a_far_link",
            "far::a_flow_of_the_kernels_cubic_beside_it_keeps_its_part",
        ],
        environment: &[("NETCOM_MEGABITS", "200"), ("NETCOM_WARM", "10"), ("NETCOM_SECONDS", "30")],
    },
    Line {
        name: "fairness",
        about: "one greedy stream beside 99 polite ones, and equal streams beside each other",
        package: "netcom-lab",
        target: "nodes",
        tests: FAIRNESS,
        environment: &[("NETCOM_SECONDS", "20")],
    },
    Line {
        name: "ladder",
        about: "nine networks, each worse than the one before: how long it takes to be answered",
        package: "netcom-lab",
        target: "nodes",
        tests: &["ladder::a_node_connects_and_is_answered_on_each_rung_in_time"],
        environment: &[("NETCOM_CLIMBS", "20")],
    },
    Line {
        name: "nat",
        about: "behind routers that forget or change their address: how long it takes to go on",
        package: "netcom-lab",
        target: "nodes",
        tests: &[
            "nat::a_session_comes_up_and_stays_up_where_a_router_blocks_udp",
            "nat::sessions_outlive_what_happens_to_a_firewall_that_lets_only_answers_in",
            "nat::sessions_outlive_what_happens_to_a_full_cone",
            "nat::sessions_outlive_what_happens_to_a_router_that_keeps_ports",
            "nat::sessions_outlive_what_happens_to_a_symmetric_router",
            "nat::sessions_outlive_what_happens_to_the_router_at_home_and_to_that_of_the_provider",
        ],
        environment: &[("NETCOM_UPSETS", "10")],
    },
    Line {
        name: "roam",
        about: "network cards down and with other addresses under load: how long nothing new comes",
        package: "netcom-lab",
        target: "nodes",
        tests: &[
            "roam::a_quic_link_moves_with_the_card_and_is_not_replaced",
            "roam::a_server_that_changes_its_addresses_is_found_at_the_new_ones",
            "roam::a_session_that_waits_for_a_network_goes_on_as_soon_as_there_is_one",
            "roam::a_tcp_link_is_replaced_as_soon_as_its_address_is_gone",
        ],
        environment: &[("NETCOM_MOVES", "20")],
    },
    Line {
        name: "simulation",
        about: "50,000 random networks on virtual time, and a day of 20 nodes",
        package: "netcom-lab",
        target: "simulation",
        tests: &["random_networks_lose_nothing_and_come_to_rest", "twenty_hosts_live_for_an_hour"],
        environment: &[("NETCOM_SEEDS", "50000"), ("NETCOM_HOURS", "24")],
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
