//! `tidy`, second part: every clause of the promise in SECURITY.md names tests that exist, or says that it has none yet.

use crate::process::{Failure, stage};
use crate::tree;

const PAGE: &str = "SECURITY.md";
const HEADING: &str = "## What is tested";
/// What the last cell of a row starts with when nothing shows the clause yet.
const NONE_YET: &str = "no test yet:";

pub fn run() -> Result<(), Failure> {
    stage("promises");
    let root = tree::root();
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name))
            .map_err(|cause| Failure::Found(format!("cannot read `{name}`: {cause}")))
    };
    let mut sources = String::new();
    for name in tree::files()?.iter().filter(|name| name.ends_with(".rs")) {
        sources.push_str(&read(name)?);
    }
    let found = look(&read(PAGE)?, &sources);
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|line| eprintln!("{PAGE}: {line}"));
    Err(Failure::Found(format!("promises: {} places to mend", found.len())))
}

/// What is wrong with the table of the page, a line each.
fn look(page: &str, sources: &str) -> Vec<String> {
    let Some((_, section)) = page.split_once(HEADING) else {
        return vec![format!("the section `{HEADING}` is missing")];
    };
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    if rows.is_empty() {
        return vec![format!("`{HEADING}` has no table")];
    }
    rows.into_iter().flat_map(|row| look_at_row(row, sources)).collect()
}

fn look_at_row(row: &str, sources: &str) -> Vec<String> {
    let mut cells = row.trim_matches('|').splitn(2, " | ");
    let (clause, tests) = (cells.next().unwrap_or_default().trim(), cells.next().unwrap_or_default().trim());
    if tests.starts_with(NONE_YET) {
        return Vec::new();
    }
    let is_test = |word: &&str| word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).filter(is_test).collect();
    if names.is_empty() {
        return vec![format!("`{clause}` names no test; write one, or `{NONE_YET}` and what is missing")];
    }
    names
        .into_iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .map(|name| format!("`{clause}` names the test `{name}`, which does not exist"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_names_tests_that_exist_or_says_that_it_has_none() {
        let page = |row: &str| {
            format!("{HEADING}\n\n| clause | tests |\n| --- | --- |\n{row}\n\n## Next\n| a | b |\n")
        };
        let sources = "fn a_test() {}";
        assert!(look(&page("| never in a log | `a_test` |"), sources).is_empty());
        assert!(look(&page("| never in a log | no test yet: the scanner |"), sources).is_empty());
        assert_eq!(look(&page("| never in a log | `another` |"), sources).len(), 1);
        assert_eq!(look(&page("| never in a log | we looked |"), sources).len(), 1);
        assert_eq!(look("no such section", sources).len(), 1);
    }
}
