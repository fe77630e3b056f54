//! `mutate`: switches off one protection after the other, in a copy of the tree, and expects a test to turn red each time.
//!
//! What is switched off, and which tests stand for it, is written down in [`crate::mutations`]; where the copy is, in [`crate::scratch`].

use crate::mutations::{self, Mutation, Test};
use crate::process::{Failure, stage};
use crate::scratch::{Scratch, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What became of one mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// This test turned red, in that way.
    Red(Test, &'static str),
    /// All tests that are named stayed green: a finding.
    Survived,
    /// The entry of the table is wrong: it does not compile, or its tests are red without it.
    Defect(String),
}

/// All of them, or those that are named; `--list` only shows them.
pub fn run(words: &[&str]) -> Result<(), Failure> {
    if words == ["--list"] {
        mutations::all().for_each(|one| println!("{:<34} {}", one.name, one.protection));
        return Ok(());
    }
    let chosen = choose(words)?;
    stage(&format!("mutate: {} protections switched off, one at a time", chosen.len()));
    let scratch = Scratch::make()?;
    let tests: BTreeSet<Test> = chosen.iter().flat_map(|one| one.tests).copied().collect();
    let unusable = control(&scratch, &tests)?;
    let mut rows = Vec::new();
    for one in chosen {
        let began = Instant::now();
        let outcome = try_one(&scratch, one, &unusable);
        let row = line(one, &outcome, began.elapsed().as_secs());
        println!("{row}");
        rows.push((row, matches!(outcome, Outcome::Red(..)).then_some(one.name), one.name));
    }
    stage("what became of them");
    rows.iter().for_each(|(row, ..)| println!("{row}"));
    let green: Vec<&str> = rows.iter().filter(|(_, red, _)| red.is_none()).map(|(.., name)| *name).collect();
    println!("{} of {} turned a test red", rows.len() - green.len(), rows.len());
    if green.is_empty() { Ok(()) } else { Err(Failure::Found(format!("mutate: {}", green.join(", ")))) }
}

fn choose(names: &[&str]) -> Result<Vec<&'static Mutation>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !mutations::all().any(|one| one.name == **name)) {
        return Err(Failure::Found(format!(
            "`{unknown}` is no mutation; `cargo xtask mutate --list` shows all"
        )));
    }
    let wanted = |one: &&Mutation| names.is_empty() || names.contains(&one.name);
    Ok(mutations::all().filter(wanted).collect())
}

/// Runs every named test on the unchanged tree. Those that are not green there prove nothing: which, and why.
fn control(scratch: &Scratch, tests: &BTreeSet<Test>) -> Result<BTreeMap<Test, &'static str>, Failure> {
    stage(&format!("control: {} tests on the unchanged tree", tests.len()));
    let built = match scratch.build(tests.iter()) {
        Ok(built) => built,
        Err(why) => return Err(Failure::Found(format!("the unchanged tree does not build:\n{why}"))),
    };
    let mut unusable = BTreeMap::new();
    for test in tests {
        let began = Instant::now();
        let verdict = scratch.test(&built, test)?;
        let seconds = began.elapsed().as_secs();
        println!("control: {} {test} {seconds} s", verdict.word());
        if verdict != Verdict::Green {
            unusable.insert(*test, verdict.word());
        }
    }
    Ok(unusable)
}

fn try_one(scratch: &Scratch, one: &Mutation, unusable: &BTreeMap<Test, &'static str>) -> Outcome {
    let usable: Vec<Test> = one.tests.iter().filter(|test| !unusable.contains_key(test)).copied().collect();
    if usable.is_empty() {
        return Outcome::Defect("its tests are red without it".into());
    }
    let text = match scratch.mutate(one) {
        Ok(text) => text,
        Err(failure) => return Outcome::Defect(failure.to_string()),
    };
    let outcome = first_red(scratch, &usable);
    match scratch.put_back(one, &text) {
        Ok(()) => outcome,
        Err(failure) => Outcome::Defect(failure.to_string()),
    }
}

/// Builds and runs one test after the other, until one is red: the first of them is meant to be.
fn first_red(scratch: &Scratch, tests: &[Test]) -> Outcome {
    for test in tests {
        let built = match scratch.build(std::iter::once(test)) {
            Ok(built) => built,
            Err(why) => {
                println!("{why}");
                return Outcome::Defect("it does not compile".into());
            }
        };
        match scratch.test(&built, test) {
            Ok(Verdict::Green) => {}
            Ok(red @ (Verdict::Red | Verdict::Endless)) => return Outcome::Red(*test, red.word()),
            Ok(Verdict::Missing) => return Outcome::Defect(format!("there is no test `{test}`")),
            Err(failure) => return Outcome::Defect(failure.to_string()),
        }
    }
    Outcome::Survived
}

/// One line that people and programs can read: words `key=value`, the last one to the end of the line.
fn line(one: &Mutation, outcome: &Outcome, seconds: u64) -> String {
    let (word, why) = match outcome {
        Outcome::Red(test, how) => (*how, format!("test={test}")),
        Outcome::Survived => ("SURVIVED", format!("protection={}", one.protection)),
        Outcome::Defect(why) => ("DEFECT", format!("why={}", why.lines().next().unwrap_or_default())),
    };
    format!("mutation={:<34} result={word:<8} seconds={seconds:<4} {why}", one.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_no_mutation_is_named() {
        assert!(choose(&["no-such-mutation"]).unwrap_err().to_string().contains("no-such-mutation"));
        let all = choose(&[]).unwrap();
        assert_eq!(all.len(), mutations::all().count());
        assert_eq!(choose(&[all[0].name]).unwrap().len(), 1);
    }

    #[test]
    fn each_outcome_has_its_line() {
        let one = mutations::all().next().unwrap();
        let test = one.tests[0];
        assert!(line(one, &Outcome::Red(test, "red"), 3).contains(&format!("test={test}")));
        assert!(line(one, &Outcome::Survived, 3).contains("result=SURVIVED"));
        assert!(line(one, &Outcome::Defect("a\nb".into()), 3).ends_with("why=a"));
    }
}
