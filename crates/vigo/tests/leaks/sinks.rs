//! No sink is forgotten: each has a scan, each command that prints and each option that changes what is printed is in a table here. What is added to a
//! product and stands in none of them fails a test.

use crate::axes::SPEECHES;
use crate::world::{binary, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use vigo_testkit::scan::Sink;

/// Where each sink is scanned: a file of the workspace, and a test in it.
const SCANS: [(Sink, &str, &str); 12] = [
    (
        Sink::Files,
        "crates/vigo/tests/leaks/matrix.rs",
        "no_cell_of_the_leak_matrix_leaves_a_value_anywhere_but_in_its_target",
    ),
    (
        Sink::OpenFiles,
        "crates/vigo/tests/leaks/matrix.rs",
        "no_cell_of_the_leak_matrix_leaves_a_value_anywhere_but_in_its_target",
    ),
    (
        Sink::Output,
        "crates/vigo/tests/leaks/matrix.rs",
        "no_cell_of_the_leak_matrix_leaves_a_value_anywhere_but_in_its_target",
    ),
    (
        Sink::Database,
        "crates/server/tests/server/leaks.rs",
        "no_value_is_in_an_answer_a_file_the_log_or_the_memory_of_a_server",
    ),
    (
        Sink::Rest,
        "crates/server/tests/server/leaks.rs",
        "no_value_is_in_an_answer_a_file_the_log_or_the_memory_of_a_server",
    ),
    (
        Sink::Metrics,
        "crates/server/tests/server/leaks.rs",
        "no_value_is_in_an_answer_a_file_the_log_or_the_memory_of_a_server",
    ),
    (
        Sink::Audit,
        "crates/server/tests/server/leaks.rs",
        "no_value_is_in_an_answer_a_file_the_log_or_the_memory_of_a_server",
    ),
    (
        Sink::Backup,
        "crates/server/tests/server/leaks.rs",
        "no_value_is_in_an_answer_a_file_the_log_or_the_memory_of_a_server",
    ),
    (
        Sink::ProcessTables,
        "crates/vigo/tests/leaks/matrix.rs",
        "no_cell_of_the_leak_matrix_leaves_a_value_anywhere_but_in_its_target",
    ),
    (
        Sink::Memory,
        "crates/vigo/tests/leaks/alone.rs",
        "an_apply_with_a_vault_holds_its_secrets_in_the_pages_of_its_hand_alone",
    ),
    (Sink::Swap, "crates/vigo/tests/swap.rs", "nothing_of_an_agent_that_is_pushed_out_is_in_swap"),
    (Sink::Core, "crates/vigo/tests/cores.rs", "no_crash_of_ours_leaves_a_core_file"),
];

#[test]
fn every_sink_has_a_scan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for sink in Sink::ALL {
        let scans = SCANS.iter().filter(|(each, _, _)| *each == sink);
        let mut count = 0;
        for (_, file, test) in scans {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            assert!(text.contains(&format!("fn {test}(")), "the scan of {sink}, `{test}`, is not in {file}");
            count += 1;
        }
        assert!(count > 0, "nothing scans {sink}");
    }
}

/// What each command prints, and where that is searched or why no value can reach it.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("vigo", "apply", "the matrix"),
    ("vigo", "run", "the part with a server"),
    ("vigo", "daemon", "the same path as `run`; its memory in tests/memory.rs"),
    ("vigo", "enroll", "the part with a server"),
    ("vigo", "status", "the matrix, every eighth cell"),
    ("vigo", "doctor", "the matrix, every eighth cell"),
    ("vigo", "traits", "the matrix, every eighth cell"),
    ("vigo", "explain", "static text of the types; starts no hand"),
    ("vigo", "completions", "static text; starts no hand"),
    ("vigo", "version", "static text; starts no hand"),
    ("vigocli", "status", "the part with a server"),
    (
        "vigocli",
        "secrets",
        "the part with a server; `get` is the one that may show a value; `import` in alone.rs and crates/cli/tests/server/import.rs",
    ),
    ("vigocli", "config", "the part with a server"),
    ("vigocli", "token", "the part with a server"),
    ("vigocli", "api-token", "the part with a server"),
    ("vigocli", "envoys", "the part with a server"),
    ("vigocli", "runs", "the part with a server"),
    ("vigocli", "audit", "the part with a server"),
    ("vigocli", "completions", "static text; starts no hand"),
    ("vigosrv", "version", "static text; starts no hand"),
    ("vigosrv", "rekey", "about keys; crates/server/tests/server/master_key.rs"),
    ("vigosrv", "accept-rollback", "about keys; crates/server/tests/server/master_key.rs"),
    ("vigosrv", "key", "about keys; crates/server/tests/server/master_key.rs"),
];

