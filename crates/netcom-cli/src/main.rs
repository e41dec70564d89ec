//! The `netcom` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    netcom_cli::main(std::env::args_os())
}
