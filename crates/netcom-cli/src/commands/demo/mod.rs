//! `netcom demo`: what this program does, with three nodes on this host.
//!
//! This process is one node; two child processes are nodes of one entity. Nothing leaves the
//! host: addresses are on loopback, as is multicast DNS, at a port of its own.

mod child;
mod processes;
mod steps;

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tokio::time::timeout;

pub(crate) use self::child::node;
use self::processes::Stage;
use crate::{
    args::Demo,
    context::Context,
    failure::{Exit, Failure, Outcome},
    output::Output,
};

/// Runs all steps, whatever happens cleans up, and fails if any step does.
pub(crate) async fn run(command: &Demo, context: &Context) -> Outcome {
    let output = context.output;
    let mut report = Report { output, steps: Vec::new(), start: Instant::now() };
    let mut stage = Stage::new()?;
    let within = Duration::from_secs(command.timeout);
    let result = tokio::select! {
        result = timeout(within, steps::all(command, context, &mut stage, &mut report)) => {
            result.unwrap_or_else(|_| {
                let message = format!("the demonstration took longer than {within:?}");
                Err(Failure::new(Exit::Failure, "timeout", message).hint("a longer --timeout"))
            })
        }
        _ = super::listen::ended() => Err(Failure::failed("interrupted", "it was interrupted")),
    };
    let cleaned = stage.clean_up().await;
    if let Err(failure) = &result {
        let number = report.steps.len() + 1;
        output.talk(format_args!("step {number} failed after {:.1?}", report.start.elapsed()));
        return Err(failure.clone());
    }
    cleaned?;
    let seconds = report.start.elapsed().as_secs_f64();
    output.answer(
        format_args!("All {} steps worked, in {seconds:.1} s.", report.steps.len()),
        json!({ "ok": true, "seconds": seconds, "steps": report.steps }),
    )
}

/// What happened so far.
struct Report {
    output: Output,
    steps: Vec<Value>,
    start: Instant,
}

impl Report {
    /// Tells of a step that worked: a sentence, more lines below it, and figures for programs.
    fn step(
        &mut self,
        name: &str,
        sentence: impl Display,
        more: &[String],
        figures: Value,
    ) -> Outcome {
        let number = self.steps.len() + 1;
        let mut text = format!("{number:>2}. {sentence}");
        for line in more {
            text.push_str("\n    ");
            text.push_str(line);
        }
        let mut step = Map::new();
        step.insert("step".to_owned(), json!(number));
        step.insert("name".to_owned(), json!(name));
        if let Value::Object(figures) = figures {
            step.extend(figures);
        }
        self.steps.push(Value::Object(step));
        self.output.line(text)
    }
}
