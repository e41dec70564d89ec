//! One end of a transfer: this program once more, inside a namespace.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use netcom_lab::End;

/// A process that ends with this value.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(end: &End, args: &[String]) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A process belongs to the namespace of the thread that starts it.
        let child = end.call(move || command.spawn());
        let mut child = child.context("an end cannot be started")?;
        let stdout = child.stdout.take().expect("piped above");
        let (send, lines) = mpsc::sync_channel(WORDS);
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Who waits for none is gone.
            lines.map(|line| send.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Ok(Self { child, lines })
    }

    /// The next line that it says.
    pub(crate) fn line(&self, patience: Duration) -> Result<String> {
        self.lines.recv_timeout(patience).context("an end says nothing")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended by itself is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that wait to be heard: more than an end has to say.
const WORDS: usize = 4;
