//! `tidy`, third part: every way in which a secret got out of another program is answered by tests that exist, or by a sentence why it cannot happen here.
//!
//! The list of rows is here, so that none can be dropped from the page unseen. Where the list that it was made from lies beside the tree, both are compared.

use crate::process::{Failure, stage};
use crate::tree;
use std::collections::BTreeSet;

const PAGE: &str = "docs/reference/leak-catalogue.md";
/// What the last cell of a row starts with when there is nothing to test.
const CANNOT: &str = "cannot happen:";
/// A reason is a sentence, not a word.
const SHORTEST_REASON: usize = 40;
/// Rows that were put in between later.
const BETWEEN: [&str; 4] = ["L56b", "L56c", "L56d", "L56e"];
const NUMBERED: usize = 67;

pub fn run() -> Result<(), Failure> {
    stage("leak catalogue");
    let root = tree::root();
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name))
            .map_err(|cause| Failure::Found(format!("cannot read `{name}`: {cause}")))
    };
    let mut sources = Vec::new();
    for name in tree::files()?.into_iter().filter(|name| name.ends_with(".rs")) {
        let text = read(&name)?;
        sources.push((name, text));
    }
    let mut found = look(&read(PAGE)?, &rows(), &sources);
    match tree::shared().map(|shared| std::fs::read_to_string(shared.join("spec/leak-catalogue.md"))) {
        Some(Ok(original)) => found.extend(compare(&rows(), &original)),
        _ => println!("the list of cases beside the tree is not there: it was NOT compared"),
    }
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|line| eprintln!("{PAGE}: {line}"));
    Err(Failure::Found(format!("leak catalogue: {} places to mend", found.len())))
}

/// Every row there has to be.
fn rows() -> BTreeSet<String> {
    let numbered = (1..=NUMBERED).map(|number| format!("L{number:02}"));
    numbered.chain(BETWEEN.map(str::to_owned)).collect()
}

/// The rows of a page with what stands in their last cell.
fn answers(page: &str) -> Vec<(&str, &str)> {
    let row = |line: &str| line.starts_with("| L") && !line.starts_with("| Leak");
    let cells = page.lines().filter(|line| row(line)).map(|line| line.trim_matches('|').trim());
    cells
        .filter_map(|cells| {
            let (row, rest) = cells.split_once(" | ")?;
            Some((row.trim(), rest.rsplit(" | ").next().unwrap_or_default().trim()))
        })
        .collect()
}

/// What is wrong with the page, a line each.
fn look(page: &str, rows: &BTreeSet<String>, sources: &[(String, String)]) -> Vec<String> {
    let answers = answers(page);
    let mut found = Vec::new();
    for row in rows {
        match answers.iter().filter(|(name, _)| name == row).count() {
            1 => {}
            0 => found.push(format!("there is no row {row}")),
            count => found.push(format!("row {row} stands there {count} times")),
        }
    }
    for (row, answer) in answers {
        if !rows.contains(row) {
            found.push(format!("row {row} is not in the list of xtask"));
        }
        found.extend(look_at(row, answer, sources));
    }
    found
}

fn look_at(row: &str, answer: &str, sources: &[(String, String)]) -> Vec<String> {
    let names: Vec<&str> = answer.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect();
    let reason = answer.strip_prefix(CANNOT).map(str::trim);
    if names.is_empty() && reason.is_none_or(|reason| reason.len() < SHORTEST_REASON) {
        return vec![format!(
            "row {row} names no test (`crate::test`) and has no sentence why it cannot happen (`{CANNOT} ...`)"
        )];
    }
    let exists = |name: &str| {
        let (place, test) = name.split_once("::").unwrap_or_default();
        let (folder, start) = (format!("crates/{place}/"), format!("fn {test}("));
        sources.iter().any(|(name, text)| name.starts_with(&folder) && text.contains(&start))
    };
    names
        .into_iter()
        .filter(|name| !exists(name))
        .map(|name| format!("row {row} names the test `{name}`, which does not exist"))
        .collect()
}

/// What stands in one list and not in the other.
fn compare(ours: &BTreeSet<String>, original: &str) -> Vec<String> {
    let theirs: BTreeSet<String> = answers(original).into_iter().map(|(row, _)| row.to_owned()).collect();
    ours.symmetric_difference(&theirs)
        .map(|row| format!("row {row} stands in one of the two lists only"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_tests_that_exist_or_a_sentence() {
        let sources = [("crates/a/tests/b.rs".to_owned(), "fn it_holds() {}".to_owned())];
        let rows = BTreeSet::from(["L01".to_owned()]);
        let look = |row: &str| {
            look(&format!("| row | case | here |\n| --- | --- | --- |\n{row}\n"), &rows, &sources).len()
        };
        assert_eq!(look("| L01 | a diff | `a::it_holds` |"), 0);
        assert_eq!(look("| L01 | a diff | `a::it_holds`, `a::gone` |"), 1);
        assert_eq!(look("| L01 | a diff | `b::it_holds` |"), 1);
        assert_eq!(look("| L01 | a diff | we looked |"), 1);
        assert_eq!(look("| L01 | a diff | cannot happen: no |"), 1);
        assert_eq!(
            look(
                "| L01 | a diff | cannot happen: there is no diff in this program, and test x would see one |"
            ),
            0
        );
        assert_eq!(look(""), 1);
        assert_eq!(look("| L01 | a | `a::it_holds` |\n| L01 | a | `a::it_holds` |"), 1);
        assert_eq!(look("| L01 | a | `a::it_holds` |\n| L02 | a | `a::it_holds` |"), 1);
    }

    #[test]
    fn seventy_one_rows_are_expected_and_another_list_is_compared() {
        assert_eq!(rows().len(), 71);
        let original = "| L01 | x | y |\n| L02 | x | y |\n";
        assert_eq!(compare(&rows(), original).len(), 69);
    }
}
