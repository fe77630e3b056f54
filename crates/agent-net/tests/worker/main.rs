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

use std::panic::{AssertUnwindSafe, catch_unwind};
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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let fits = |name: &str| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|wanted| if has("--exact") { name == *wanted } else { name.contains(*wanted) })
    };
    let trials: Vec<Trial> = trials::ALL.iter().copied().filter(|(name, _)| fits(name)).collect();
    if has("--list") {
        // What cargo and nextest ask for; nothing here is ignored.
        trials.iter().filter(|_| !has("--ignored")).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut failed: Vec<&str> = Vec::new();
    println!("\nrunning {} tests", trials.len());
    for (name, trial) in &trials {
        let passed = catch_unwind(AssertUnwindSafe(trial)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed.extend((!passed).then_some(*name));
    }
    println!("\ntest result: {} passed; {} failed {failed:?}", trials.len() - failed.len(), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
