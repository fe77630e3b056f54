//! The server: what envoys and operators talk to.
//!
//! Two ports. Envoys come over gRPC ([`relay`]), are let in by a token once ([`enrol`]), and from then on speak inside sessions that the
//! transport cannot read ([`sessions`], [`dispatch`]). Operators come over HTTPS ([`rest`]). What is published becomes bundles in
//! [`publish`](mod@publish), and an envoy's share of it an assignment in [`assign`]. Values of secrets are never here: the hand has them ([`keys`]).
#![forbid(unsafe_code)]

pub mod api_tokens;
pub mod assign;
pub mod auth;
pub mod bundles;
pub mod ca;
pub mod checkin;
pub mod clock;
pub mod dispatch;
pub mod enrol;
pub mod entitle;
pub mod error;
pub mod fleet;
pub mod folder;
pub mod held;
pub mod keys;
pub mod listen;
pub mod log;
pub mod master;
pub mod metrics;
pub mod offline;
pub mod plan;
pub mod problem;
pub mod protection;
pub mod publish;
pub mod published;
pub mod rates;
pub mod relay;
pub mod renew;
pub mod report;
pub mod rest;
pub mod rights;
pub mod secret_index;
pub mod secret_policy;
pub mod secrets;
pub mod serve;
pub mod sessions;
pub mod settings;
pub mod state;
pub mod terminal;
pub mod tls;
pub mod transit;
pub mod tree;
pub mod turns;
pub mod witness;

pub use error::ServerError;

use clap::Parser as _;
use settings::{Arguments, Command, Settings};
use std::io::Write as _;
use std::process::ExitCode;
use vigo_base::Exit;
use vigo_sys::harden::{Hold, harden_process_memory, name_process};
use vigo_sys::spawn::Spawner;

/// The program, after it was decided that this process is the server and not its hand.
#[must_use]
pub fn main() -> ExitCode {
    name_process(c"vigosrv");
    let hardened = harden_process_memory(Hold::Agent);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => {
            let _nowhere_to_write = told.print();
            return if told.use_stderr() { code(Exit::Usage) } else { code(Exit::Success) };
        }
    };
    if arguments.command == Some(Command::Version) {
        let _nowhere_to_write = writeln!(std::io::stdout(), "vigosrv {}", env!("CARGO_PKG_VERSION"));
        return code(Exit::Success);
    }
    match start(arguments, &hardened.warnings) {
        Ok(()) => code(Exit::Success),
        Err(error) => {
            let _nowhere_to_write = writeln!(std::io::stderr(), "vigosrv: {}", vigo_base::chain(&error));
            code(error.blame().exit())
        }
    }
}

fn start(arguments: Arguments, warnings: &[String]) -> Result<(), ServerError> {
    let command = arguments.command.clone();
    let settings = Settings::read(arguments)?;
    log::start(settings.log_level, settings.log_format);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let spawner = Spawner::start()
        .map_err(|cause| ServerError::Process { doing: "start the thread that starts the hand", cause })?;
    match command {
        None | Some(Command::Version) => serve::run(&settings, spawner),
        Some(command) => offline::run(&settings, &spawner, &command),
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit.code())
}
