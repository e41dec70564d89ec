//! What the machine, the user and the data directory have to say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use netcom::{DataDir, IdentityStore};
use rustix::process::{Resource, Rlimit, getrlimit};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use super::{Finding, State};
use crate::{context::Context, control::Client, failure::sentence};

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    calendar: SystemTime,
    steady: Instant,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self { calendar: SystemTime::now(), steady: Instant::now() }
    }

    /// Whether the calendar went on as the steady clock did since then.
    pub(super) fn has_been_steady(self) -> Finding {
        self.compare(Self::now())
    }

    fn compare(self, later: Self) -> Finding {
        let check = "clock_steady";
        let expected = self.calendar + later.steady.duration_since(self.steady);
        let step = match later.calendar.duration_since(expected) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        if step < STEP {
            return Finding::fine(check, "the clock was not set meanwhile");
        }
        let told = format!("the clock was set by {step:.1?} meanwhile");
        Finding::new(check, State::Weak, told).remedy("timedatectl timesync-status")
    }
}

/// Whether the calendar can be right: proofs and names are valid for a time.
pub(super) fn clock(directory: &Path) -> Finding {
    judge_clock(SystemTime::now(), newest(directory))
}

fn judge_clock(now: SystemTime, newest: Option<(PathBuf, SystemTime)>) -> Finding {
    let check = "clock";
    let remedy = "timedatectl set-ntp true";
    let is_too_early = now < UNIX_EPOCH + EARLIEST;
    if is_too_early {
        let told = "the clock is years behind: no proof is valid then";
        return Finding::new(check, State::Broken, told).remedy(remedy);
    }
    let behind = newest.and_then(|(path, at)| Some((path, at.duration_since(now).ok()?)));
    match behind.filter(|(_, behind)| *behind > TOLERANCE) {
        Some((path, behind)) => {
            let behind = Duration::from_secs(behind.as_secs());
            let told = format!("the clock is {behind:?} behind the time of {}", path.display());
            Finding::new(check, State::Broken, told).remedy(remedy)
        }
        None => Finding::fine(check, "no file of ours is newer than now"),
    }
}

/// The newest file that this program wrote, or is.
fn newest(directory: &Path) -> Option<(PathBuf, SystemTime)> {
    let own = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = own.take(MAX_FILES).chain(std::env::current_exe());
    let timed = all.filter_map(|path| {
        let at = fs::metadata(&path).ok()?.modified().ok()?;
        Some((path, at))
    });
    timed.max_by_key(|(_, at)| *at)
}

/// Whether the data directory and its keys can be used. It is not made.
pub(super) fn data_dir(context: &Context) -> Finding {
    let check = "data_dir";
    let path = context.directory();
    if !DataDir::exists(path) {
        let told = format!("there is none at {} yet", path.display());
        return Finding::new(check, State::Skipped, told).remedy("netcom id new");
    }
    let broken = |told: String, hint: Option<String>| Finding {
        remedy: hint,
        ..Finding::new(check, State::Broken, told)
    };
    let directory = match DataDir::open(path) {
        Ok(directory) => directory,
        Err(error) => return broken(sentence(&error), error.hint()),
    };
    match IdentityStore::new(directory).show() {
        Err(error) => broken(sentence(&error), error.hint()),
        Ok(info) => match info.netid {
            Some(netid) => Finding::fine(check, format!("{} is {netid}", path.display())),
            None => {
                let told = format!("{} has no identity yet", path.display());
                Finding::new(check, State::Skipped, told).remedy("netcom id new")
            }
        },
    }
}

/// How the running node is.
pub(super) async fn running(context: &Context) -> Finding {
    let check = "running_node";
    let socket = context.directory().join("control.sock");
    let mut client = match Client::connect(&socket).await {
        Ok(Some(client)) => client,
        Ok(None) => return Finding::new(check, State::Skipped, "none runs"),
        Err(failure) => {
            let hint = failure.hint.clone().unwrap_or_else(|| "netcom listen".to_owned());
            return Finding::new(check, State::Broken, failure.message).remedy(hint);
        }
    };
    match client.ask("counters", json!({}), ANSWER).await {
        Ok(counters) => judge_counters(&counters),
        Err(failure) => {
            Finding::new(check, State::Broken, failure.message).remedy("restart netcom listen")
        }
    }
}

fn judge_counters(counters: &Value) -> Finding {
    let check = "running_node";
    let count = |name: &str| counters[name].as_u64().unwrap_or(0);
    let (panics, errors) = (count("panics_total"), count("accept_errors_total"));
    if panics > 0 {
        let told = format!("it answers, and caught {panics} panics, which are bugs");
        return Finding::new(check, State::Weak, told).remedy("netcom status, and a report");
    }
    if errors > 0 {
        let told = format!("{errors} times it could not take a connection");
        return Finding::new(check, State::Weak, told).remedy("more open files: ulimit -n 65536");
    }
    Finding::fine(check, "it answers")
}

/// How many sockets a process may have.
pub(super) fn open_files() -> Finding {
    judge_files(&getrlimit(Resource::Nofile))
}

fn judge_files(limit: &Rlimit) -> Finding {
    let check = "open_files";
    let Some(current) = limit.current else { return Finding::fine(check, "no limit") };
    if current >= FILES {
        return Finding::fine(check, format!("{current} at most"));
    }
    let told = format!("{current} at most: a node takes one for each link over TCP");
    let most = limit.maximum.map_or(FILES, |most| most.min(FILES));
    let remedy = match most > current {
        true => format!("ulimit -n {most}"),
        false => format!("a limit of {FILES} in /etc/security/limits.conf"),
    };
    Finding::new(check, State::Weak, told).remedy(remedy)
}

