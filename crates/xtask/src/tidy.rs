//! `tidy`: rules of style that no compiler checks.

use crate::process::{Failure, stage};
use crate::tree;

/// Lines a source file may have.
const LINES: usize = 800;
/// Words that mean that something is not finished, cut in two so that this file is clean itself.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("db", "g!("), concat!("FIX", "ME")];
/// Paths of the machines this was made on.
const PLACES: [&str; 2] = [concat!("/wo", "rk/"), concat!("/tmp/br", "ief")];
/// Files that are looked at.
const TEXT: [&str; 9] = [".rs", ".md", ".toml", ".sh", ".vgo", ".j2", ".yml", ".yaml", ".proto"];

pub fn run() -> Result<(), Failure> {
    stage("tidy");
    let root = tree::root();
    let mut found = Vec::new();
    if !root.join("LICENSE").is_file() {
        found.push("LICENSE: there is none".to_owned());
    }
    for name in tree::files()? {
        if !TEXT.iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        match std::fs::read_to_string(root.join(&name)) {
            Ok(text) => found.extend(look(&name, &text)),
            Err(cause) => found.push(format!("{name}: cannot read: {cause}")),
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|line| eprintln!("{line}"));
    Err(Failure::Found(format!("tidy: {} places to mend", found.len())))
}

/// What is wrong with a file, a line for each.
fn look(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let source = name.ends_with(".rs");
    // What tests expect of a program, and policies that are wrong on purpose, are as they are.
    let sample = name.contains("/cases/") || name.contains("/golden/") || name.contains("/fixtures/");
    if source && !text.starts_with("//!") {
        found.push(format!(
            "{name}:1: a file starts with `//!`: what it is for, and what it leaves to others"
        ));
    }
    let lines = text.lines().count();
    if source && lines >= LINES {
        found.push(format!("{name}: {lines} lines, {LINES} are the wall"));
    }
    if !text.is_empty() && !text.ends_with('\n') && !sample {
        found.push(format!("{name}: the last line has no end"));
    }
    for (index, line) in text.lines().enumerate() {
        let at = |what: &str| format!("{name}:{}: {what}", index + 1);
        if source && UNFINISHED.iter().any(|word| line.contains(word)) {
            found.push(at("unfinished"));
        }
        if source && line.trim() == concat!("#[ign", "ore]") {
            found.push(at("an ignored test names why: `#[ignore = \"...\"]`"));
        }
        if line.ends_with([' ', '\t']) && !sample {
            found.push(at("blank at the end of the line"));
        }
        if PLACES.iter().any(|place| line.contains(place)) && !name.starts_with(".ci/") {
            found.push(at("a path of one machine"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_told_with_its_line() {
        for (name, text, want) in [
            ("a.rs", "//! ok\nfn a() {}\n", ""),
            ("a.rs", "fn a() {}\n", "a.rs:1: a file starts"),
            ("a.rs", concat!("//! x\n#[ign", "ore]\n"), "a.rs:2: an ignored test"),
            ("a.rs", "//! x\n#[ignore = \"why\"]\n", ""),
            ("a.rs", concat!("//! x\nto", "do!()\n"), "a.rs:2: unfinished"),
            ("a.md", concat!("FIX", "ME\n"), ""),
            ("a.md", "x \n", "a.md:1: blank at the end"),
            ("a.md", "x", "a.md: the last line"),
            ("crates/x/cases/a.vgo", "x ", ""),
            ("a.md", concat!("in /wo", "rk/x\n"), "a.md:1: a path of one machine"),
            (".ci/a.sh", concat!("cd /wo", "rk/x\n"), ""),
        ] {
            let found = look(name, text);
            assert_eq!(found.is_empty(), want.is_empty(), "{name} {text:?}: {found:?}");
            assert!(found.first().is_none_or(|first| first.starts_with(want)), "{found:?}");
        }
    }

    #[test]
    fn a_long_file_is_told() {
        let text = format!("//! x\n{}", "\n".repeat(LINES));
        assert!(look("a.rs", &text)[0].contains("are the wall"));
    }
}
