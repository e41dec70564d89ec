//! Settings: flags over environment over the data directory's `config.toml` over defaults.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure, Outcome},
    naming::Entries,
};

/// The settings and where each one comes from.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Multiaddrs to listen at; empty for the default ones.
    pub(crate) listen: Setting<Vec<String>>,
    /// How far to look; `None` for the node's own default.
    pub(crate) discovery: Setting<Option<String>>,
    /// How many links to use; `None` for the node's own default.
    pub(crate) links: Setting<Option<String>>,
    /// Where figures are given out.
    pub(crate) metrics: Setting<Option<String>>,
    /// Whether other machines may read them.
    pub(crate) metrics_open: Setting<bool>,
    /// Where events are written.
    pub(crate) event_log: Setting<Option<PathBuf>>,
    /// Where nodes meet across networks; kept for `netcom join`.
    pub(crate) meeting_points: Setting<Vec<String>>,
    /// Who may use what a node offers, beside its own entity.
    pub(crate) allow: Setting<Vec<String>>,
    pub(crate) allow_all: Setting<bool>,
    /// The folder that takes files.
    pub(crate) receive: Setting<Option<PathBuf>>,
    pub(crate) max_sessions: Setting<Option<u64>>,
    pub(crate) resume_seconds: Setting<Option<u64>>,
    /// Keys of names with dots that nobody is asked about.
    pub(crate) names: Setting<BTreeMap<String, String>>,
    /// Who answers names with dots, by their suffixes.
    pub(crate) directories: Setting<Entries>,
    /// The file, which need not exist.
    pub(crate) path: PathBuf,
}

/// A value and its origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File,
    Default,
}

/// What the command line says; `None` for nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) listen: Option<Vec<String>>,
    pub(crate) discovery: Option<String>,
    pub(crate) links: Option<String>,
    pub(crate) metrics: Option<String>,
    pub(crate) metrics_open: bool,
    pub(crate) event_log: Option<PathBuf>,
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) allow_all: bool,
    pub(crate) receive: Option<PathBuf>,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    listen: Option<Vec<String>>,
    discovery: Option<String>,
    links: Option<String>,
    metrics: Option<String>,
    metrics_open: Option<bool>,
    event_log: Option<PathBuf>,
    meeting_points: Option<Vec<String>>,
    allow: Option<Vec<String>>,
    allow_all: Option<bool>,
    receive: Option<PathBuf>,
    limits: Limits,
    naming: Naming,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    sessions: Option<u64>,
    resume_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Naming {
    #[serde(rename = "static")]
    fixed: Option<BTreeMap<String, String>>,
    directories: Option<Entries>,
}

/// The file's name in a data directory.
const NAME: &str = "config.toml";
/// A longer file is not ours.
const MAX_BYTES: u64 = 256 << 10;

impl Settings {
    /// Puts the settings of a data directory together; reads its file if there is one.
    pub(crate) fn load(data_dir: &Path, flags: Flags) -> Outcome<Self> {
        Self::combine(data_dir, flags, |name| env::var(name).ok())
    }

    fn combine(
        data_dir: &Path,
        flags: Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Outcome<Self> {
        let path = data_dir.join(NAME);
        let file = read(&path)?;
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        let list = |name| variable(name).map(|value| split(&value));
        let is_on = |name| match variable(name).as_deref() {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(_) => Err(Failure::usage(format!("{name} must be 1 or 0"))),
        };
        let text = |flag_name, flag: Option<String>, name, file: Option<String>| {
            pick(flag_name, flag.map(Some), name, variable(name).map(Some), file.map(Some), None)
        };
        let path_at = |flag_name, flag: Option<PathBuf>, name, file: Option<PathBuf>| {
            let given = variable(name).map(|path| Some(path.into()));
            pick(flag_name, flag.map(Some), name, given, file.map(Some), None)
        };
        // Naming somebody is narrower than allowing everyone, whatever a weaker origin says.
        let names_somebody = flags.allow.is_some();
        let flag_all = (flags.allow_all || names_somebody).then_some(flags.allow_all);
        let meeting_points: Option<Vec<String>> = None;
        Ok(Self {
            listen: pick("--listen", flags.listen, LISTEN, list(LISTEN), file.listen, vec![]),
            discovery: text("--discovery", flags.discovery, DISCOVERY, file.discovery),
            links: text("--links", flags.links, LINKS, file.links),
            metrics: text("--metrics", flags.metrics, METRICS, file.metrics),
            metrics_open: pick(
                "--metrics-open",
                flags.metrics_open.then_some(true),
                METRICS_OPEN,
                is_on(METRICS_OPEN)?,
                file.metrics_open,
                false,
            ),
            event_log: path_at("--event-log", flags.event_log, EVENT_LOG, file.event_log),
            meeting_points: pick("", meeting_points, "", None, file.meeting_points, vec![]),
            allow: pick("--allow", flags.allow, ALLOW, list(ALLOW), file.allow, vec![]),
            allow_all: pick(
                if names_somebody { "--allow" } else { "--allow-all" },
                flag_all,
                ALLOW_ALL,
                is_on(ALLOW_ALL)?,
                file.allow_all,
                false,
            ),
            receive: path_at("--receive", flags.receive, RECEIVE, file.receive),
            max_sessions: pick("", None, "", None, file.limits.sessions.map(Some), None),
            resume_seconds: pick("", None, "", None, file.limits.resume_seconds.map(Some), None),
            names: pick("", None, "", None, file.naming.fixed, BTreeMap::new()),
            directories: pick("", None, "", None, file.naming.directories, Entries::new()),
            path,
        })
    }

    /// Each setting's key, value and origin.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Value, Origin)> {
        vec![
            ("listen", json!(self.listen.value), self.listen.origin),
            ("discovery", json!(self.discovery.value), self.discovery.origin),
            ("links", json!(self.links.value), self.links.origin),
            ("metrics", json!(self.metrics.value), self.metrics.origin),
            ("metrics_open", json!(self.metrics_open.value), self.metrics_open.origin),
            ("event_log", json!(self.event_log.value), self.event_log.origin),
            ("meeting_points", json!(self.meeting_points.value), self.meeting_points.origin),
            ("allow", json!(self.allow.value), self.allow.origin),
            ("allow_all", json!(self.allow_all.value), self.allow_all.origin),
            ("receive", json!(self.receive.value), self.receive.origin),
            ("limits.sessions", json!(self.max_sessions.value), self.max_sessions.origin),
            ("limits.resume_seconds", json!(self.resume_seconds.value), self.resume_seconds.origin),
            ("naming.static", json!(self.names.value), self.names.origin),
            ("naming.directories", json!(self.directories.value), self.directories.origin),
        ]
    }
}