/// Whether the system lets UDP sockets have room for bursts.
pub(super) fn buffers() -> Finding {
    let read = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys/net/core").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    judge_buffers(read("rmem_max"), read("wmem_max"))
}

fn judge_buffers(receive: Option<u64>, send: Option<u64>) -> Finding {
    let check = "udp_buffers";
    let (Some(receive), Some(send)) = (receive, send) else {
        return Finding::new(check, State::Skipped, "this system does not tell their limits");
    };
    if receive.min(send) >= UDP_BUFFER {
        return Finding::fine(check, format!("{receive} and {send} bytes at most"));
    }
    let told = format!(
        "{receive} and {send} bytes at most, where {UDP_BUFFER} are wanted: bursts over QUIC lose \
         packets"
    );
    let remedy = format!("sysctl -w net.core.rmem_max={UDP_BUFFER} net.core.wmem_max={UDP_BUFFER}");
    Finding::new(check, State::Weak, told).remedy(remedy)
}

/// Whether rules of this machine turn others away, as far as they can be read.
pub(super) async fn firewall() -> Finding {
    let listing = Command::new("nft")
        .args(["list", "ruleset"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match timeout(ANSWER, listing).await {
        Ok(Ok(listed)) if listed.status.success() => {
            judge_rules(&String::from_utf8_lossy(&listed.stdout))
        }
        _ => {
            let told = "the rules of this machine cannot be read by this user";
            Finding::new(FIREWALL, State::Skipped, told)
                .remedy("sudo nft list ruleset, or sudo iptables -L INPUT")
        }
    }
}

fn judge_rules(rules: &str) -> Finding {
    let mut inputs = rules.lines().filter(|line| line.contains("hook input"));
    if inputs.any(|line| line.contains("policy drop")) {
        let told = "what comes in is dropped unless a rule lets it through: others reach this \
                    node only at ports that are open";
        return Finding::new(FIREWALL, State::Weak, told)
            .remedy("a rule for the ports of --listen, such as tcp dport 4001 accept");
    }
    Finding::fine(FIREWALL, "no chain drops what comes in by default")
}

const FIREWALL: &str = "firewall";
/// 2026-01-01: this version was made later.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);
/// File systems of others have clocks of their own.
const TOLERANCE: Duration = Duration::from_secs(60);
/// Both clocks are read one after the other.
const STEP: Duration = Duration::from_millis(500);
/// Files of a data directory that are looked at.
const MAX_FILES: usize = 1024;
/// Links over TCP that a small server has.
const FILES: u64 = 4096;
/// What QUIC's sockets ask for.
const UDP_BUFFER: u64 = 4 << 20;
/// How long something of this machine may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_before_the_newest_file_is_wrong_and_the_file_is_named() {
        let now = at(1_800_000_000);
        let file = |seconds| Some((PathBuf::from("/d/lock"), at(seconds)));
        assert_eq!(judge_clock(now, None).state, State::Fine);
        assert_eq!(judge_clock(now, file(1_800_000_059)).state, State::Fine);
        let behind = judge_clock(now, file(1_800_003_600));
        assert_eq!(behind.state, State::Broken);
        assert!(behind.told.contains("3600s behind the time of /d/lock"), "{behind:?}");
        assert_eq!(judge_clock(at(0), None).state, State::Broken);
    }

    #[test]
    fn a_clock_that_is_set_meanwhile_is_noticed() {
        let start = Clock::now();
        let second = Duration::from_secs(1);
        let later = |calendar| Clock { calendar, steady: start.steady + second };
        assert_eq!(start.compare(later(start.calendar + second)).state, State::Fine);
        assert_eq!(start.compare(later(start.calendar - second)).state, State::Weak);
        assert_eq!(start.compare(later(start.calendar + 3 * second)).state, State::Weak);
    }

    #[test]
    fn small_limits_are_told_with_what_raises_them() {
        let limit = |current, maximum| Rlimit { current, maximum };
        assert_eq!(judge_files(&limit(None, None)).state, State::Fine);
        let few = judge_files(&limit(Some(1024), Some(524_288)));
        assert_eq!(few.remedy.as_deref(), Some("ulimit -n 4096"));
        let fixed = judge_files(&limit(Some(1024), Some(1024)));
        assert!(fixed.remedy.is_some_and(|remedy| remedy.contains("limits.conf")));

        assert_eq!(judge_buffers(Some(4 << 20), Some(8 << 20)).state, State::Fine);
        let small = judge_buffers(Some(212_992), Some(212_992));
        assert!(small.remedy.is_some_and(|it| it.contains("net.core.rmem_max=4194304")));
        assert_eq!(judge_buffers(None, Some(1)).state, State::Skipped);
    }

    #[test]
    fn rules_that_drop_what_comes_in_are_told() {
        let open = "chain input { type filter hook input priority filter; policy accept; }";
        let closed = "chain input {\ntype filter hook input priority filter; policy drop;\n}";
        assert_eq!(judge_rules("").state, State::Fine);
        assert_eq!(judge_rules(open).state, State::Fine);
        assert_eq!(judge_rules(closed).state, State::Weak);
    }

    #[test]
    fn panics_of_the_running_node_are_told() {
        assert_eq!(judge_counters(&json!({ "panics_total": 0 })).state, State::Fine);
        assert_eq!(judge_counters(&json!({ "panics_total": 2 })).state, State::Weak);
    }
}
