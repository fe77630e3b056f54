//! `vigocli`, the operator's tool over the REST interface; and `secrets --vault`, which needs no server.
//!
//! Values of secrets are read, sealed and shown by a hand of its own; this process never holds one.
#![forbid(unsafe_code)]

mod arguments;
mod client;
mod commands;
mod diagnostics;
mod error;
mod files;
mod git;
mod hand;
mod output;
mod progress;
mod session;
mod terminal;
mod tree;

use arguments::Arguments;
use clap::Parser as _;
use clap::error::ErrorKind;
use error::CliError;
use std::io;
use std::process::ExitCode;
use vigo_base::Exit;
use vigo_sys::harden::{Hold, harden_process_memory};

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    // Before anything else is read. What it could not do is said by the commands that touch a secret.
    let hardened = harden_process_memory(Hold::Agent);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let exit = match commands::run(&arguments, &hardened.warnings) {
        Ok(exit) => exit,
        // Whoever read the result has gone: nobody is left to tell.
        Err(CliError::Output(source)) if source.kind() == io::ErrorKind::BrokenPipe => Exit::CannotRun,
        Err(error) => {
            output::note(&error.report());
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

/// Help and version are results; everything else is a wrong command line.
fn refuse(error: &clap::Error) -> ExitCode {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let _ = error.print();
    let exit = if asked && error.exit_code() == 0 { Exit::Success } else { Exit::Usage };
    ExitCode::from(exit.code())
}
