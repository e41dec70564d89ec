//! stdout is data, stderr is talk.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use serde_json::{Value, json};

use crate::failure::{Failure, Outcome, one_line};

/// Version of what `--json` prints.
pub(crate) const SCHEMA: u64 = 1;

/// Where a command's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    /// stdout carries a payload, so JSON goes to stderr.
    is_payload: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, is_payload: false }
    }

    /// For commands whose stdout is payload.
    #[must_use]
    pub(crate) fn payload(mut self) -> Self {
        self.is_payload = true;
        self
    }

    /// Whether answers are objects for programs.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a progress bar makes sense.
    pub(crate) fn shows_progress(self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// The answer: `text` for people, `value` for programs. The text's last line gets its end.
    pub(crate) fn answer(self, text: impl Display, value: Value) -> Outcome {
        if self.json { self.json(value) } else { self.line(text) }
    }

    /// One line of data; with `--json` nothing.
    pub(crate) fn line(self, text: impl Display) -> Outcome {
        if self.json {
            return Ok(());
        }
        if self.is_payload {
            self.talk(text);
            return Ok(());
        }
        written(write(&mut io::stdout().lock(), &text))
    }

    /// One versioned object.
    pub(crate) fn json(self, value: Value) -> Outcome {
        if !self.json {
            return Ok(());
        }
        let line = versioned(value);
        if self.is_payload {
            // Nobody is left to tell that stderr is gone.
            let _ = write(&mut io::stderr().lock(), &line);
            return Ok(());
        }
        written(write(&mut io::stdout().lock(), &line))
    }

    /// Says something that is not data; silent with `--json` or `--quiet`.
    pub(crate) fn talk(self, text: impl Display) {
        if !self.json && !self.quiet {
            let _ = write(&mut io::stderr().lock(), &text);
        }
    }

    /// Tells of a failure.
    pub(crate) fn fail(self, failure: &Failure) {
        if !self.json {
            let _ = write!(io::stderr().lock(), "{failure}");
        } else if self.is_payload {
            let _ = write(&mut io::stderr().lock(), &versioned(failure.to_json()));
        } else {
            let _ = write(&mut io::stdout().lock(), &versioned(failure.to_json()));
        }
    }
}

/// Text of somebody else, safe for a terminal.
pub(crate) fn plain(text: &str) -> String {
    one_line(text)
}

/// The object with its version in front.
pub(crate) fn versioned(value: Value) -> Value {
    let mut object = json!({ "schema": SCHEMA });
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), value) {
        object.extend(fields);
    }
    object
}

fn write(to: &mut dyn Write, text: &dyn Display) -> io::Result<()> {
    writeln!(to, "{text}")?;
    to.flush()
}

/// A reader that went away is no error of ours, yet there is nothing left to do.
fn written(result: io::Result<()>) -> Outcome {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::failed("broken_pipe", "stdout was closed"),
        _ => Failure::io("stdout cannot be written", &error),
    })
}

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut scaled = count as f64;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{scaled:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_carries_its_version() {
        let object = versioned(json!({ "netid": "n1" }));
        assert_eq!(object, json!({ "schema": 1, "netid": "n1" }));
    }

    #[test]
    fn sizes_are_readable_up_to_the_largest() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(256 << 20), "256.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }
}
