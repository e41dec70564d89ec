//! Tests that need several processes: a test starts itself once more, in a role.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

/// A process that plays a role of a test; killed with SIGKILL when dropped.
pub(crate) struct Process(Child);

/// The role that this process was started to play. `None` in the process of the test itself.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

impl Process {
    /// Starts `test` in `role`, behind the words of `prefix` as in `ip netns exec`, and waits
    /// until it says that it is ready.
    pub(crate) fn start(
        prefix: &[&str],
        (test, role): (&str, &str),
        variables: &[(&str, &str)],
    ) -> Self {
        let this = env::current_exe().expect("the path of this program");
        let mut words = prefix.iter().map(OsStr::new).chain([this.as_os_str()]);
        let mut command = Command::new(words.next().expect("this program at least"));
        command.args(words).args(["--exact", test, "--nocapture"]);
        command.env(ROLE, role).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self(command.spawn().expect("the process starts"));
        let output = process.0.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(output).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains(READY)));
        assert!(ready, "{test} did not get ready as {role}");
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What such a process does when it is ready: tells, and waits for the end of its input, which
/// comes with the end of the process that started it.
pub(crate) async fn ready() {
    writeln!(std::io::stdout(), "{READY}").expect("a reader");
    let wait = || std::io::stdin().lines().for_each(drop);
    tokio::task::spawn_blocking(wait).await.expect("nothing panics here");
}

const ROLE: &str = "NETCOM_TEST_ROLE";
const READY: &str = "ready for the test";