impl Origin {
    /// The origin for a person or a program.
    pub(crate) fn describe(self, path: &Path) -> String {
        match self {
            Self::Flag(name) | Self::Environment(name) => name.to_owned(),
            Self::File => path.display().to_string(),
            Self::Default => "default".to_owned(),
        }
    }
}

const LISTEN: &str = "NETCOM_LISTEN";
const DISCOVERY: &str = "NETCOM_DISCOVERY";
const LINKS: &str = "NETCOM_LINKS";
const METRICS: &str = "NETCOM_METRICS";
const METRICS_OPEN: &str = "NETCOM_METRICS_OPEN";
const EVENT_LOG: &str = "NETCOM_EVENT_LOG";
const ALLOW: &str = "NETCOM_ALLOW";
const ALLOW_ALL: &str = "NETCOM_ALLOW_ALL";
const RECEIVE: &str = "NETCOM_RECEIVE";

fn pick<T>(
    flag_name: &'static str,
    flag: Option<T>,
    variable_name: &'static str,
    variable: Option<T>,
    file: Option<T>,
    default: T,
) -> Setting<T> {
    let (value, origin) = if let Some(value) = flag {
        (value, Origin::Flag(flag_name))
    } else if let Some(value) = variable {
        (value, Origin::Environment(variable_name))
    } else if let Some(value) = file {
        (value, Origin::File)
    } else {
        (default, Origin::Default)
    };
    Setting { value, origin }
}

/// A list in an environment variable: words. No target or address has a space in it.
fn split(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn read(path: &Path) -> Outcome<File> {
    let failed =
        |error: io::Error| Failure::io(format_args!("{} cannot be read", path.display()), &error);
    let text = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            let message = format!("{} is too long for settings", path.display());
            return Err(Failure::new(Exit::Usage, "config", message));
        }
        Ok(_) => fs::read_to_string(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(failed(error)),
    };
    parse(&text, path)
}

/// Reads the file's text; `path` is for telling which.
pub(crate) fn parse(text: &str, path: &Path) -> Outcome<File> {
    toml_edit::de::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        let message = format!("{} line {line}: {}", path.display(), error.message());
        Failure::new(Exit::Usage, "config", message).hint(KEYS)
    })
}

const KEYS: &str = "the keys are listen, discovery, links, metrics, metrics_open, event_log, \
                    meeting_points, allow, allow_all, receive, under [limits] sessions and \
                    resume_seconds, domains under [naming.static], and suffixes under \
                    [naming.directories]";

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, flags: Flags, variables: &[(&str, &str)]) -> Outcome<Settings> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), text).unwrap();
        Settings::combine(folder.path(), flags, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn flags_come_before_the_environment_and_that_before_the_file_and_that_before_defaults() {
        let file = "discovery = \"lan\"\nlisten = [\"/a\"]\nallow = [\"bob\"]\n";
        let variables = [(DISCOVERY, "host"), (LISTEN, "/b /c")];
        let flags = Flags { discovery: Some("off".into()), ..Flags::default() };
        let settings = load(file, flags, &variables).unwrap();
        assert_eq!(settings.discovery.value.as_deref(), Some("off"));
        assert_eq!(settings.discovery.origin, Origin::Flag("--discovery"));
        assert_eq!(settings.listen.value, ["/b", "/c"]);
        assert_eq!(settings.listen.origin, Origin::Environment(LISTEN));
        assert_eq!(settings.allow.value, ["bob"]);
        assert_eq!(settings.allow.origin, Origin::File);
        assert_eq!(settings.links.value, None);
        let flags = Flags { links: Some("single".into()), ..Flags::default() };
        let settings = load("links = \"standby\"", flags, &[(LINKS, "auto")]).unwrap();
        assert_eq!(settings.links.value.as_deref(), Some("single"));
        assert_eq!(settings.receive, Setting { value: None, origin: Origin::Default });
    }

    #[test]
    fn naming_somebody_on_the_command_line_ends_what_the_file_allows_everyone() {
        let flags = Flags { allow: Some(vec!["bob".into()]), ..Flags::default() };
        let settings = load("allow_all = true", flags, &[]).unwrap();
        assert!(!settings.allow_all.value);
        assert!(load("allow_all = true", Flags::default(), &[]).unwrap().allow_all.value);
    }

    #[test]
    fn a_mistake_in_the_file_is_named_with_its_line() {
        for text in ["\n\nlisten = 3\n", "\n\nlsten = []\n"] {
            let failure = load(text, Flags::default(), &[]).unwrap_err();
            assert_eq!((failure.exit, &*failure.code), (Exit::Usage, "config"));
            assert!(failure.message.contains("line 3"), "{failure}");
        }
    }
}
