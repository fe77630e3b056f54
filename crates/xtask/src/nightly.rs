//! `nightly`: what takes too long for every change. Stages that can be asked for by name; all that were asked for are run, whatever becomes of one.

use crate::budget::children_cpu_s;
use crate::process::{Failure, cargo, run as run_command, stage};
use crate::{bed, bench, dist, fuzz, leaks, mutate, tree};
use std::time::Instant;

/// Cases of each property test; by default there are 256.
const CASES: &str = "20000";

/// A stage: its name, what it does, the work.
struct Stage {
    name: &'static str,
    what: &'static str,
    work: fn() -> Result<(), Failure>,
}

/// All of them, in their order: what others need first, what takes longest last.
const STAGES: [Stage; 7] = [
    Stage { name: "dist", what: "the binaries as they are shipped", work: dist::run },
    Stage { name: "cases", what: "the property tests with 20,000 cases each", work: cases },
    Stage { name: "fuzz", what: "every decoder of bytes from outside, 60 seconds each", work: fuzz_all },
    Stage { name: "bed", what: "swap closed on a virtual machine of its own", work: bed::run },
    Stage { name: "mutate", what: "each protection switched off: a test must turn red", work: mutate_all },
    Stage {
        name: "leaks",
        what: "every cell of the leak matrix; goes on where it was broken off",
        work: leaks::run,
    },
    Stage { name: "bench", what: "the benchmarks of the release binaries", work: bench::run },
];

/// All stages, or those that are named, in their own order; `--list` only shows them.
pub fn run(words: &[&str]) -> Result<(), Failure> {
    if words == ["--list"] {
        STAGES.iter().for_each(|stage| println!("{:<8} {}", stage.name, stage.what));
        return Ok(());
    }
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for stage in chosen(words)? {
        let (began, before) = (Instant::now(), children_cpu_s().unwrap_or_default());
        let outcome = (stage.work)();
        let used = children_cpu_s().unwrap_or_default() - before;
        let end = match &outcome {
            Ok(()) => "ok".to_owned(),
            Err(failure) => {
                failed.push(stage.name);
                format!("FAILED: {failure}")
            }
        };
        let line = format!("{:<8} {} s, {used:.0} CPU seconds, {end}", stage.name, began.elapsed().as_secs());
        println!("{line}");
        lines.push(line);
    }
    stage("nightly");
    lines.iter().for_each(|line| println!("{line}"));
    if failed.is_empty() { Ok(()) } else { Err(Failure::Found(format!("nightly: {}", failed.join(", ")))) }
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Stage>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !STAGES.iter().any(|stage| stage.name == **name)) {
        let all: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        return Err(Failure::Found(format!("`{unknown}` is no stage; there are: {}", all.join(", "))));
    }
    Ok(STAGES.iter().filter(|stage| names.is_empty() || names.contains(&stage.name)).collect())
}

fn fuzz_all() -> Result<(), Failure> {
    fuzz::run(fuzz::NIGHTLY_S, &[])
}

fn mutate_all() -> Result<(), Failure> {
    mutate::run(&[])
}

/// The property tests and no others.
fn cases() -> Result<(), Failure> {
    let mut names = Vec::new();
    for file in tree::files()?.iter().filter(|name| name.ends_with(".rs") && !name.contains("/xtask/")) {
        let text = std::fs::read_to_string(tree::root().join(file))
            .map_err(|cause| Failure::Found(format!("cannot read `{file}`: {cause}")))?;
        names.extend(properties(&text).into_iter().map(str::to_owned));
    }
    stage(&format!("{} property tests with {CASES} cases each", names.len()));
    let mut test = cargo();
    test.args(["test", "--workspace", "--tests", "--locked", "--quiet", "--no-fail-fast", "--"]).args(names);
    run_command(test.env("PROPTEST_CASES", CASES))
}

/// The names of the tests in the macro of property tests.
fn properties(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut end = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match end {
            None if line.trim() == concat!("prop", "test! {") => end = Some(indent),
            Some(at) if at == indent && line.trim() == "}" => end = None,
            // The functions of the macro stand one step further in; what they hold stands further yet.
            Some(at) if indent == at + 4 => {
                let name = line.trim().strip_prefix("fn ").and_then(|rest| rest.split_once('('));
                names.extend(name.map(|(name, _)| name));
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_chosen_by_name_and_keep_their_order() {
        let names =
            |words: &[&str]| chosen(words).unwrap().iter().map(|stage| stage.name).collect::<Vec<_>>();
        assert_eq!(names(&[]).len(), STAGES.len());
        assert_eq!(names(&["bench", "dist"]), ["dist", "bench"]);
        assert!(chosen(&["nonsense"]).err().unwrap().to_string().contains("dist, cases"));
    }

    #[test]
    fn property_tests_are_found_and_no_others() {
        let text = concat!(
            "#[test]\nfn plain() {}\n\nprop",
            "test! {\n    #[test]\n    fn first(a in any::<u8>()) {\n        x();\n    }\n\n    #[test]\n    fn second(b: u8) {}\n}\n\n#[test]\nfn last() {}\n"
        );
        assert_eq!(properties(text), ["first", "second"]);
    }
}