#[test]
fn every_command_is_searched_or_said_why_not() {
    for program in ["vigo", "vigocli", "vigosrv"] {
        for command in commands_in(&help(&[program])) {
            let known = COMMANDS.iter().any(|(of, name, _)| *of == program && *name == command);
            assert!(
                known,
                "`{program} {command}` prints something that no scan of leaks covers; add it to COMMANDS"
            );
        }
    }
}

/// Options that change nothing of what is shown.
const SILENT: [&str; 11] = [
    "--state-dir",
    "--config",
    "--name",
    "--var",
    "--secrets",
    "--only",
    "--wait",
    "--help",
    "--online",
    "--passphrase-file",
    "--secret-cache",
];
/// Operations of the matrix, rather than ways to show one.
const OPERATIONS: [&str; 2] = ["--dry-run", "--diff"];

#[test]
fn every_way_to_show_a_run_is_in_the_matrix() {
    let ways: Vec<&str> = SPEECHES.iter().flat_map(|speech| speech.options().iter().copied()).collect();
    for command in ["apply", "run"] {
        let text = help(&["vigo", command]);
        let options: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('-').map(|_| line.trim_start()))
            .filter_map(|line| line.split([' ', ',', '=']).find(|word| word.starts_with("--")))
            .collect();
        assert!(options.len() > 8, "{text}");
        for option in options {
            let known = ways.contains(&option) || SILENT.contains(&option) || OPERATIONS.contains(&option);
            assert!(
                known,
                "`vigo {command} {option}` is in no cell of the matrix: add it to the ways to show a run"
            );
        }
        for option in ["--log-level", "--log-format"] {
            for value in values_of(&text, option) {
                // What holds when nothing is said is the quiet way.
                let known = value == "warn" || ways.windows(2).any(|pair| pair == [option, value.as_str()]);
                assert!(known, "`vigo {command} {option} {value}` is in no cell of the matrix");
            }
        }
    }
}

fn help(words: &[&str]) -> String {
    let mut command = Command::new(program(words[0]));
    command.args(&words[1..]).arg("--help");
    run(command, b"").expect(0).out
}

fn program(name: &str) -> PathBuf {
    binary(name)
}

fn commands_in(help: &str) -> Vec<String> {
    let section =
        help.split("Commands:").nth(1).unwrap_or_default().split("Options:").next().unwrap_or_default();
    let names =
        section.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| Some(line.split_ascii_whitespace().next()?.to_owned()))
        .filter(|name| name != "help")
        .collect()
}

/// The words that clap lists below an option: `- word:` or `- word`.
fn values_of(help: &str, option: &str) -> Vec<String> {
    let (_, after) =
        help.split_once(&format!("{option} <")).unwrap_or_else(|| panic!("{option} is gone: {help}"));
    let own = after.lines().skip(1).take_while(|line| !line.trim_start().starts_with("--"));
    let values: Vec<String> = own
        .filter_map(|line| line.trim_start().strip_prefix("- "))
        .filter_map(|line| Some(line.split([':', ' ']).next()?.to_owned()))
        .collect();
    assert!(!values.is_empty(), "{option}: {help}");
    values
}
