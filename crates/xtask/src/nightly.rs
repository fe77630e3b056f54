//! `nightly`: what takes too long for every change: the shipped binaries, the property tests with many more cases, fuzzing, a virtual machine, the benchmarks.

use crate::process::{self, Failure, cargo, stage};
use crate::{bed, bench, dist, fuzz};

/// Cases of each property test; by default there are 256.
const CASES: &str = "20000";

pub fn run() -> Result<(), Failure> {
    dist::run()?;
    stage("tests with many more random cases");
    process::run(cargo().args(["test", "--workspace", "--locked", "--quiet"]).env("PROPTEST_CASES", CASES))?;
    fuzz::run(fuzz::NIGHTLY_S, &[])?;
    bed::run()?;
    bench::run()
}
