//! Benchmarks of the agent: CPU seconds and peak memory of `vigo apply`, beside a floor that is measured in the same run.
//!
//! `cargo xtask bench` builds the release binaries and runs this; `vigo-bench floor MODE DIR COUNT` is the floor itself, as a child, so that both are measured in the same way.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a program for developers that prints figures and starts the programs it measures"
)]

mod floor;
mod measure;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [_, "floor", mode, folder, count] => floor::run(mode, Path::new(folder), count),
        [me, bin] => work::run_all(Path::new(me), &PathBuf::from(bin)),
        _ => Err("usage: vigo-bench BIN-DIR".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("vigo-bench: {message}");
            ExitCode::FAILURE
        }
    }
}
