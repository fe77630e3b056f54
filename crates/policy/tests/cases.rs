//! Case files: a tree, what is known besides, and what a check says or what an envoy gets. `UPDATE=1` rewrites what is expected.
//!
//! A case has sections `--- path`, directives `--- @name arguments`, and after `=== expected` what must come out. `@range(n)@` in a file stands for `0, 1, .. n-1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod summary;
mod types;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use vigo_base::{AbsolutePath, SecretPath};
use vigo_policy::{Code, Surroundings, Tree, argument_value, check, compile, select};
use vigo_wire::node::Node;

const MARK: &str = "=== expected\n";

#[derive(Default)]
struct Case {
    tree: Tree,
    secrets: Option<BTreeSet<SecretPath>>,
    guarded: Vec<AbsolutePath>,
    traits: Option<Vec<String>>,
    variables: Vec<(String, Node)>,
    envoys: Vec<String>,
    facts: Option<Node>,
    alone: Option<String>,
    json: bool,
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn read(text: &str) -> Case {
    let mut case = Case::default();
    for section in text.split("--- ").skip(1) {
        let (head, body) = section.split_once('\n').unwrap();
        match head.strip_prefix('@').map(|directive| directive.split_once(' ').unwrap_or((directive, ""))) {
            None => add_file(&mut case.tree, head, body),
            Some(("secrets", list)) => {
                case.secrets = Some(list.split_whitespace().map(|path| path.parse().unwrap()).collect());
            }
            Some(("guarded", list)) => {
                case.guarded = list.split_whitespace().map(|path| path.parse().unwrap()).collect();
            }
            Some(("traits", list)) => {
                case.traits = Some(list.split_whitespace().map(str::to_owned).collect());
            }
            Some(("var", pair)) => {
                let (name, value) = pair.split_once('=').unwrap();
                case.variables.push((name.to_owned(), argument_value(value)));
            }
            Some(("envoy", name)) => case.envoys.push(name.to_owned()),
            Some(("facts", yaml)) => case.facts = Some(argument_value(yaml)),
            Some(("alone", path)) => case.alone = Some(path.to_owned()),
            Some(("json", _)) => case.json = true,
            Some((other, _)) => panic!("unknown directive {other}"),
        }
    }
    case
}

/// A file; `path (hex)` for bytes that are no text, `path (times n)` for long ones.
fn add_file(tree: &mut Tree, head: &str, body: &str) {
    let (path, how) = head.split_once(' ').unwrap_or((head, ""));
    let bytes = match how.trim_matches(['(', ')']).split_once(' ') {
        None if how == "(hex)" => vigo_base::decode_hex(&body.replace(char::is_whitespace, "")).unwrap(),
        Some(("times", count)) => body.repeat(count.parse().unwrap()).into_bytes(),
        _ => expand(body).into_bytes(),
    };
    tree.insert(path, bytes).unwrap();
}

fn expand(body: &str) -> String {
    let Some((before, rest)) = body.split_once("@range(") else { return body.to_owned() };
    let (count, after) = rest.split_once(")@").unwrap();
    let count: u32 = count.parse().unwrap();
    let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    format!("{before}{}{}", numbers.join(", "), expand(after))
}

fn outcome(case: &Case) -> String {
    let traits: Option<Vec<&str>> =
        case.traits.as_ref().map(|list| list.iter().map(String::as_str).collect());
    let variables: Vec<String> = case.variables.iter().map(|(name, _)| name.clone()).collect();
    let surroundings = Surroundings {
        secrets: case.secrets.as_ref(),
        guarded: &case.guarded,
        traits: traits.as_deref(),
        variables: &variables,
        alone: case.alone.as_deref(),
        ..Surroundings::new(&types::TYPES)
    };
    let (policy, diagnostics) = check(&case.tree, &surroundings);
    let mut out = if case.json {
        vigo_syntax::render_json(&diagnostics, &case.tree) + "\n"
    } else {
        vigo_syntax::render_text(&diagnostics, &case.tree)
    };
    if vigo_syntax::has_errors(&diagnostics) {
        return out;
    }
    for envoy in &case.envoys {
        let mut selection = select(&policy, envoy, case.facts.as_ref());
        for (name, value) in &case.variables {
            selection.set_variable(name, value.clone());
        }
        let compiled = compile(&policy, &selection);
        let _ = writeln!(out, "--- {envoy}");
        out.push_str(&summary::of(envoy, &selection, &compiled));
    }
    out
}

#[test]
fn every_case_comes_out_as_expected() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = String::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(MARK).unwrap_or((&text, ""));
        let found = outcome(&read(input));
        if found == expected {
            continue;
        }
        if update {
            std::fs::write(&path, format!("{input}{MARK}{found}")).unwrap();
        } else {
            let name = path.file_name().unwrap().to_string_lossy();
            let _ = write!(wrong, "{name}\n--- expected\n{expected}--- found\n{found}\n");
        }
    }
    assert!(wrong.is_empty(), "run with UPDATE=1 if this is right:\n{wrong}");
}

#[test]
fn every_code_has_a_case() {
    let expected: Vec<String> = cases()
        .iter()
        .filter_map(|path| Some(std::fs::read_to_string(path).unwrap().split_once(MARK)?.1.to_owned()))
        .collect();
    let shown = |code: &&Code| {
        let mark = format!("[{}]", code.number());
        expected.iter().any(|text| text.contains(&mark))
    };
    let missing: Vec<String> =
        Code::ALL.iter().filter(|code| !shown(code)).map(ToString::to_string).collect();
    assert!(missing.is_empty(), "no case shows {}", missing.join(", "));
}
