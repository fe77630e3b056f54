//! The privileged side of the agent: identity, inner session, verification, render, order, plan, report, and the local commands.
//!
//! No network, no TLS, no async: what goes over a network goes through the worker as bytes it cannot open. No value of a secret is ever in this process: what needs one is asked of the hand.
#![forbid(unsafe_code)]

mod about;
mod apply;
mod arguments;
mod control;
mod converge;
mod daemon;
mod doctor;
mod enroll;
mod enrolment;
mod error;
mod explain;
mod held;
mod holding;
mod json;
mod last_run;
pub mod link;
mod log;
mod machine;
mod output;
pub mod over;
mod posture;
mod reports;
mod run;
mod secrets;
mod settings;
mod state;
mod status;
mod stores;
mod token_argument;
mod traits;
mod waiting;
mod worker;

pub use doctor::enter as enter_attacker;
pub use enrolment::{Enrolment, Record};
pub use error::AgentError;

use arguments::{Arguments, Command};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use machine::Machine;
use settings::Settings;
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use vigo_base::{Exit, chain};
use vigo_sys::harden::Hardened;
use vigo_sys::spawn::Spawner;

/// The agent from its command line to its exit code. The process is hardened already.
#[must_use]
pub fn main(hardened: Hardened) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    token_argument::wipe(&words);
    let parsed = Arguments::command()
        .try_get_matches_from(&words)
        .and_then(|matches| Arguments::from_arg_matches(&matches).map(|arguments| (arguments, matches)));
    let (arguments, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help is printed on standard output with 0, mistakes on standard error with 2: clap knows which. A closed output is no error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage } else { Exit::Success }.code());
        }
    };
    let exit = execute(&arguments, &matches, hardened).unwrap_or_else(|error| {
        // A command that has no settings started no log; a log that was started stays as it is.
        log::start(arguments::LogLevel::Warn, arguments::LogFormat::Text);
        tracing::error!("{}", chain(&error));
        error.exit()
    });
    ExitCode::from(exit.code())
}

fn execute(arguments: &Arguments, matches: &ArgMatches, hardened: Hardened) -> Result<Exit, AgentError> {
    match &arguments.command {
        Command::Explain(explain) => return explain::explain(explain),
        Command::Version(output) => return status::version(*output),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "vigo", &mut std::io::stdout());
            return Ok(Exit::Success);
        }
        _ => {}
    }
    let mut settings = Settings::load(arguments, matches)?;
    if let Command::Daemon(daemon) = &arguments.command {
        settings.take_daemon(daemon);
    }
    log::start(settings.log_level, settings.log_format);
    let spawner = Spawner::start().map_err(|source| AgentError::Start { process: "spawner", source })?;
    let looks = matches!(arguments.command, Command::Doctor(_));
    let machine = Machine::open(settings, Rc::new(spawner), hardened, looks)?;
    for warning in &machine.warnings {
        tracing::warn!("{warning}");
    }
    // The children's own thread is outside of it already. Best effort: the level says when it did not hold.
    if let Err(error) = vigo_sys::sandbox::deny_network() {
        tracing::info!("the network could not be denied to this process: {error}");
    }
    match &arguments.command {
        Command::Apply(apply) => apply::apply(&machine, apply),
        Command::Enroll(enroll) => {
            enrolled(&enroll::enroll(&machine.state, &machine.spawner, enroll)?, enroll.json)
        }
        Command::Run(run) => run::run(&machine, run),
        Command::Daemon(_) => daemon::daemon(&machine),
        Command::Doctor(doctor) => doctor::doctor(&machine, doctor),
        Command::Status(output) => status::status(&machine, *output),
        Command::Traits(output) => status::traits(&machine, *output),
        Command::Explain(_) | Command::Version(_) | Command::Completions { .. } => Ok(Exit::Success),
    }
}

fn enrolled(outcome: &enroll::Outcome, json: bool) -> Result<Exit, AgentError> {
    let enroll::Outcome { name, id, server } = outcome;
    if json {
        let object = serde_json::json!({ "format": output::FORMAT, "name": name.as_str(), "id": id, "server": server });
        output::print_json(&object)?;
    } else {
        output::print(&format!("enrolled as {name} ({id}) with {server}\nnext: vigo run\n"))?;
    }
    Ok(Exit::Success)
}
