//! How a command fails: one sentence, a stable code, what to try, and the exit code.

use std::{borrow::Cow, error::Error, fmt, io};

/// The exit codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something failed.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A name leads nowhere.
    NotFound = 3,
    /// Nobody answered in time.
    Unreachable = 4,
    /// The other side says no.
    Denied = 5,
}

/// Why a command failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable, for scripts: words in lower case with underscores between.
    pub(crate) code: Cow<'static, str>,
    /// One sentence in lower case, without a full stop.
    pub(crate) message: String,
    /// What to try, as the words after `try:`.
    pub(crate) hint: Option<String>,
    /// The answer has told it; only the exit code is left.
    pub(crate) is_told: bool,
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(
        exit: Exit,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { exit, code: code.into(), message: message.into(), hint: None, is_told: false }
    }

    pub(crate) fn failed(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Exit::Failure, code, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A failed system call, with what was to be done.
    pub(crate) fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => "file_not_found",
            io::ErrorKind::PermissionDenied => "file_permission",
            io::ErrorKind::AlreadyExists => "file_exists",
            io::ErrorKind::StorageFull => "disk_full",
            _ => "io",
        };
        Self::failed(code, format!("{doing}: {error}"))
    }

    /// An error with everything that caused it.
    pub(crate) fn from_error(
        exit: Exit,
        code: impl Into<Cow<'static, str>>,
        error: &dyn Error,
    ) -> Self {
        Self::new(exit, code, sentence(error))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For a failure that is part of an answer already.
    #[must_use]
    pub(crate) fn told(mut self) -> Self {
        self.is_told = true;
        self
    }

    #[must_use]
    pub(crate) fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// What another process of this program said, in the words of [`to_json`](Self::to_json).
    pub(crate) fn from_json(value: &serde_json::Value) -> Option<Self> {
        let error = value.get("error")?;
        let text = |name: &str| error.get(name).and_then(|it| it.as_str()).map(str::to_owned);
        let exit = match error.get("exit").and_then(serde_json::Value::as_u64) {
            Some(2) => Exit::Usage,
            Some(3) => Exit::NotFound,
            Some(4) => Exit::Unreachable,
            Some(5) => Exit::Denied,
            _ => Exit::Failure,
        };
        Some(Self::new(exit, text("code")?, text("message")?).hint_if(text("try")))
    }

    /// What `--json` shows.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "code": self.code,
                "message": self.message,
                "try": self.hint,
                "exit": self.exit as u8,
            }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever a file name, a peer or another process put into it.
        writeln!(f, "error: {} [{}]", one_line(&self.message), one_line(&self.code))?;
        match &self.hint {
            Some(hint) => writeln!(f, "try: {}", one_line(hint)),
            None => Ok(()),
        }
    }
}

/// An error and its causes in one sentence, each said once.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// The text without anything that moves a terminal's cursor or fakes a line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
    }
    line
}

fn is_plain(c: char) -> bool {
    // Control characters, and the marks that turn the direction of writing.
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    !c.is_control() && !turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_sentence_a_code_and_something_to_try() {
        let failure = Failure::new(Exit::NotFound, "name_not_found", "there is no name bob")
            .hint("netcom names ls");
        let text = failure.to_string();
        assert_eq!(text, "error: there is no name bob [name_not_found]\ntry: netcom names ls\n");
    }

    #[test]
    fn no_code_that_another_process_gives_adds_a_line() {
        let said = serde_json::json!({ "error": { "code": "a\nerror: b", "message": "c" } });
        let failure = Failure::from_json(&said).unwrap();
        assert_eq!(failure.to_string(), "error: c [a\\nerror: b]\n");
    }

    #[test]
    fn nothing_a_peer_says_moves_the_cursor_or_adds_a_line() {
        let failure = Failure::failed("remote", "a\nerror: b\u{1b}[2J\u{202e}c");
        let text = failure.to_string();
        assert_eq!(text, "error: a\\nerror: b\\u{1b}[2J\\u{202e}c [remote]\n");
    }
}
