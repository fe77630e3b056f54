//! `check`: what can be said of the tree without running it.

use crate::process::{Failure, cargo, stage};
use crate::{catalogue, layers, promises, tidy};

pub fn run_stages() -> Result<(), Failure> {
    stage("fmt");
    crate::process::run(cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    promises::run()?;
    catalogue::run()?;
    layers::run()?;
    stage("clippy");
    crate::process::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))
}

pub fn run() -> Result<(), Failure> {
    run_stages()?;
    println!("check: ok");
    Ok(())
}
