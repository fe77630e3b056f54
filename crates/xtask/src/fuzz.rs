//! `fuzz`: the targets of `crates/fuzz` under libFuzzer, each for some seconds. On stable: the instrumentation is switched on by flags.

use crate::process::{self, Failure, cargo, is_installed, output, stage};
use crate::tree;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds for each target in `ci`.
pub const CI_S: u32 = 5;
/// Seconds for each target in `nightly`.
pub const NIGHTLY_S: u32 = 60;
/// Coverage by counters of eight bits, with comparisons traced: what libFuzzer steers by (clang's SanitizerCoverage).
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Bytes of an input at most, seconds for one input, MiB of memory.
const LIMITS: [&str; 3] = ["-max_len=65536", "-timeout=20", "-rss_limit_mb=2048"];

/// Every target for so many seconds, or only the ones named.
pub fn run(seconds: u32, names: &[&str]) -> Result<(), Failure> {
    stage(&format!("fuzz, {seconds} s for each target"));
    if !is_installed("c++") {
        println!(
            "c++ is not installed, and libFuzzer is C++: NOT fuzzed (the tests replay seeds and former crashes)"
        );
        return Ok(());
    }
    let folder = tree::target()?.join("fuzz");
    let program = build(&folder)?;
    let listed = output(Command::new(&program).env("VIGO_FUZZ_LIST", "1"))?;
    let all: Vec<&str> = listed.lines().collect();
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        return Err(Failure::Found(format!("`{unknown}` is no target; there are: {}", all.join(", "))));
    }
    let mut crashed = Vec::new();
    for name in if names.is_empty() { &all } else { names } {
        if let Err(failure) = one(&program, &folder, name, seconds) {
            println!("{failure}");
            crashed.push(*name);
        }
    }
    if crashed.is_empty() { Ok(()) } else { Err(Failure::Found(format!("fuzz: {}", crashed.join(", ")))) }
}

fn build(folder: &Path) -> Result<PathBuf, Failure> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    // The versions of this workspace; cargo adds libFuzzer, which is pinned, and drops what is not needed.
    let lock = |cause: std::io::Error| Failure::Found(format!("cannot copy Cargo.lock to fuzz/: {cause}"));
    std::fs::copy(tree::root().join("Cargo.lock"), tree::root().join("fuzz/Cargo.lock")).map_err(lock)?;
    // With `--target` the flags are not for build scripts and macros.
    process::run(
        cargo()
            .args(["build", "--release", "--quiet", "--target", &host])
            .current_dir(tree::root().join("fuzz"))
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", folder),
    )?;
    Ok(folder.join(host).join("release/vigo-libfuzzer"))
}

/// One target; the inputs that it found interesting stay in `target/fuzz/inputs` for the next time.
fn one(program: &Path, folder: &Path, name: &str, seconds: u32) -> Result<(), Failure> {
    let wrong = |cause: std::io::Error| Failure::Found(format!("cannot fuzz `{name}`: {cause}"));
    let inputs = folder.join("inputs").join(name);
    let crashes = folder.join("crashes");
    std::fs::create_dir_all(&inputs).and_then(|()| std::fs::create_dir_all(&crashes)).map_err(wrong)?;
    let prefix = crashes.join(format!("{name}-"));
    let run = Command::new(program)
        .env("VIGO_FUZZ_TARGET", name)
        .env("VIGO_FUZZ_SEEDS", &inputs)
        .arg(&inputs)
        .args(LIMITS)
        .args([
            format!("-max_total_time={seconds}"),
            format!("-artifact_prefix={}", prefix.display()),
            "-print_final_stats=1".to_owned(),
        ])
        .output()
        .map_err(wrong)?;
    let said = String::from_utf8_lossy(&run.stderr);
    let after = |key: &str| {
        said.lines().rev().find_map(|line| line.split_once(key)?.1.split_whitespace().next()).unwrap_or("?")
    };
    if run.status.success() {
        println!("{name}: {} inputs, {} edges", after("stat::number_of_executed_units:"), after("cov: "));
        return Ok(());
    }
    let from = said.lines().position(|line| line.contains("panicked") || line.contains("ERROR")).unwrap_or(0);
    let shown: Vec<&str> = said.lines().skip(from).take(40).collect();
    Err(Failure::Found(format!(
        "{}\nfuzz: `{name}` failed; put the input named above into crates/fuzz/crashes/{name}/ once it is mended",
        shown.join("\n")
    )))
}
