//! The worker as a real process against real servers on loopback, good and bad ones. This binary is the worker, too, as every binary of Vigo is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_types
)]

mod authority;
mod process;
mod server;
mod trials;

use std::process::ExitCode;

/// A test: its name and what it does.
type Trial = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(code) = vigo_agent_net::enter() {
        return code;
    }
    if let Some(code) = process::enter_parent() {
        return code;
    }
    vigo_testkit::harness::run(trials::ALL, |trial| trial())
}
