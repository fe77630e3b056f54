//! The process.
use std::process::ExitCode;
/// Runs the hand if this process was started as one.
pub fn enter() -> Option<ExitCode> {
    None
}
/// What an exit code says.
pub(crate) fn explain_exit(code: i32) -> String {
    format!("with exit code {code}")
}
