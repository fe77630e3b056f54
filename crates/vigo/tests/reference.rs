//! `docs/reference` is made here, from the programs and the lists in their source; a page that is not what they say today fails its test.
//!
//! `UPDATE=1 cargo test -p vigo --test reference` writes the pages. What is explained at length stands in `docs/guide`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    missing_docs,
    reason = "test code"
)]

#[path = "reference/commands.rs"]
mod commands;
#[path = "reference/fields.rs"]
mod fields;
#[path = "reference/json.rs"]
mod json;
#[path = "reference/pages.rs"]
mod pages;
#[path = "reference/shapes.rs"]
mod shapes;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

/// How the pages are written anew.
const MEND: &str = "UPDATE=1 cargo test -p vigo --test reference";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference")
}

/// Compares a page with what it has to be, or writes it when asked to.
#[track_caller]
fn check(name: &str, title: &str, text: &str) {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let body = lines.join("\n");
    let whole = format!(
        "# {title}\n\n<!-- Made by `{MEND}`: edit the source, not this page. -->\n\n{}\n",
        body.trim()
    );
    let path = folder().join(name);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(folder()).unwrap();
        fs::write(&path, whole).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let difference = whole.lines().zip(found.lines()).enumerate().find(|(_, (want, is))| want != is);
    let place = match difference {
        Some((number, (want, is))) => {
            format!("line {}:\n  is:     {is}\n  should: {want}", number + 1)
        }
        None => format!("it has {} lines, not {}", found.lines().count(), whole.lines().count()),
    };
    assert!(found == whole, "docs/reference/{name} is stale, {place}\nwrite it anew: {MEND}");
}

#[test]
fn the_page_of_commands_is_what_the_programs_say() {
    check("commands.md", "Commands", &commands::page());
}

#[test]
fn the_page_of_resource_types_is_what_the_registry_says() {
    check("resources.md", "Resource types", &pages::resources());
}

#[test]
fn the_page_of_traits_is_what_the_collectors_say() {
    check("traits.md", "Traits", &pages::traits());
}

#[test]
fn the_page_of_diagnostics_is_what_the_list_of_codes_says() {
    check("diagnostics.md", "Diagnostics", &pages::diagnostics());
}

#[test]
fn the_page_of_exit_codes_has_every_code() {
    check("exit-codes.md", "Exit codes", &pages::exit_codes());
}

#[test]
fn the_page_of_json_has_every_field_that_the_programs_print() {
    let printed = json::printed();
    check("json.md", "JSON output", &shapes::page(&printed));
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let root = folder().join("../..");
    let mut broken = Vec::new();
    for file in documents(&root) {
        let text = fs::read_to_string(&file).unwrap();
        for target in links(&text) {
            let (path, place) = target.split_once('#').unwrap_or((&target, ""));
            let there = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let found = there.exists() && (place.is_empty() || has_heading(&there, place));
            if !found && !path.contains("://") {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// True if a heading of the page makes that anchor: lower case, `-` for blanks, without punctuation.
fn has_heading(page: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let made = |line: &str| -> String {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
    };
    headings.map(made).any(|made| made == anchor)
}

/// Every Markdown file of the root and of `docs`.
fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), false), (root.join("docs"), true)];
    while let Some((folder, below)) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && below {
                folders.push((path, true));
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 10, "documents are not found in {}", root.display());
    found
}

/// What stands in `](..)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        }
        if inside {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.map(|target| target.split_whitespace().next().unwrap_or_default().to_owned()));
    }
    found
}
