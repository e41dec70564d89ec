//! Runs the command in a world of its own.

use std::{
    ffi::OsStr,
    fmt, fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::watch;

/// Nothing here takes longer, however busy the machine is.
const WITHIN: Duration = Duration::from_secs(60);

/// A host: a registry in which its nodes find each other, and data directories.
pub(crate) struct World {
    folder: TempDir,
}

/// What a run ended with.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// A run that goes on; it is killed when the test ends.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A command of one user of this host.
    pub(crate) fn command(&self, user: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netcom"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NETCOM_")) {
            command.env_remove(name);
        }
        command
            .env("NETCOM_DATA_DIR", self.path(user))
            .env("NETCOM_DISCOVERY", "host")
            .env("NETCOM_REGISTRY_DIR", self.path("registry"))
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, user: &str, arguments: &[impl AsRef<OsStr>]) -> Ended {
        self.run_with(user, arguments, b"")
    }

    pub(crate) fn run_with(
        &self,
        user: &str,
        arguments: &[impl AsRef<OsStr>],
        stdin: &[u8],
    ) -> Ended {
        let mut command = self.command(user, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = stdin.to_vec();
        // A command may end without reading; then nobody is left to write to.
        let writing = thread::spawn(move || drop(input.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        Ended {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a run whose lines are taken one by one.
    pub(crate) fn start(&self, user: &str, arguments: &[impl AsRef<OsStr>]) -> Running {
        let mut command = self.command(user, arguments);
        command.arg("--quiet");
        Running::of(command)
    }

    /// Starts a node and returns its ticket too.
    pub(crate) fn listen(&self, user: &str, arguments: &[&str]) -> (Running, String) {
        let all: Vec<&str> = ["listen"].iter().chain(arguments).copied().collect();
        let running = self.start(user, &all);
        let ticket = running.line();
        assert!(ticket.starts_with("netcom:"), "{ticket}");
        (running, ticket)
    }

    /// The NetID of a user, who gets one if need be.
    pub(crate) fn netid(&self, user: &str) -> String {
        let shown = self.run(user, &["id", "show", "--json"]);
        if shown.code == Some(0) {
            return shown.json()["netid"].as_str().unwrap().to_owned();
        }
        self.run(user, &["id", "new", "--json"]).json()["netid"].as_str().unwrap().to_owned()
    }
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stdin = child.stdin.take();
        Self { child, lines: lines_of(stdout), stdin }
    }

    /// The next line of stdout.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(WITHIN).expect("a line comes")
    }

    pub(crate) fn json_line(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Writes to stdin.
    pub(crate) fn say(&mut self, text: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(text).unwrap();
    }

    pub(crate) fn end_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = sync_channel(1024);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.stdout[..self.stdout.len().min(4000)];
        write!(f, "exit code {:?}\n{}\n", self.code, String::from_utf8_lossy(shown))?;
        f.write_str(&self.stderr)
    }
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap().trim_end()
    }

    /// The one object on stdout.
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(value["schema"], 1, "{self:?}");
        value
    }

    /// Succeeded; otherwise shows why not.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Failed as it should: exit code, stable code, one sentence and something to try.
    #[track_caller]
    pub(crate) fn failed(&self, exit: i32, code: &str) {
        assert_eq!(self.code, Some(exit), "{self:?}");
        let errors: Vec<&str> =
            self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(errors[0].ends_with(&format!("[{code}]")), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
    }
}

/// Bytes that repeat nowhere.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

impl World {
    /// The content of a file once it is there. Files of this program appear whole.
    pub(crate) fn await_file(&self, name: &str) -> String {
        watch::until(self.folder.path(), WITHIN, || fs::read_to_string(self.path(name)).ok())
            .unwrap_or_else(|| panic!("{name} does not come"))
    }

    /// Waits until something holds of this world's files.
    pub(crate) fn await_files(&self, holds: impl Fn() -> bool) {
        let seen = watch::until(self.folder.path(), WITHIN, || holds().then_some(()));
        assert!(seen.is_some(), "it does not come");
    }
}
