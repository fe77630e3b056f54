//! `test`: all tests, by nextest where it is installed, else by cargo; as root also those of [`crate::real`].

use crate::process::{Failure, cargo, is_installed, is_root, stage, watch};
use crate::real;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
}

impl Count {
    /// Adds one.
    pub fn add(&mut self, passed: bool) {
        if passed { self.passed += 1 } else { self.failed += 1 }
    }
}

pub fn run(real: bool) -> Result<(), Failure> {
    let mut count = Count::default();
    let outcome = run_counted(real, &mut count);
    if let Err(failure) = &outcome {
        eprintln!("xtask: {failure}");
        count.failed = count.failed.max(1);
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed == 0 && outcome.is_ok() {
        Ok(())
    } else {
        Err(Failure::Found("test: something failed".into()))
    }
}

fn run_counted(real: bool, count: &mut Count) -> Result<(), Failure> {
    let (mut fine, by_nextest) = (true, is_installed("cargo-nextest"));
    if by_nextest {
        stage("tests (nextest)");
        let mut look = |line: &str| read_nextest(line, count);
        fine &= watch(
            cargo().args([
                "nextest",
                "run",
                "--workspace",
                "--no-fail-fast",
                "--locked",
                "--status-level",
                "fail",
            ]),
            &mut look,
        )?;
    }
    stage(if by_nextest { "examples in the documentation" } else { "tests (cargo)" });
    let mut look = |line: &str| read_cargo(line, count);
    let words: &[&str] = if by_nextest { &["--doc"] } else { &["--no-fail-fast"] };
    fine &= watch(cargo().args(["test", "--workspace", "--locked", "--quiet"]).args(words), &mut look)?;
    if is_root() || real {
        real::run(count)?;
    } else {
        println!(
            "not root: the tests with real users and folders from outside are left to `cargo xtask test` as root"
        );
    }
    if fine { Ok(()) } else { Err(Failure::Found("tests failed".into())) }
}

/// `Summary [   1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 0 skipped`.
fn read_nextest(line: &str, count: &mut Count) {
    let line = plain(line);
    if let Some((_, results)) =
        line.trim_start().strip_prefix("Summary").and_then(|line| line.split_once("run:"))
    {
        count.passed += number_before(results, "passed");
        count.failed += number_before(results, "failed") + number_before(results, "timed out");
    }
}

/// `test result: ok. 3 passed; 0 failed; 0 ignored; ...`.
fn read_cargo(line: &str, count: &mut Count) {
    if let Some(results) = plain(line).trim_start().strip_prefix("test result:") {
        count.passed += number_before(results, "passed");
        count.failed += number_before(results, "failed");
    }
}

fn number_before(results: &str, word: &str) -> u64 {
    let part = results.split([',', ';', '.', ':']).find(|part| part.contains(word)).unwrap_or_default();
    part.split_ascii_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0)
}

/// The line without colours (ECMA-48: ESC, `[`, parameters, a letter).
fn plain(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        text + piece.split_once(|letter: char| letter.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_summary_are_read() {
        let mut count = Count::default();
        read_nextest(
            "     Summary [   1.234s] 312 tests run: 311 passed (2 slow), 1 failed, 4 skipped",
            &mut count,
        );
        assert_eq!(count, Count { passed: 311, failed: 1 });
        read_nextest(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   1.2s] \u{1b}[1m7\u{1b}[0m tests run: \u{1b}[1m7\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped",
            &mut count,
        );
        assert_eq!(count, Count { passed: 318, failed: 1 });
        read_cargo(
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            &mut count,
        );
        assert_eq!(count, Count { passed: 321, failed: 3 });
        read_cargo("test a::b ... ok", &mut count);
        assert_eq!(count, Count { passed: 321, failed: 3 });
    }
}
