//! Seeds, former crashes and some thousand changes of them, through every target: what a change may break at once. Deeper is `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use vigo_fuzz::{Mutator, Target, files_in, targets};

/// Changed inputs for each target, at most.
const CHANGES: usize = 4000;
/// And no longer than this: some targets need milliseconds for an input.
const TIME: Duration = Duration::from_millis(500);
/// Any will do; the same one each time, so that what fails fails again.
const SEED: u64 = 1530;

fn run(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let shown = vigo_base::encode_hex(input.get(..4096).unwrap_or(input));
        panic!(
            "`{}` fails on these {} bytes (keep them in {}): {shown}",
            target.name,
            input.len(),
            target.crashes().display()
        );
    }
}

#[test]
fn every_target_takes_its_seeds_and_what_once_made_it_crash() {
    for target in targets() {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "`{}` has no seeds", target.name);
        for input in seeds.iter().chain(&files_in(&target.crashes())) {
            run(target, input);
        }
        run(target, &[]);
    }
}

#[test]
fn every_target_takes_changed_seeds() {
    for target in targets() {
        let mut inputs = (target.seeds)();
        inputs.extend(files_in(&target.crashes()));
        let (mut mutator, until, mut tried) = (Mutator::new(SEED), Instant::now() + TIME, 0);
        while tried < CHANGES && Instant::now() < until {
            run(target, &mutator.change(&inputs));
            tried += 1;
        }
        println!("{}: {tried} inputs", target.name);
    }
}

#[test]
fn a_target_that_fails_is_noticed() {
    let wrong = Target { name: "wrong", run: |bytes| assert!(bytes.len() < 3), seeds: || vec![vec![1, 2]] };
    let outcome = catch_unwind(|| {
        let (mut mutator, inputs) = (Mutator::new(SEED), (wrong.seeds)());
        for _ in 0..CHANGES {
            run(&wrong, &mutator.change(&inputs));
        }
    });
    assert!(outcome.is_err(), "no change of two bytes has three");
}

#[test]
fn names_are_folders_and_no_two_are_equal() {
    let mut names: Vec<&str> = targets().map(|target| target.name).collect();
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(names.iter().all(|name| Target::by_name(name).is_some()));
}
