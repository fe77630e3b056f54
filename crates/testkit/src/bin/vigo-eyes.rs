//! What tests start as another process, often of another user: it looks at what it can see, and says so on standard output. Never shipped.
//!
//! `vigo-eyes watch` watches /proc as it is told on standard input; `vigo-eyes open FOLDER` opens whatever it can in a folder until standard
//! input ends. What is to be looked for, and what a sighting means, is the business of the test that started it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it sees is what it prints")]

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use vigo_testkit::scan::watch_from_stdin;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let looked = match words.as_slice() {
        ["watch"] => watch_from_stdin(),
        ["open", folder] => open_whatever_it_can(Path::new(folder)),
        _ => {
            eprintln!("usage: vigo-eyes watch | vigo-eyes open FOLDER");
            return ExitCode::from(2);
        }
    };
    match looked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vigo-eyes: cannot look: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the content of every file that it could open, each once.
fn open_whatever_it_can(folder: &Path) -> io::Result<()> {
    let end = std::thread::spawn(|| io::read_to_string(io::stdin()));
    let mut seen = BTreeSet::new();
    while !end.is_finished() {
        for entry in std::fs::read_dir(folder)?.flatten() {
            if let Ok(bytes) = std::fs::read(entry.path())
                && seen.insert(bytes.clone())
            {
                println!("{}", String::from_utf8_lossy(&bytes));
            }
        }
    }
    Ok(())
}
