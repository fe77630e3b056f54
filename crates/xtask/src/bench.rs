//! `bench`: the benchmarks, on release binaries.

use crate::process::{self, Failure, cargo, stage};
use crate::tree;
use std::process::Command;

pub fn run() -> Result<(), Failure> {
    stage("build (release)");
    process::run(cargo().args(["build", "--release", "--workspace", "--locked", "--quiet"]))?;
    stage("bench");
    let built = tree::target()?.join("release");
    process::run(Command::new(built.join("vigo-bench")).arg(&built))
}
