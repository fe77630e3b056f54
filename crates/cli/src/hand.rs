//! The hand of this program: the process that reads, seals and shows values.

use crate::error::CliError;
use crate::output;
use vigo_hand::{Hand, Role, StartOptions};
use vigo_sys::arena::Kind;
use vigo_sys::spawn::Spawner;

/// Starts the hand, and says what protection is missing.
///
/// # Errors
/// When it does not start.
pub fn start(warnings: &[String]) -> Result<Hand, CliError> {
    start_with(warnings, StartOptions::ARENA_MAX)
}

/// The same with room for the scrypt of age, as far as the system gives it; with less, that takes longer.
///
/// # Errors
/// When it does not start.
pub fn start_roomy(warnings: &[String]) -> Result<Hand, CliError> {
    start_with(warnings, 80 << 20)
}

fn start_with(warnings: &[String], arena_max: usize) -> Result<Hand, CliError> {
    for warning in warnings {
        output::note(&format!("warning: {warning}"));
    }
    let spawner =
        Spawner::start().map_err(|source| CliError::Machine { doing: "start `vigo-hand`", source })?;
    let mut hand = Hand::start(&spawner, &StartOptions { arena_max, ..StartOptions::new(Role::Operator) })?;
    let status = hand.status()?;
    if status.arena.kind == Kind::Plain {
        let reasons = status.arena.reasons.join("; ");
        output::note(&format!("warning: the value is in ordinary memory while it is handled: {reasons}"));
    }
    Ok(hand)
}
