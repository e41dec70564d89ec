//! `netcom doctor`: looks for what keeps nodes from working here, and tells what helps.
//!
//! Nothing is changed: no data directory is made, and nobody beyond this machine is asked but by
//! multicast, where the settings let nodes do so, and for the target that is named.

mod machine;
mod network;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    args::Doctor,
    context::Context,
    failure::{Failure, Outcome},
    output::plain,
};

/// What one check found.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Finding {
    check: &'static str,
    state: State,
    /// A sentence.
    told: String,
    /// What helps, as the words after `try:`.
    remedy: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Fine,
    /// Nodes work, not as well as they could.
    Weak,
    Broken,
    /// It could not be looked at, or need not.
    Skipped,
}

pub(crate) async fn run(command: &Doctor, context: &Context) -> Outcome {
    let within = Duration::from_secs_f64(command.timeout);
    let clock = machine::Clock::now();
    let mut findings = vec![machine::clock(context.directory()), machine::data_dir(context)];
    findings.push(machine::running(context).await);
    findings.push(machine::open_files());
    findings.push(machine::buffers());
    findings.push(machine::firewall().await);
    findings.extend(network::sockets());
    findings.extend(network::exchanges(within).await);
    findings.push(network::mdns(context, within).await?);
    if let Some(target) = &command.target {
        findings.extend(network::target(context, target, within).await?);
    }
    findings.push(clock.has_been_steady());
    report(context, &findings)
}

fn report(context: &Context, findings: &[Finding]) -> Outcome {
    let broken = findings.iter().filter(|finding| finding.state == State::Broken).count();
    let lines: Vec<String> = findings.iter().flat_map(Finding::lines).collect();
    let value = json!({
        "is_healthy": broken == 0,
        "checks": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
    });
    context.output.answer(lines.join("\n"), value)?;
    if broken == 0 {
        return Ok(());
    }
    let failure = Failure::failed("unhealthy", format!("{broken} of the checks failed"))
        .hint("what stands below each of them");
    Err(if context.output.is_json() { failure.told() } else { failure })
}

impl Finding {
    fn new(check: &'static str, state: State, told: impl Into<String>) -> Self {
        Self { check, state, told: told.into(), remedy: None }
    }

    fn fine(check: &'static str, told: impl Into<String>) -> Self {
        Self::new(check, State::Fine, told)
    }

    #[must_use]
    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn lines(&self) -> Vec<String> {
        let state = self.state.as_str();
        let mut lines = vec![format!("{state:<8} {}: {}", self.check, plain(&self.told))];
        lines.extend(self.remedy.as_ref().map(|remedy| format!("         try: {}", plain(remedy))));
        lines
    }

    fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "state": self.state.as_str(),
            "told": self.told,
            "try": self.remedy,
        })
    }
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Weak => "warning",
            Self::Broken => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_what_helps() {
        let finding = Finding::new("udp_buffers", State::Weak, "they are small").remedy("sysctl");
        assert_eq!(
            finding.lines(),
            ["warning  udp_buffers: they are small", "         try: sysctl"]
        );
        assert_eq!(finding.to_json()["try"], "sysctl");
        assert_eq!(Finding::fine("tcp", "it works").lines(), ["ok       tcp: it works"]);
    }
}
