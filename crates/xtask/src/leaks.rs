//! The whole leak matrix, in slices: what was done is written down, so that a run that was broken off goes on with the next slice.

use crate::process::{Failure, cargo, output, run as run_command, stage};
use crate::tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// So many slices of all cells.
const SLICES: usize = 64;
const TEST: &str = "matrix::no_cell_of_the_leak_matrix_leaves_a_value_anywhere_but_in_its_target";

/// Every cell of the matrix that was not done of this commit and seed. All slices are run; the failing ones are named, and run again the next time.
pub fn run() -> Result<(), Failure> {
    let notes = notes()?;
    let mut done = read(&notes);
    stage(&format!("the leak matrix, {} of {SLICES} slices are done", done.len()));
    run_command(cargo().args(["build", "--workspace", "--bins", "--locked", "--quiet"]))?;
    let mut failed = Vec::new();
    for slice in (1..=SLICES).filter(|slice| !done.contains(slice)).collect::<Vec<_>>() {
        let began = Instant::now();
        let outcome = run_command(
            cargo()
                .args(["test", "--workspace", "--test", "leaks", "--locked", "--quiet", "--"])
                .args(["--exact", "--nocapture", TEST])
                .env("VIGO_LEAK_MATRIX", format!("{slice}/{SLICES}")),
        );
        println!("slice {slice} of {SLICES}: {} s", began.elapsed().as_secs());
        match outcome {
            Ok(()) => {
                done.insert(slice);
                write(&notes, &done)?;
            }
            Err(failure) => {
                println!("{failure}");
                failed.push(slice.to_string());
            }
        }
    }
    if failed.is_empty() {
        // The next night begins anew.
        let _ = std::fs::remove_file(&notes);
        return Ok(());
    }
    Err(Failure::Found(format!("slices of the leak matrix: {}", failed.join(", "))))
}

/// Where it is written down what was done of this commit and seed.
fn notes() -> Result<PathBuf, Failure> {
    let commit = output(Command::new("git").arg("-C").arg(tree::root()).args(["rev-parse", "HEAD"]))?;
    let seed = std::env::var("VIGO_LEAK_SEED").unwrap_or_default();
    Ok(tree::target()?.join("leaks").join(format!("{}-{seed}", commit.trim())))
}

fn read(notes: &Path) -> BTreeSet<usize> {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|slice| (1..=SLICES).contains(slice)).collect()
}

fn write(notes: &Path, done: &BTreeSet<usize>) -> Result<(), Failure> {
    let wrong =
        |cause: std::io::Error| Failure::Found(format!("cannot write `{}`: {cause}", notes.display()));
    if let Some(folder) = notes.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let text: String = done.iter().map(|slice| format!("{slice}\n")).collect();
    std::fs::write(notes, text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_read_back_and_nonsense_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("a/b");
        assert!(read(&notes).is_empty());
        let done = BTreeSet::from([1, 7, SLICES]);
        write(&notes, &done).unwrap();
        assert_eq!(read(&notes), done);
        std::fs::write(&notes, "7\n0\n9999\nx\n").unwrap();
        assert_eq!(read(&notes), BTreeSet::from([7]));
    }
}
