//! `cargo xtask TASK`: everything that is done to this tree besides editing it. Each task is a module; rules that matter are run here, not remembered.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a program for developers: it prints, and it starts cargo and the binaries it has built; it holds no secret but the demo's"
)]

mod bed;
mod bench;
mod budget;
mod catalogue;
mod check;
mod ci;
mod demo;
mod dist;
mod fuzz;
mod layers;
mod leaks;
mod mutate;
mod mutations;
mod nightly;
mod process;
mod promises;
mod real;
mod scratch;
mod test;
mod tidy;
mod tree;

use process::Failure;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask TASK

  check             formatting, tidy, layers, clippy
  test [--real]     all tests; as root, or with --real, also those with real processes from outside
  ci                check, test, and the agent type-checked for other systems; CPU time against ci/budget.toml
  demo [--once]     builds and runs the main job in one folder, without root
  bench             benchmarks of the release binaries
  fuzz [SECONDS [TARGET..]]
                    every decoder of bytes from outside under libFuzzer, 60 seconds each unless said
  tidy              rules of style that no compiler checks
  layers            the table in ARCHITECTURE.md against the workspace
  mutate [--list | NAME..]
                    each protection switched off in a copy of the tree: a test must turn red
  bed               swap closed on a virtual machine of its own
  nightly [--list | STAGE..]
                    what takes too long for every change, or stages of it; all are run, whatever becomes of one
  dist              the binaries as they are shipped";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["check"] => check::run(),
        ["test"] => test::run(false),
        ["test", "--real"] => test::run(true),
        ["ci"] => ci::run(),
        ["demo"] => demo::run(false),
        ["demo", "--once"] => demo::run(true),
        ["bed"] => bed::run(),
        ["bench"] => bench::run(),
        ["fuzz"] => fuzz::run(fuzz::NIGHTLY_S, &[]),
        ["fuzz", seconds, names @ ..] => fuzz::run(seconds.parse().map_err(|_| Failure::Usage)?, names),
        ["tidy"] => tidy::run()
            .and_then(|()| promises::run())
            .and_then(|()| catalogue::run())
            .and_then(|()| mutations::check()),
        ["mutate", names @ ..] => mutate::run(names),
        ["layers"] => layers::run(),
        ["nightly", stages @ ..] => nightly::run(stages),
        ["dist"] => dist::run(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::Usage),
    }
}
