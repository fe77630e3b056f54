//! `tidy`, second part: every clause of the promise in SECURITY.md names tests that exist, or says that it has none yet, and mutations by which
//! those tests are judged, or says why there can be none.

use crate::process::{Failure, stage};
use crate::{mutations, tree};

const PAGE: &str = "SECURITY.md";
const HEADING: &str = "## What is tested";
/// What the last cell of a row starts with when nothing shows the clause yet.
const NONE_YET: &str = "no test yet:";
/// What the cell of mutations starts with where no line of the code could be switched off.
const NO_MUTATION: &str = "none:";

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
    let known: Vec<&str> = mutations::all().map(|one| one.name).collect();
    let found = look(&read(PAGE)?, &sources, &known);
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|line| eprintln!("{PAGE}: {line}"));
    Err(Failure::Found(format!("promises: {} places to mend", found.len())))
}

/// What is wrong with the table of the page, a line each.
fn look(page: &str, sources: &str, known: &[&str]) -> Vec<String> {
    let Some((_, section)) = page.split_once(HEADING) else {
        return vec![format!("the section `{HEADING}` is missing")];
    };
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    if rows.is_empty() {
        return vec![format!("`{HEADING}` has no table")];
    }
    rows.into_iter().flat_map(|row| look_at_row(row, sources, known)).collect()
}

fn look_at_row(row: &str, sources: &str, known: &[&str]) -> Vec<String> {
    let mut cells = row.trim_matches('|').splitn(3, " | ").map(str::trim);
    let mut cell = || cells.next().unwrap_or_default();
    let (clause, tests, mutations) = (cell(), cell(), cell());
    if tests.starts_with(NONE_YET) {
        return Vec::new();
    }
    let is_test = |word: &&str| word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).filter(is_test).collect();
    if names.is_empty() {
        return vec![format!("`{clause}` names no test; write one, or `{NONE_YET}` and what is missing")];
    }
    let is_missing = |name: &&str| !sources.contains(&format!("fn {name}("));
    let mut found: Vec<String> = names
        .into_iter()
        .filter(is_missing)
        .map(|name| format!("`{clause}` names the test `{name}`, which does not exist"))
        .collect();
    found.extend(look_at_mutations(clause, mutations, known));
    found
}

fn look_at_mutations(clause: &str, cell: &str, known: &[&str]) -> Vec<String> {
    if cell.strip_prefix(NO_MUTATION).is_some_and(|why| !why.trim().is_empty()) {
        return Vec::new();
    }
    let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        let what = format!(
            "`{clause}` names no mutation of `cargo xtask mutate`; name one, or write `{NO_MUTATION}` and why none is possible"
        );
        return vec![what];
    }
    let unknown = names.into_iter().filter(|name| !known.contains(name));
    unknown.map(|name| format!("`{clause}` names the mutation `{name}`, which does not exist")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_names_tests_that_exist_or_says_that_it_has_none() {
        let page = |row: &str| {
            format!(
                "{HEADING}\n\n| clause | tests | mutations |\n| --- | --- | --- |\n{row}\n\n## Next\n| a | b |\n"
            )
        };
        let sources = "fn a_test() {}";
        let look = |page: &str| look(page, sources, &["off"]).len();
        assert_eq!(look(&page("| never in a log | `a_test` | `off` |")), 0);
        assert_eq!(look(&page("| never in a log | `a_test` | none: there is no such line |")), 0);
        assert_eq!(look(&page("| never in a log | no test yet: the scanner | |")), 0);
        assert_eq!(look(&page("| never in a log | `another` | `off` |")), 1);
        assert_eq!(look(&page("| never in a log | we looked | `off` |")), 1);
        for mutations in ["`on`", "none:", "we tried", ""] {
            assert_eq!(
                look(&page(&format!("| never in a log | `a_test` | {mutations} |"))),
                1,
                "{mutations}"
            );
        }
        assert_eq!(look("no such section"), 1);
    }
}
