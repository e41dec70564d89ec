//! The process of the node that is flooded: this program, started again in a role.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use netcom::Ticket;
use netcom_lab::End;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// A node in a process of its own, which ends with this value.
pub(crate) struct Victim {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) ticket: Ticket,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

/// How the victim's process ended.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Ending {
    pub(crate) is_success: bool,
    pub(crate) panics: u64,
    /// Bytes it logged.
    pub(crate) logged: u64,
}

impl Victim {
    /// Starts the victim of a test at one end of the link.
    pub(crate) fn start(end: &End, test: &str) -> Self {
        Self::start_with(end, test, [])
    }

    /// Starts it with these variables in its environment.
    pub(crate) fn start_with<'a>(
        end: &End,
        test: &str,
        variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, end.ipv4().to_string())
            .env(LOG, &log)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // A process begins in the namespace of the thread that starts it.
        let mut child = end.call(|| command.spawn()).unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let ticket = answer(&mut output, "TICKET").parse().unwrap();
        Self { child, input, output, ticket, log, _folder: folder }
    }

    /// Asks a question and waits for the answer.
    pub(crate) fn ask(&mut self, word: &str) -> u64 {
        writeln!(self.input, "{word}").unwrap();
        answer(&mut self.output, word).parse().unwrap()
    }

    /// Bytes of the process in memory.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most there ever were.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Closes the node and tells how the process ended.
    pub(crate) fn stop(mut self) -> Ending {
        let panics = self.ask("STOP");
        let is_success = self.child.wait().unwrap().success();
        let logged = fs::metadata(&self.log).unwrap().len();
        Ending { is_success, panics, logged }
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).expect("it runs");
        let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where this process is to listen, if it was started as the victim.
pub(crate) fn role() -> Option<(String, PathBuf)> {
    Some((env::var(ROLE).ok()?, Path::new(&env::var_os(LOG)?).to_owned()))
}

/// A number from the environment, for the long form of a test.
pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Keeps this thread, and those it starts from now on, on one processor: the victim has the first,
/// everybody else the second. False where that cannot be: a machine with only one, or a container
/// that forbids it. Then the figures are worse, and no long form is to go by them.
pub(crate) fn pin(processor: usize) -> bool {
    let available = thread::available_parallelism().map_or(1, usize::from);
    if available <= processor {
        return false;
    }
    let mut set = CpuSet::new();
    set.set(processor).unwrap();
    sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// What comes after a word; other lines are the test framework's.
fn answer(output: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    loop {
        let line = output.next().expect("the victim goes on").unwrap();
        if let Some((_, what)) = line.split_once(word) {
            return what.trim().to_owned();
        }
    }
}

pub(crate) const VICTIMS: usize = 0;
pub(crate) const OTHERS: usize = 1;
const ROLE: &str = "NETCOM_TEST_VICTIM";
const LOG: &str = "NETCOM_TEST_LOG";
