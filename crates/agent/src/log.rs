//! The agent's log: lines on standard error, as text or JSON. No line ever carries a value of a secret, because no value is in this process.

use crate::arguments::{LogFormat, LogLevel};
use tracing::Level;

/// Starts the log of this process. A second call changes nothing.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time();
    // `try_init` fails only when a log was started before.
    let _started_before = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => {
            tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).json().try_init()
        }
    };
}
