//! A harness for test programs whose `main` has to do something first: one that is also the hand, or the worker, by its arguments. It takes the flags
//! that cargo and nextest give to the usual one, and prints what that prints of each test.
#![allow(clippy::print_stdout, reason = "this is how a test program says what became of its tests")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Lists the tests by their names, or runs those that the arguments of this process choose, each by `call`: all without one, those that contain a
/// word, or with `--exact` are it. What a name begins with, up to `::`, is the part of the program that it is in.
#[must_use]
pub fn run<T>(tests: &[(&str, T)], call: impl Fn(&T)) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|word| word == flag);
    if has("--list") {
        // Those that are ignored are asked for separately, and there are none.
        if !has("--ignored") {
            tests.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let fits = |name: &str, word: &str| if has("--exact") { name == word } else { name.contains(word) };
    let (mut passed, mut failed) = (0_usize, Vec::new());
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|word| fits(name, word)) {
            continue;
        }
        if catch_unwind(AssertUnwindSafe(|| call(test))).is_ok() {
            passed += 1;
            println!("test {name} ... ok");
        } else {
            failed.push(*name);
            println!("test {name} ... FAILED");
        }
    }
    // As the usual one, whose last line `cargo xtask test` counts.
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {} failed; {}", failed.len(), failed.join(", "));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
