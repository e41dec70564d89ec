//! Processes of a test: this program, started again in a role.

use std::{env, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time,
};

/// What a process does in the test.
pub(crate) enum Role {
    Server,
    Client { number: usize, contact: String },
}

/// A process in a role, which ends with this value.
pub(crate) struct Process {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

/// The role this process was started in; none for the test itself.
pub(crate) fn role() -> Option<Role> {
    match env::var(ROLE).ok()?.split_once(' ') {
        None => Some(Role::Server),
        Some((number, contact)) => {
            let number = number.parse().unwrap();
            Some(Role::Client { number, contact: contact.to_owned() })
        }
    }
}

/// Says a word and what belongs to it to the test.
pub(crate) fn say(word: &str, what: impl std::fmt::Display) {
    println!("{word} {what}");
}

impl Process {
    pub(crate) async fn start(test: &str, role: &Role) -> Self {
        let role = match role {
            Role::Server => "server".to_owned(),
            Role::Client { number, contact } => format!("{number} {contact}"),
        };
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input, output, _child: child }
    }

    /// What the process says next after a word; other lines are the test framework's.
    pub(crate) async fn next_line(&mut self, word: &str) -> String {
        let next = async {
            loop {
                let line = self.output.next_line().await.unwrap().expect("the process goes on");
                if let Some((_, what)) = line.split_once(word) {
                    return what.trim().to_owned();
                }
            }
        };
        time::timeout(PATIENCE, next).await.expect("a process answers in time")
    }

    pub(crate) async fn say(&mut self, word: &str) {
        self.input.write_all(format!("{word}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, word: &str) -> String {
        self.say(word).await;
        self.next_line(word).await
    }
}

const ROLE: &str = "NETCOM_TEST_ROLE";
/// More than the longest run takes.
const PATIENCE: Duration = Duration::from_secs(1800);
