//! The sessions in `docs/guide` are what they say: every command of the quick start is run, and has to print what stands below it.
//!
//! `UPDATE=1` writes what was printed into the page where it differs in more than what differs each time: keys, times, names of the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod world;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use world::binary;

/// Where the page has its folder, and its ports.
const FOLDER: &str = "/tmp/try";
const PORTS: [&str; 2] = ["1530", "8443"];
/// Stands after what a command printed, with its exit code.
const END: &str = "@@ended@@";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/quick-start.md")
}

/// A command as it stands in the page, what it is without prompts, and what stands below it.
struct Step {
    shown: String,
    command: String,
    printed: Vec<String>,
}

/// The page, cut into what is text (`Err`) and what is a step.
fn read(text: &str) -> Vec<Result<Step, String>> {
    let mut parts: Vec<Result<Step, String>> = Vec::new();
    let mut in_session = false;
    for line in text.lines() {
        let is_border = line.starts_with("```");
        if is_border {
            in_session = line == "```console";
        }
        let last = parts.last_mut().and_then(|part| part.as_mut().ok());
        match (line.strip_prefix("$ "), line.strip_prefix("> "), last) {
            _ if is_border || !in_session => parts.push(Err(line.to_owned())),
            (Some(command), ..) => parts.push(Ok(Step {
                shown: line.to_owned(),
                command: command.to_owned(),
                printed: Vec::new(),
            })),
            (None, Some(more), Some(step)) => {
                write!(step.shown, "\n{line}").unwrap();
                write!(step.command, "\n{more}").unwrap();
            }
            (None, None, Some(step)) => step.printed.push(line.to_owned()),
            _ => panic!("`{line}` stands below no command"),
        }
    }
    parts
}

/// What differs from one time to the next is taken out.
fn same_each_time(line: &str) -> String {
    let is_hex = |word: &str| word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = |word: &str| word.len() == 20 && word.ends_with('Z') && word.contains('T');
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = line.split_whitespace().collect();
    // How well a machine is protected is not the guide's to say, nor who its user is.
    match words.as_slice() {
        ["-", reason @ ..] if !reason.is_empty() && line.starts_with("   ") => return String::new(),
        ["level" | "protection" | "reasons" | "swap" | "total", _] => return words[0].to_owned(),
        ["web-1", "active", ..] => return words[..3].join(" "),
        [mode, _, _, _, size, .., name] if mode.starts_with("-rw") => return format!("{mode} {size} {name}"),
        ["+#", "upstream", "of", name] if *name != "web-1" => return "+# upstream of HOST".to_owned(),
        _ => {}
    }
    let mut said: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let inner = word.trim_matches(['(', ')', '"', ';']);
        let is_value = inner.len() == 32 && !is_hex(inner);
        let in_seconds = is_number(word) && words.get(at + 1) == Some(&"s");
        let in_ms = at == 3 && is_number(word) && is_hex(words[0]);
        let plain = if is_hex(inner) {
            "HEX"
        } else if is_time(inner) {
            "TIME"
        } else if is_value {
            "VALUE"
        } else if in_seconds || in_ms {
            "NUMBER"
        } else {
            inner
        };
        said.push(word.replace(inner, plain));
    }
    said.join(" ")
}

fn comparable(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| same_each_time(line)).filter(|line| !line.is_empty()).collect()
}

fn free_ports() -> [String; 2] {
    let held = PORTS.map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|socket| socket.local_addr().unwrap().port().to_string())
}

/// Runs all steps in one shell, and gives for each what it printed, as it would be in the page.
fn run(steps: &[&Step], folder: &Path, ports: &[String; 2]) -> Vec<Vec<String>> {
    let here = folder.to_str().unwrap();
    let mut script = "trap 'kill $(jobs -p) 2>&-' EXIT\n".to_owned();
    for step in steps {
        let mut command = step.command.replace(FOLDER, here);
        for (port, free) in PORTS.iter().zip(ports) {
            command = command.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
        }
        command = command.replace("enroll 127.0.0.1 ", &format!("enroll 127.0.0.1:{} ", ports[0]));
        let in_background = command.ends_with('&');
        writeln!(script, "{command}\nprintf '%s %s\\n' {END} $?").unwrap();
        if in_background {
            // Who reads the guide is slower than the server. A port alone may be another program's by now.
            for port in ports {
                writeln!(
                    script,
                    "until test -e srv/admin.token && (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>&-; do kill -0 $! || exit; done"
                )
                .unwrap();
            }
        }
    }
    fs::write(folder.join("script"), script).unwrap();
    let programs = binary("vigo").parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.args(["-c", "exec bash script 2>&1"]).current_dir(folder).stdin(Stdio::null());
    shell.env_clear().env("PATH", format!("{programs}:{path}")).env("HOME", folder);
    let said = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let mut printed = vec![Vec::new()];
    for line in said.lines() {
        if let Some(code) = line.strip_prefix(END) {
            let last = printed.last_mut().unwrap();
            if code != " 0" {
                last.push(format!("[exit{code}]"));
            }
            printed.push(Vec::new());
        } else {
            let mut line = line.replace(here, FOLDER);
            for (port, free) in PORTS.iter().zip(ports) {
                line = line.replace(&format!("127.0.0.1:{free}"), &format!("127.0.0.1:{port}"));
            }
            line = line.replace(&format!("with 127.0.0.1:{}", PORTS[0]), "with 127.0.0.1");
            if line.starts_with("server ") {
                line = line.replace(&format!(":{}", PORTS[0]), "");
            }
            printed.last_mut().unwrap().push(line);
        }
    }
    printed
}

#[test]
fn the_quick_start_is_what_it_says() {
    let text = fs::read_to_string(page()).unwrap();
    let parts = read(&text);
    let steps: Vec<&Step> = parts.iter().filter_map(|part| part.as_ref().ok()).collect();
    assert!(steps.len() > 25, "the page has no sessions any more");
    let folder = tempfile::tempdir().unwrap();
    let printed = run(&steps, folder.path(), &free_ports());
    let mut now = String::new();
    let mut differs = String::new();
    let mut results = printed.iter();
    for part in &parts {
        let step = match part {
            Ok(step) => step,
            Err(line) => {
                writeln!(now, "{line}").unwrap();
                continue;
            }
        };
        let said = results.next().unwrap_or_else(|| panic!("the session ended before `{}`", step.command));
        let is_same = comparable(said) == comparable(&step.printed);
        if !is_same {
            let (expected, said) = (step.printed.join("\n"), said.join("\n"));
            writeln!(differs, "{}\n--- the page\n{expected}\n+++ now\n{said}", step.shown).unwrap();
        }
        let lines = if is_same { &step.printed } else { said };
        writeln!(now, "{}", step.shown).unwrap();
        lines.iter().for_each(|line| writeln!(now, "{line}").unwrap());
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(page(), now).unwrap();
        return println!("written: {differs}");
    }
    assert!(differs.is_empty(), "what is printed is not what the page says (UPDATE=1 writes it):\n{differs}");
}
