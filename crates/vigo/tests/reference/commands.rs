//! The `--help` of every command of the three programs.

use crate::world;
use std::process::{Command, Stdio};

const PROGRAMS: [&str; 3] = ["vigo", "vigocli", "vigosrv"];

/// The page.
pub fn page() -> String {
    let mut out = String::from(
        "What each program says to `--help`. Options of every command stand at each of them; what a setting is when nothing says \
         otherwise stands in [brackets] or (parentheses). What the commands print with `--json`: [json.md](json.md). Exit codes: \
         [exit-codes.md](exit-codes.md).\n",
    );
    for program in PROGRAMS {
        add(&mut out, &[program]);
    }
    out
}

/// A command, and then those below it.
fn add(out: &mut String, words: &[&str]) {
    let help = help(words);
    let level = "#".repeat(words.len().min(3) + 1);
    out.push_str(&format!("\n{level} {}\n\n```text\n{}\n```\n", words.join(" "), help.trim()));
    for name in commands(&help) {
        let below: Vec<&str> = words.iter().copied().chain([name]).collect();
        add(out, &below);
    }
}

fn help(words: &[&str]) -> String {
    let mut command = Command::new(world::binary(words[0]));
    // Variables of whoever runs the tests would show in the help.
    command.env_clear().args(&words[1..]).arg("--help").stdin(Stdio::null());
    let ended = world::run(command, b"").expect(0);
    assert!(ended.err.is_empty(), "{words:?} said on standard error: {}", ended.err);
    ended.out
}

/// The names under `Commands:`.
fn commands(help: &str) -> Vec<&str> {
    let names = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = names.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split_whitespace().next()
    });
    names.filter(|name| *name != "help").collect()
}
