//! One file per topic; each command is one function that asks and prints.

mod api_token;
mod audit;
mod completions;
mod config;
mod envoys;
mod first;
mod import;
mod offline;
mod passphrase;
mod policy;
mod runs;
mod secrets;
mod status;
mod token;
mod vault;

use crate::arguments::{Arguments, Command};
use crate::error::CliError;
use crate::session::Session;
use vigo_base::Exit;

/// Does what the command line says. `warnings`: what could not be hardened.
///
/// # Errors
/// Whatever stood in the way.
pub fn run(arguments: &Arguments, warnings: &[String]) -> Result<Exit, CliError> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Status => status::run(global),
        Command::Secrets(secrets) => match &secrets.vault {
            Some(vault) => vault::run(global, vault, secrets, warnings),
            None if secrets.passphrase_file.is_some() => Err(CliError::usage(
                "cannot use `--passphrase-file` without `--vault DIR`",
                "the passphrase of a server's master key is given to vigosrv",
            )),
            None => secrets::run(&mut Session::open(global)?, &secrets.command, warnings),
        },
        Command::Config { command } => config::run(global, command, warnings),
        Command::Token { command } => token::run(&mut Session::open(global)?, command),
        Command::ApiToken { command } => api_token::run(&mut Session::open(global)?, command),
        Command::Envoys { command } => envoys::run(&mut Session::open(global)?, command),
        Command::Runs { command } => runs::run(&mut Session::open(global)?, command),
        Command::Audit { command } => audit::run(&mut Session::open(global)?, command),
        Command::Completions { shell } => completions::run(*shell),
    }
}
