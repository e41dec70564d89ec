//! Many sessions in one process that all stay alive, and what each costs in memory (R-1, R-2).
//!
//! A run of the tests holds 500 sessions for 20 s. The long form takes its numbers from the
//! environment; `cargo xtask rel R-1` and `rel R-2` set them:
//!
//! ```sh
//! NETCOM_SESSIONS=9000 NETCOM_SECONDS=600 cargo test --release -p netcom --test scale over_tcp
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "processes talk by it, and the figures are of interest"
)]

mod client;
mod process;
mod server;

use std::{env, time::Duration};

use netcom::LinkKind;

use crate::{
    client::Tally,
    process::{Process, Role},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_sessions_over_tcp_answer_every_ping() {
    sessions_answer(LinkKind::Tcp, "hundreds_of_sessions_over_tcp_answer_every_ping").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_sessions_over_quic_answer_every_ping() {
    sessions_answer(LinkKind::Quic, "hundreds_of_sessions_over_quic_answer_every_ping").await;
}

async fn sessions_answer(kind: LinkKind, test: &str) {
    match process::role() {
        Some(Role::Server) => return server::serve(kind).await,
        Some(Role::Client { number, contact }) => {
            return client::hold(kind, number, &contact, &Plan::of_environment()).await;
        }
        None => {}
    }
    let plan = Plan::of_environment();
    let mut server = Process::start(test, &Role::Server).await;
    let contact = server.next_line("CONTACT").await;
    let before: u64 = server.ask("MEMORY").await.parse().unwrap();
    let mut clients = Vec::new();
    for number in 0..plan.clients() {
        let role = Role::Client { number, contact: contact.clone() };
        clients.push(Process::start(test, &role).await);
    }
    for client in &mut clients {
        assert_eq!(client.next_line("OPEN").await, plan.of_each_client().to_string());
    }
    let after: u64 = server.ask("MEMORY").await.parse().unwrap();
    let each = (after - before) as f64 / 1024.0 / plan.sessions() as f64;
    let mut sum = Tally::default();
    for client in &mut clients {
        client.say("PING").await;
    }
    for client in &mut clients {
        sum.add(&client.next_line("TALLY").await.parse().unwrap());
    }
    let alive: usize = server.ask("SESSIONS").await.parse().unwrap();
    println!(
        "{kind:?}: {} sessions for {} s, {each:.1} KiB each at the server, {} pings answered, {} \
         not, the slowest after {:?}",
        plan.sessions(),
        plan.duration.as_secs(),
        sum.answered,
        sum.missed,
        sum.slowest,
    );
    assert_eq!(sum.missed, 0, "each ping is answered");
    assert_eq!(alive, plan.sessions(), "each session is alive");
    let rounds = plan.duration.as_secs() / plan.interval().as_secs();
    assert!(sum.answered >= rounds * plan.sessions() as u64, "{} were answered", sum.answered);
    // Growth of resident memory in all, sockets of the kernel apart.
    let limit = if kind == LinkKind::Tcp { 24.0 } else { 64.0 };
    assert!(each <= limit, "a session takes {each:.1} KiB");
}

/// How many sessions there are, and for how long.
pub(crate) struct Plan {
    sessions: usize,
    duration: Duration,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name, usual| env::var(name).map_or(usual, |text| text.parse().unwrap());
        Self {
            sessions: number("NETCOM_SESSIONS", 500),
            duration: Duration::from_secs(number("NETCOM_SECONDS", 20) as u64),
        }
    }

    /// Each client takes a share: a process may open 20,000 files as a rule, and a node takes two.
    fn clients(&self) -> usize {
        self.sessions.div_ceil(6_250).max(2)
    }

    pub(crate) fn of_each_client(&self) -> usize {
        self.sessions.div_ceil(self.clients())
    }

    fn sessions(&self) -> usize {
        self.of_each_client() * self.clients()
    }

    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    /// Each session is asked once in this time, and answers within it.
    pub(crate) fn interval(&self) -> Duration {
        (self.duration / 4).min(Duration::from_secs(30))
    }
}
