//! The `netcom` command.
//!
//! `main` reads the command line (`args`), puts the settings together and runs one of
//! `commands`. stdout is data, stderr is talk (`output`); a failure is a sentence, a code and
//! something to try (`failure`). Nodes are made in `nodes` alone; `control` is how processes
//! of one data directory talk to its running node; `transfer` moves files over any stream.

mod args;
mod commands;
mod context;
mod control;
mod errors;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod generated;
mod log;
mod naming;
mod nodes;
mod output;
mod qr;
mod settings;
mod transfer;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind};

use crate::{
    args::{Cli, Command},
    commands::{
        config, demo, doctor, explain, id, listen, names, perf, ping, pipe, receive, request, send,
        sessions, tunnel,
    },
    context::{Context, serve_flags},
    failure::{Failure, Outcome},
    output::Output,
    settings::Flags,
};

/// Runs the command and tells how it ended.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error, &arguments),
    };
    let output = Output::new(cli.global.json, cli.global.quiet);
    let output = if is_payload(&cli.command) { output.payload() } else { output };
    if let Err(failure) = log::start(&cli.global) {
        output.fail(&failure);
        return ExitCode::from(failure.exit as u8);
    }
    match run(&cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told {
                output.fail(&failure);
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Whether stdout carries what somebody else said.
fn is_payload(command: &Command) -> bool {
    match command {
        Command::Pipe(_) | Command::Request(_) => true,
        Command::Recv(receive) => receive.stdout.is_some(),
        _ => false,
    }
}

fn run(cli: &Cli, output: Output) -> Outcome {
    match &cli.command {
        Command::Completions { shell } => return generated::completions(*shell, output),
        Command::Man { folder } => return generated::man(folder, output),
        _ => {}
    }
    let context = Context::new(&cli.global, output, flags(&cli.command))?;
    match &cli.command {
        Command::Id(command) => return id::run(command, &context),
        Command::Names(command) => return names::run(command, &context),
        Command::Config(args::Config::Show { origin, .. }) => {
            return config::show(&context, *origin);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("no runtime", &error))?;
    let result = runtime.block_on(run_async(&cli.command, &context));
    // Threads may still wait for a stdin that never ends.
    runtime.shutdown_background();
    result
}

async fn run_async(command: &Command, context: &Context) -> Outcome {
    match command {
        Command::Listen(command) => listen::run(command, context).await,
        Command::Status => sessions::status(context).await,
        Command::Sessions(command) => sessions::run(command, context).await,
        Command::Ping(command) => ping::run(command, context).await,
        Command::Explain(command) => explain::run(command, context).await,
        Command::Doctor(command) => doctor::run(command, context).await,
        Command::Request(command) => request::run(command, context).await,
        Command::Pipe(command) => pipe::run(command, context).await,
        Command::Send(command) => send::run(command, context).await,
        Command::Recv(command) => receive::run(command, context).await,
        Command::Forward(command) => tunnel::forward(command, context).await,
        Command::Expose(command) => tunnel::expose(command, context).await,
        Command::Perf(command) => perf::run(command, context).await,
        Command::Demo(command) => demo::run(command, context).await,
        Command::DemoNode(command) => demo::node(command, context).await,
        // Those that need no runtime ran before.
        Command::Id(_)
        | Command::Names(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// What a command's own flags say about settings.
fn flags(command: &Command) -> Flags {
    match command {
        Command::Listen(it) => {
            Flags { receive: it.receive.clone(), ..serve_flags(&it.serve, &it.access) }
        }
        Command::Recv(it) => {
            Flags { receive: it.into.clone(), ..serve_flags(&it.serve, &it.access) }
        }
        Command::Pipe(it) => serve_flags(&it.serve, &it.access),
        Command::Expose(it) => serve_flags(&it.serve, &it.access),
        Command::Config(args::Config::Show { serve, access, .. }) => serve_flags(serve, access),
        _ => Flags::default(),
    }
}

/// Help and version are answers; everything else is a failure like others.
fn unparsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody is left to be told that stdout is gone.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let is_json = arguments.iter().any(|argument| argument == "--json");
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !is_json {
        let _ = error.print();
        return ExitCode::from(failure::Exit::Usage as u8);
    }
    let text = error.render().to_string();
    let sentence = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let sentence = sentence.collect::<Vec<_>>().join(" ");
    let sentence = sentence.trim_start_matches("error: ").to_owned();
    let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let failure = Failure::usage(sentence).hint(usage.unwrap_or("netcom --help"));
    Output::new(is_json, false).fail(&failure);
    ExitCode::from(failure.exit as u8)
}
